import importlib
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segjax
from segjax.cli import main
from segjax.errors import ExperimentError
from segjax.train import Run, loggers
from segjax.train.history import History
from segjax.train.loggers import LOGGERS, check_loggers, log_to


def nothing_but_waiting(sentence: str) -> None:
    """Fails where a logger is left out or given up; that it takes its time, as on a machine at work, is no fault."""
    if not sentence.startswith("Waiting up to"):
        pytest.fail(sentence)


def train(run: Run, first: int, *steps: int, test: bool = False, warn: Any = nothing_but_waiting) -> None:
    """What a run does to its history that goes on from one step and takes some more."""
    history = History(run, "miou", writes=True, warn=warn)
    history.go_on_from(first)
    for step in steps:
        history.keep(step, {"train": {"loss": 1 / step, "class": {"a (b)": 0.5}}})
        history.show(step, {"images_per_second": 80.0})
    if test:
        history.keep(steps[-1], {"test": {"miou": 0.75}})
    history.close()


def run_with(folder: Path, *names: str) -> Run:
    run = Run.create(folder, {"knobs": {"learning_rate": 0.1}})
    log_to([run], names)
    return run


def blocks(data: bytes) -> list[bytes]:
    """The records of a file of Weights & Biases: LevelDB's log, after seven bytes of its own."""
    found, at = [b""], 7
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block that no header fits into
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        if at + 7 + length > len(data):  # it is being written
            break
        found[-1] += data[at + 7 : at + 7 + length]
        if kind in (1, 4):  # whole, or the last part
            found.append(b"")
        at += 7 + length
    return found[:-1]


