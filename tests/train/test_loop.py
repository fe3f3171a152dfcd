import gzip
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from forks import Forks
from squares import bits, run_squares

import segjax
from segjax.cli import main
from segjax.runs import create_run, experiment_of
from segjax.train import ExperimentError, Interrupted, train

WRITTEN = (
    "experiment.py", "run.json", "metrics.jsonl", "curves.png", "predictions.png", "report.json", "checkpoints",
    "report.html", "per_image.jsonl", "details.json",
)  # fmt: skip


def test_a_run_learns_and_leaves_all_it_promises(squares: Path, tmp_path: Path):
    run = run_squares(squares, tmp_path / "run")
    missing = [name for name in WRITTEN if not (run.path / name).exists()]
    assert not missing
    assert list(run.path.glob("events.out.tfevents.*"))
    report = json.loads((run.path / "report.json").read_text())
    assert report["test"]["miou"] > 0.95
    assert set(report["test"]["iou"]) == {"ground", "square"}
    assert report["steps"] == 40
    assert report["train_seconds"] > 0
    rows = run.metrics()
    assert [row["step"] for row in rows] == [10, 20, 20, 30, 40, 40, 40]
    kinds = ["train", "train", "val", "train", "train", "val", "test"]  # the test split is looked at once
    assert [sorted(row.keys() - {"checkpoint"}) for row in rows] == [sorted(["step", kind]) for kind in kinds]
    assert rows[-1]["checkpoint"] == 40
    assert rows[0]["train"]["loss"] > rows[-3]["train"]["loss"]
    assert (report["val"], report["test"], report["checkpoint"]) == (rows[-2]["val"], rows[-1]["test"], "last")


