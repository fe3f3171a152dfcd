import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upsampling import __main__, data, results, run, workers
from benchmarks.upsampling.cells import CONTROL, TWIN, published
from benchmarks.upsampling.results import Results
from benchmarks.upsampling.settings import QUICK

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("option", ["--seeds", "--steps", "--rounds", "--workers", "--sides"])
def test_nothing_to_do_is_no_choice(option: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        __main__.make_parser().parse_args([option, "0"])
    assert f"argument {option}: '0' is no number from 1" in capsys.readouterr().err


def test_one_command_trains_times_and_reports_and_the_next_has_nothing_to_do(pictures, run_command, tmp_path, capsys):
    options = ["--families", "fcn", "--upsamplers", CONTROL, "--match", "fcn", "--crop", "16"]
    numbers = ["--width", "4", "--steps", "2", "--batch-size", "2", "--seeds", "2", "--rounds", "1"]
    done = run_command(["--data", str(pictures), *options, *numbers, "--out", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs to do, 1 at a time." in done.stdout
    assert re.search(r"\[1/2\] squares, FCN, bilinear, decoder \(16,\): mIoU 0\.\d+ to 0\.\d+; \d+ s left", done.stdout)

    settings = dataclasses.replace(
        QUICK,
        data=(str(pictures),),
        families=("fcn",),
        upsamplers=(CONTROL,),
        match=("fcn",),
        crop=16,
        width=4,
        steps=2,
        batch_size=2,
        seeds=2,
        rounds=1,
    )
    rows = Results(tmp_path).rows("results.jsonl")
    assert len(rows) == 4
    for row in rows.values():
        assert 0 < row["miou"] < 1
        assert row["iou"].keys() == {"ground", "square"}
        assert row["checkerboard"].keys() == row["initial_checkerboard"].keys() == {"2", "8"}
        assert row["boundary_f1_within"].keys() == {"1", "2", "4"}
        assert row["shift"].keys() == {"classes", "logits"}
        assert row["versions"]["jax"]
        assert row["machine"]
    cells = {name: published("squares", "fcn", name, 4) for name in (CONTROL, TWIN)}
    first, again = (rows[results.run_name(cell, settings, 0)]["miou"] for cell in cells.values())
    assert first != again
    costs = Results(tmp_path).rows("costs.jsonl")
    assert len(costs) == 2
    assert all(cost["train_ms"] > 0 < cost["inference_ms"] for cost in costs.values())
    assert all(cost["train_bytes"] > cost["inference_bytes"] > 0 < cost["flops"] for cost in costs.values())

    page = (tmp_path / "report.html").read_text()
    assert set(re.findall(r'src="(data:image/[a-z+]+;base64,)', page)) == {
        "data:image/svg+xml;base64,",
        "data:image/png;base64,",
    }
    assert page.count("src=") == page.count("<figure>") == 6
    assert "http" not in page
    text = (tmp_path / "report.md").read_text()
    assert all((tmp_path / name).exists() for name in re.findall(r"\]\((figures/[^)]+)\)", text))
    assert "bilinear, again" in text
    assert "| FCN, published |" in text
    assert "mIoU, blur 3" in text

    # The next run finds everything done; and what a kill left of a row does no harm.
    written = (tmp_path / "results.jsonl").read_bytes()
    lines = written.splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_bytes(written + lines[0][:50])
    capsys.readouterr()
    assert run.run(settings, run.plan(settings), tmp_path, workers=1) == []
    assert capsys.readouterr().out.startswith("0 of 4 runs to do")
    assert (tmp_path / "results.jsonl").read_bytes() == written
    (tmp_path / "results.jsonl").write_bytes(b"".join(lines[1:]))
    left = results.missing(Results(tmp_path).rows("results.jsonl"), cells.values(), settings)
    assert [(cell.upsampler, seeds) for cell, seeds in left] == [(json.loads(lines[0])["upsampler"], [0])]
    longer = dataclasses.replace(settings, steps=3)
    assert len(results.missing(Results(tmp_path).rows("results.jsonl"), cells.values(), longer)) == 2


def test_data_sets_by_name(pictures):
    loaded = data.load(str(pictures))
    assert loaded.name == data.slug(str(pictures)) == "squares"
    assert (loaded.num_classes, loaded.side, len(loaded.train), len(loaded.test)) == (2, 32, 7, 2)
    assert loaded.probes.shape == (2, 32, 32, 3)
    assert loaded.probe_masks.max() == 1
    share = np.mean([loaded.train[i]["mask"].mean() for i in range(7)])
    expected = np.array([1 - share, share])
    assert np.array(loaded.class_weights) == pytest.approx(np.median(expected) / expected, abs=1e-3)
    assert data.dataset_of("islands").class_names == ("background", "island", "lake")
    assert len(data.dataset_of("land_cover_7").class_names) == 7
    assert data.dataset_of("tfds:some_set:sky,sea").class_names == ("sky", "sea")
    for name, sentence in (("nowhere", "nowhere is no data set: take"), ("tfds:some_set", "does not say its classes")):
        with pytest.raises(data.DataError, match=sentence):
            data.dataset_of(name)


def test_workers_keep_to_a_core_and_hand_exceptions_on(tmp_path):
    ((_, process),) = workers.work(os.getpid, [()], 1, tmp_path)
    assert process != os.getpid()
    if hasattr(os, "sched_getaffinity"):
        ((_, cores),) = workers.work(os.sched_getaffinity, [(0,)], 1, tmp_path)
        assert len(cores) == 1
    ((_, outcome),) = workers.work(int, [("no number",)], 1, tmp_path)
    assert isinstance(outcome, ValueError)


def test_an_accelerator_is_not_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(workers, "_keep_programs", lambda cache: None)
    assert workers.default_workers() == 1
    found = list(workers.work(os.getpid, [(), (0,)], 1, tmp_path))
    assert found[0] == ((), os.getpid())
    assert isinstance(found[1][1], TypeError)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import os, sys, time; from pathlib import Path; from benchmarks.upsampling import workers\n"
        "for _, pid in workers.work(os.getpid, [()], 1, Path(sys.argv[1])):\n"
        "    print(pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