def test_weights_and_biases_gets_one_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="the extra wandb is not there").Record
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = run_with(tmp_path / "mine", "wandb")
    train(run, 0, 10, 20)
    token = run.loggers()["wandb"]
    train(run, 20, 30, test=True)
    assert run.loggers()["wandb"] == token
    seen: dict[int, dict[str, float]] = {}
    for file in sorted(run.path.glob("wandb/offline-run-*/*.wandb")):
        records: list[Any] = []
        end = time.monotonic() + 60
        while not any(record.WhichOneof("record_type") == "exit" for record in records):
            assert time.monotonic() < end, records
            time.sleep(0.02)  # the service writes on after it was told the end
            records = [written.FromString(data) for data in blocks(file.read_bytes())]
        (about,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert (about.run_id, about.project, about.display_name, about.resumed) == (token, "segjax", "mine", False)
        assert {item.key: item.value_json for item in about.config.update}["learning_rate"] == "0.1"
        for record in records:
            row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            if row:
                seen[int(row["_step"])] = {name: float(row[name]) for name in row if not name.startswith("_")}
    assert seen[10] == {"train/loss": 0.1, "train/class/a (b)": 0.5, "images_per_second": 80.0}
    assert {step: row.get("test/miou") for step, row in seen.items()} == {10: None, 20: None, 30: 0.75}


def test_weights_and_biases_without_anybody_logged_in_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    monkeypatch.setattr(wandb, "setup", lambda _: type("Setup", (), {"settings": wandb.Settings()}))
    said: list[str] = []
    train(run_with(tmp_path / "mine", "wandb"), 0, 10, warn=said.append)
    (sentence,) = said
    assert "Nothing goes to wandb from here on, training does: nobody is logged in; `wandb login`" in sentence


HANGING = """
import os, signal, sys, time
from pathlib import Path
from segjax.train import Run, loggers


def service():
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for child in children.read_text().split():
            if b"wandb-core" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)


loggers.PATIENCE = 0.6
run = Run.create(Path(sys.argv[1]), {"knobs": {}})
loggers.log_to([run], ["wandb"])
opened = loggers.Loggers(run, 0, lambda sentence: print(sentence, flush=True))
while not any(run.path.glob("wandb/offline-run-*/*.wandb")) or service() is None:
    time.sleep(0.05)
os.kill(service(), signal.SIGSTOP)
opened.close(finished=True)
print(service(), flush=True)
sys.exit(7)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="children are found in /proc")
def test_weights_and_biases_that_hangs_does_not_hold_up_the_exit_of_python(tmp_path: Path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    where = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} | {"WANDB_MODE": "offline"}
    command = [sys.executable, "-c", HANGING, str(tmp_path / "run")]
    file = tmp_path / "said"  # no pipe, which the service would keep open
    with file.open("w") as said:
        done = subprocess.run(command, env=where, stdout=said, timeout=60)
    *_, sentence, service = file.read_text().splitlines()
    os.kill(int(service), signal.SIGKILL)
    assert sentence == "wandb took longer than 1 s; what had not arrived is given up."
    assert done.returncode == 7


def test_mlflow_gets_one_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)  # where mlflow would put files that are logged
    run, client = run_with(tmp_path / "mine", "mlflow"), mlflow.MlflowClient()
    train(run, 0, 10, 20)
    token = run.loggers()["mlflow"]
    assert token is not None
    assert client.get_run(token).info.status == "KILLED"
    train(run, 20, 30, test=True)
    (found,) = client.search_runs([client.get_experiment_by_name("segjax").experiment_id])
    assert (found.info.run_id, found.info.run_name, found.info.status) == (token, "mine", "FINISHED")
    assert found.data.params == {"learning_rate": "0.1"}
    losses = {metric.step: metric.value for metric in client.get_metric_history(token, "train/loss")}
    assert losses == {step: 1 / step for step in (10, 20, 30)}
    assert found.data.metrics["train/class/a _b_"] == 0.5
    assert found.data.metrics["test/miou"] == 0.75


Event: Any = importlib.import_module("tensorboardX.proto.event_pb2").Event


def events(run: Run) -> dict[tuple[str, int], float]:
    found = {}
    for file in sorted(run.path.glob("events.out.*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            event = Event.FromString(data[at + 12 : at + 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            at += 16 + length
    return found


class Broken:
    token = None

    def __init__(self, run: Run, step: int, token: str | None) -> None: ...

    def show(self, step: int, numbers: dict[str, float]) -> None:
        raise ConnectionError("the server\nis gone")

    def close(self, *, finished: bool) -> None:
        raise AssertionError("it was left out")


def test_a_logger_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(LOGGERS, "broken", Broken)
    said: list[str] = []
    run = run_with(tmp_path / "mine", "broken", "tensorboard")
    train(run, 0, 10, 20, warn=said.append)
    assert said == ["Nothing goes to broken from here on, training does: the server is gone"]
    np.testing.assert_allclose([events(run)["train/loss", step] for step in (10, 20)], [0.1, 0.05], rtol=1e-6)


@pytest.mark.parametrize("where", ["__init__", "show", "close"])
def test_a_logger_that_hangs_is_given_up_at_the_end_and_holds_up_no_other(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ends, arrived = threading.Event(), threading.Event()
    other = type("Other", (Broken,), {"show": lambda *_: None, "close": lambda *_, finished: arrived.set()})
    hangs = type("Hanging", (other,), {where: lambda *_, **__: ends.wait(30) and None})
    monkeypatch.setattr(loggers, "PATIENCE", 0.5)
    monkeypatch.setitem(LOGGERS, "hanging", hangs)
    monkeypatch.setitem(LOGGERS, "other", other)
    said: list[str] = []
    train(run_with(tmp_path / "mine", "hanging", "other"), 0, 10, warn=said.append)
    assert arrived.is_set()
    assert loggers.given_up()
    ends.set()
    assert said[1:] == ["hanging took longer than 0 s; what had not arrived is given up."]
    assert said[0].startswith("Waiting up to 0 s for hanging: numbers")


def test_a_run_from_python_says_where_its_numbers_go(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    got: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(Broken, "show", lambda _, *one: got.append(one))
    monkeypatch.setattr(Broken, "close", lambda *_, finished: got.append((-1, {"finished": finished})))
    monkeypatch.setitem(LOGGERS, "tensorboard", Broken)
    run = segjax.train(segjax.experiment(squares, steps=2), out=tmp_path / "run", log=["tensorboard"])
    assert {name for step, row in got for name in row if step == 2} >= {"train/loss", "val/miou", "test/miou"}
    assert got[-1] == (-1, {"finished": True})
    assert not list(run.path.glob("events.out.*"))


def test_loggers_that_are_not_there_are_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(ExperimentError, match="wandbb is no logger; name one, such as wandb"):
        check_loggers(["wandbb"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["train", "land_cover", "--log", "tensorboard", "--log", "mlflow"]) == 1
    assert "--log mlflow needs mlflow; install it with `pip install 'segjax[mlflow]'`." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