def test_scores_are_those_of_all_test_pixels_counted_once_and_evaluate_says_them_again(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = run_squares(squares, tmp_path / "run", steps=3)  # 7 test records in batches of 4, so the last one is partial
    model, variables = segjax.load(run.path)
    source = experiment_of(run).data.open("test")
    images = np.stack([source[i]["image"] for i in range(len(source))])
    truth = np.stack([source[i]["mask"] for i in range(len(source))])
    logits: Any = model.apply(variables, images, train=False)
    prediction = np.asarray(logits.argmax(-1))
    counted = truth != 255
    right = (prediction == truth) & counted
    expected = [right[truth == c].sum() / (((prediction == c) | (truth == c)) & counted).sum() for c in (0, 1)]
    report = json.loads((run.path / "report.json").read_text())
    np.testing.assert_allclose(list(report["test"]["iou"].values()), expected, rtol=1e-6)
    np.testing.assert_allclose(report["test"]["pixel_accuracy"], right.sum() / counted.sum(), rtol=1e-6)

    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {key: report[key] for key in ("test", "steps", "train_seconds")}
    assert main(["evaluate", str(run.path), "--json", "--split", "val"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {key: report[key] for key in ("val", "steps", "train_seconds")}


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(squares: Path, tmp_path: Path):
    one, again, other = (
        run_squares(squares, tmp_path / name, steps=15, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert bits(one) == bits(again)
    assert (one.path / "metrics.jsonl").read_bytes() == (again.path / "metrics.jsonl").read_bytes()
    assert bits(one) != bits(other)


def test_ctrl_c_saves_the_very_step_and_resume_goes_on(squares: Path, tmp_path: Path):
    straight = run_squares(squares, tmp_path / "straight", steps=30)
    text = squares.read_text()
    # The user's hand, at a known moment: the signal comes while record 23 * 4 is being read.
    interrupting = text.replace(
        "        return self.records[index]",
        "        self.reads = getattr(self, 'reads', 0) + 1\n"
        "        if self.reads == 60:\n"
        "            import os, signal\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        return self.records[index]",
    )
    assert interrupting != text
    squares.write_text(interrupting)
    run = create_run(tmp_path / "stopped", squares, {"steps": 30}, {})
    with pytest.raises(Interrupted, match=r"Stopped at step \d+; everything up to there is saved"):
        train(experiment_of(run), run)
    assert not (run.path / "report.json").exists()
    (run.path / "experiment.py").write_text(text)
    train(experiment_of(run), run)
    assert bits(run) == bits(straight)
    assert run.metrics() == straight.metrics()


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("loss=losses.cross_entropy", "loss=lambda z, y: z.sum() / 0", "the loss; the model's outputs are finite"),
        ("x = nn.relu(", "x = jnp.log(-1 - x * x) + nn.relu(", "the output of model/drop"),
        (
            "loss=losses.cross_entropy",
            "loss=lambda z, y: jnp.sqrt(jnp.abs(z - jax.lax.stop_gradient(z))).sum()",
            "the gradient of model/conv1/bias",
        ),
    ],
    ids=["loss", "layer", "gradient"],
)
def test_numbers_that_are_not_finite_are_never_applied_and_then_stop_the_run(
    squares: Path, tmp_path: Path, right: str, wrong: str, named: str
):
    text = squares.read_text().replace(
        "nn.Dropout(0.1, deterministic=not train)", "nn.Dropout(0.1, deterministic=not train, name='drop')"
    )
    squares.write_text(
        text.replace(right, wrong).replace("import optax\n", "import jax\nimport jax.numpy as jnp\nimport optax\n")
    )
    run = create_run(tmp_path / "run", squares, {}, {})
    with pytest.raises(
        ExperimentError, match=r"10 steps in a row were not finite, up to step 10; .* first is "
    ) as caught:
        train(experiment_of(run), run)
    assert named in str(caught.value)
    assert run.metrics() == [{"step": 10, "train": {"loss": None, "gradient_norm": None}}]
    batch = np.load(run.path / "skipped" / "batch_of_step_10.npz")
    assert batch["image"].shape == (4, 16, 16, 3)
    assert batch["mask"].shape == (4, 16, 16)


def test_a_step_that_is_not_finite_is_skipped_and_the_run_goes_on(squares: Path, tmp_path: Path):
    # Records whose upper right pixel is ignored spoil their batch.
    spoil = "loss=lambda z, y: losses.cross_entropy(z, y) / (y[:, 0, -1] != 255).all()"
    text = squares.read_text().replace("loss=losses.cross_entropy", spoil)
    squares.write_text(
        text.replace("            mask[0, 0] = 255\n", "            mask[0, -1 if _ == 3 else 0] = 255\n").replace(
            "flip_horizontal=True", ""
        )
    )
    run = run_squares(squares, tmp_path / "run", steps=20)
    assert sorted(run.path.glob("skipped/*.npz"))
    report = json.loads((run.path / "report.json").read_text())
    assert report["test"]["miou"] > 0.9
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(segjax.load(run.path)[1]))


def test_a_disk_that_is_full_is_said_in_one_sentence_and_loses_nothing(squares: Path, tmp_path: Path, forks: Forks):
    # A limit on the size of files stands in for a disk: rows and parameters fit, curves.png does not.
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"
    code, said = forks.run("train", squares, "--out", tmp_path / "run", first=full)
    assert code == 1
    assert said.strip().splitlines()[-1] == (
        "segjax: File too large; what was saved before is whole. Name another place, or mend it, then run again."
    )
    assert "Traceback" not in said
    code, said = forks.run("train", "--resume", tmp_path / "run")
    assert code == 0, said


def test_a_folder_that_is_in_use_is_refused(squares: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("three years")
    with pytest.raises(ExperimentError, match="not an empty folder; give --out another name"):
        create_run(tmp_path / "run", squares, {}, {})
    assert (tmp_path / "run" / "thesis.tex").read_text() == "three years"


def test_what_a_run_remembers_outlives_its_data(squares: Path, tmp_path: Path):
    text = squares.read_text().replace("import Experiment\n", "import Experiment\nfrom segjax.runs import remember\n")
    text = text.replace("mean=(0.3,) * 3", "mean=tuple(remember('mean', lambda: eval(Path(MEAN).read_text())))")
    mean = tmp_path / "mean.txt"
    mean.write_text("(0.25, 0.5, 0.75)")
    squares.write_text(f"from pathlib import Path\nMEAN = {str(mean)!r}\n{text}")
    assert main(["train", str(squares), "--steps", "2", "--out", str(tmp_path / "run")]) == 0
    mean.unlink()
    model, _ = segjax.load(tmp_path / "run")
    assert model.mean == (0.25, 0.5, 0.75)  # type: ignore[attr-defined]


def test_a_profile_is_a_trace_that_perfetto_opens(squares: Path, tmp_path: Path):
    assert main(["train", str(squares), "--steps", "20", "--out", str(tmp_path / "run"), "--profile"]) == 0
    (trace,) = (tmp_path / "run" / "profile").rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert len(events) > 100


def test_a_step_that_was_compiled_before_is_found_again(squares: Path, tmp_path: Path, forks: Forks):
    first = (
        f"import os; os.environ['SEGJAX_DATA'] = {str(tmp_path / 'kept')!r}\n"
        "os.environ.pop('XLA_FLAGS', None)\n"  # optimised, as when no test runs it
        "jax.config.update('jax_compilation_cache_dir', None)"
    )
    seconds = []
    for name in ("first", "second"):
        code, said = forks.run("train", squares, "--steps", "1", "--out", tmp_path / name, first=first)
        assert code == 0, said
        seconds.append(json.loads((tmp_path / name / "report.json").read_text())["compile_seconds"])
    assert list((tmp_path / "kept" / "compiled").iterdir())
    assert seconds[1] < seconds[0]
