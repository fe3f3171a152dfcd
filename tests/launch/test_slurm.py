import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segjax.cli import main
from segjax.launch.slurm import Resources, submit
from segjax.train import ExperimentError, Run


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def why_not() -> str | None:
    """Why no job can be run here, on this very machine, which alone sees this test's folders."""
    if shutil.which("sinfo") is None:
        return "SLURM is not installed; `.ci/slurm-one-node.sh start` does it on Debian"
    done = subprocess.run(["sinfo", "--noheader", "--format=%n"], capture_output=True, text=True)
    if done.returncode != 0:
        return "SLURM is not running; `.ci/slurm-one-node.sh start` starts it"
    if done.stdout.split() != [socket.gethostname().partition(".")[0]]:
        return "this SLURM is a cluster of other machines"
    return None


on_slurm = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs compile each program once."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


@pytest.fixture
def submitted() -> Iterator[list[str]]:
    """Jobs of a test, which leaves none behind."""
    jobs: list[str] = []
    yield jobs
    for job in jobs:
        subprocess.run(["scancel", "--signal=KILL", "--full", job], check=False)
        subprocess.run(["scancel", job], check=False)


def wait_until(happens: Callable[[], bool], what: str, output: Path | None = None) -> None:
    end = time.monotonic() + 150
    while not happens():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen\n{output.read_text() if output and output.exists() else ''}")
        time.sleep(0.2)


def state(job: str) -> dict[str, str]:
    words = (word.partition("=") for word in ask("scontrol", "show", "job", job).split())
    return {name: value for name, _, value in words}


@on_slurm
@pytest.mark.usefixtures("quick")
def test_two_tasks_train_together_and_go_on_after_preemption(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], submitted: list[str]
):
    # Reading takes a while, but no processor, so that the run is still going when it is stopped.
    text = squares.read_text()
    squares.write_text(
        text.replace(
            "        return self.records[index]",
            "        __import__('time').sleep(0.05)\n        return self.records[index]",
        )
    )
    folder = tmp_path / "run"
    knobs = ["--steps", "60", "--evaluate-every", "10", "--devices", "2"]
    assert main(["launch", str(squares), "--slurm", "tasks=2,time=10m", "--out", str(folder), *knobs]) == 0
    said = capsys.readouterr()
    found = re.search(r"SLURM job (\d+)\. Its first task writes to (\S+),", said.err)
    assert found is not None
    job, output = found[1], Path(found[2])
    submitted.append(job)
    assert said.out.splitlines()[-1] == str(folder)
    run = Run(folder)

    wait_until(lambda: bool(run.metrics()), "the first row of the log", output)
    ask("scancel", "--signal=TERM", job)  # as preemption does, to every task
    wait_until(lambda: state(job)["Restarts"] == "1", "queueing again", output)
    assert not (folder / "report.json").exists()
    stopped = int(re.search(r"Stopped at step (\d+); everything up to there is saved", output.read_text())[1])  # type: ignore[index]
    assert 10 <= stopped < 60
    wait_until(lambda: state(job)["JobState"] == "PENDING", "waiting for the second attempt", output)
    # A node refuses what starts in the second in which it was revoked: "Job credential revoked".
    ask("scontrol", "update", f"JobId={job}", "StartTime=now+3seconds")  # SLURM waits two minutes otherwise
    wait_until(lambda: state(job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), "the end", output)

    assert state(job)["JobState"] == "COMPLETED", output.read_text()
    assert f"Going on from step {stopped}" in output.read_text()
    for kind in ("train", "val"):
        assert [row["step"] for row in run.metrics() if kind in row] == list(range(10, 61, 10))
    assert json.loads((folder / "report.json").read_text())["steps"] == 60
    assert [(where["processes"], where["devices"]) for where in run.configuration()["machines"]] == [
        (2, {"cpu": 4})
    ] * 2


@on_slurm
@pytest.mark.usefixtures("quick")
def test_a_sweep_is_one_job_array(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], submitted: list[str]
):
    out = tmp_path / "sweep"
    command = ["sweep", str(squares), "--out", str(out), "--learning-rate", "1e-2,1e-1", "--steps", "2"]
    command += ["--devices", "1", "--slurm", "time=5m"]
    assert main(command) == 0
    said = capsys.readouterr()
    array, indices = zip(*re.findall(r"learning_rate \S+: SLURM job (\d+)_(\d+)\. Its first", said.err), strict=True)
    submitted.append(array[0])
    assert set(array) == {submitted[0]}
    assert indices == ("0", "1")
    assert "0 of 2 combinations" in (out / "sweep.md").read_text()

    assert main(command) == 0  # what is queued or running is not submitted again
    assert "Its first task writes to" not in capsys.readouterr().err
    wait_until(lambda: not ask("squeue", "--noheader", f"--jobs={array[0]}"), "the end")
    assert main(command) == 0
    assert "SLURM job" not in capsys.readouterr().err  # and nor is what is finished
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [row["varied"] for row in rows] == [{"learning_rate": "0.01"}, {"learning_rate": "0.1"}]
    assert all(row["test"]["miou"]["mean"] > 0 for row in rows)
    assert (out / "sweep.png").exists()


@on_slurm
@pytest.mark.parametrize(
    ("ends", "restarts"),
    [
        ("kill -TERM $$", 3),  # stopped while it starts, before it has saved anything: three more attempts, no more
        ("exit 1", 0),
        ("sleep 60", 0),  # and is cancelled
    ],
)
def test_what_is_queued_again_and_what_is_not(ends: str, restarts: int, tmp_path: Path, submitted: list[str]):
    from segjax.launch import slurm

    command = [shutil.which("bash") or "", "-c", f"echo attempt; {ends}"]
    [(job, output)] = slurm.submit([command], tmp_path, "ends", Resources(minutes=2), [tmp_path / "saves"])
    submitted.append(job)
    for attempt in range(restarts):
        wait_until(lambda: state(job)["Restarts"] == str(attempt + 1), "queueing again", output)  # noqa: B023
        wait_until(lambda: state(job)["JobState"] == "PENDING", "waiting for another attempt", output)
        ask("scontrol", "update", f"JobId={job}", "StartTime=now+3seconds")
    if ends.startswith("sleep"):
        wait_until(lambda: output.exists() and "attempt" in output.read_text(), "the start", output)
        ask("scancel", job)
    wait_until(lambda: state(job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), "the end", output)
    assert state(job)["JobState"] == ("CANCELLED" if ends.startswith("sleep") else "FAILED")
    assert state(job)["Restarts"] == str(restarts)
    assert output.read_text().count("attempt\n") == restarts + 1
    assert ("Stopped for the fourth time without saving anything" in output.read_text()) == (restarts == 3)


@on_slurm
def test_what_sbatch_refuses_is_said_in_one_sentence(squares: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    where = ["--out", str(tmp_path / "run"), "--slurm", "time=1h,partition=nowhere"]
    assert main(["launch", str(squares), *where]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "segjax: sbatch refuses the job: Batch job submission failed: Invalid partition name specified; "
        "change what --slurm asks for."
    )


def test_resources_are_read():
    assert Resources.parse("nodes=2,gpus=8,time=4h") == Resources(minutes=240, nodes=2, gpus=8)
    text = "time=1d12h30m, tasks=4 ,cpus=2,partition=a,b,account=vision,exclude=n1,n[3,5]"
    names = (("partition", "a,b"), ("account", "vision"), ("exclude", "n1,n[3,5]"))
    assert Resources.parse(text) == Resources(minutes=36 * 60 + 30, tasks=4, cpus=2, names=names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "gpu=8,time=4h",
            r"--slurm does not know gpu; did you mean gpus\? It takes time, nodes, gpus, tasks, cpus, mem",
        ),
        ("partitions=a,time=4h", r"does not know partitions; did you mean partition\?"),
        ("colour=red,time=4h", "does not know colour; it takes time, nodes"),
        ("nodes=2,gpus=8", "needs a time limit, such as time=4h"),
        ("nodes=two,time=4h", "has nodes=two, which must be a whole number from 1"),
        ("nodes=²,time=4h", "has nodes=², which must be a whole number from 1"),
        ("nodes=0,time=4h", "has nodes=0, which must be a whole number from 1"),
        ("time=4", "has time=4, which must be like 30m, 4h, 2d or 1d12h"),
        ("time=0m", "has time=0m; give it a minute at least"),
        ("time=4h,time=5h", "has time twice"),
        ("time=4h,gpus", "has 'gpus', which is not KEY=VALUE"),
        ("time=4h,account=", "has 'account=', which is not KEY=VALUE"),
        ("time=4h,gpus=8,tasks=2", "has gpus and tasks; leave tasks out"),
    ],
)
def test_resources_that_cannot_be_had_are_named(text: str, sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        Resources.parse(text)


def test_without_slurm_nothing_is_made(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert main(["launch", str(squares), "--slurm", "time=1h", "--out", str(tmp_path / "run")]) == 1
    assert (
        "--slurm needs a machine with sbatch, such as a cluster's login node; --local 2 starts"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_a_scheduler_that_is_away_is_told_from_a_job_that_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    for name in ("sbatch", "srun"):  # in the words of SLURM 22, whose own controller other tests need
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ExperimentError, match=r"\(connect failure\); run this again when `scontrol ping` says"):
        submit([["true"]], tmp_path, "job", Resources(minutes=2), [])
