import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from segjax.launch import local
from segjax.train import ExperimentError

# The processes add up their ranks on their devices, and hold a train state of arrays and random keys that Orbax can
# save. Then the first one fails, while the other waits for it.
ADD = """
from segjax.errors import DataError
from segjax.train import distributed
with distributed.joined(timeout=60):
    import jax
    from jax.experimental import multihost_utils
    total = multihost_utils.process_allgather(jax.numpy.array(jax.process_index() + 1)).sum()
    print(f"{jax.process_index() + 1} of {jax.process_count()} adds up to {total}")
    from segjax.train.devices import Layout, Placement
    state = Placement(Layout(), 2).state({"params": jax.numpy.arange(3), "key": jax.random.key(5)})
    held = [shard.data.tolist() for shard in state["params"].addressable_shards]
    print(f"{jax.process_index() + 1} holds {held} and {jax.random.key_data(state['key']).tolist()}")
    print("and", distributed.agree(lambda: f"{jax.process_index()} speaks"))
    def refuse():
        raise DataError(f"{jax.process_index()} has no data")
    try:
        distributed.agree(refuse)
    except DataError as error:
        print("but", error)
    multihost_utils.sync_global_devices("both have spoken")
    if jax.process_index() == 0:
        raise ValueError("enough")
    multihost_utils.sync_global_devices("never")
"""

# Writes a file when it is ready for signals, and one that says which came.
WAIT = """
import os, pathlib, signal, sys, time
rank = os.environ["JAX_PROCESS_ID"]
def note(number, frame):
    pathlib.Path(f"got_{number}_{rank}").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, note), signal.signal(signal.SIGINT, note)
pathlib.Path(f"ready_{rank}").touch()
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(*paths: Path) -> None:
    end = time.monotonic() + 30
    while not all(path.exists() for path in paths):
        assert time.monotonic() < end, f"{paths} did not come"
        time.sleep(0.02)


def test_two_processes_work_together_until_one_fails(capfd: pytest.CaptureFixture[str]):
    began = time.monotonic()
    assert local.start(python(ADD), 2) == 1
    assert time.monotonic() - began < 60  # JAX would have waited for the other for five minutes
    said = capfd.readouterr()
    for rank in (0, 1):
        assert f"[{rank}] {rank + 1} of 2 adds up to 3" in said.out.splitlines()
        assert f"[{rank}] {rank + 1} holds [[0, 1, 2]] and [0, 5]" in said.out.splitlines()
        assert f"[{rank}] and 0 speaks" in said.out.splitlines()
        assert f"[{rank}] but 0 has no data" in said.out.splitlines()
    assert "[0] ValueError: enough" in said.err.splitlines()


def test_one_process_is_alone(capfd: pytest.CaptureFixture[str]):
    assert (
        local.start(python("import os; print(os.environ['JAX_NUM_PROCESSES'], os.environ['JAX_PROCESS_ID'])"), 1) == 0
    )
    assert capfd.readouterr().out == "[0] 1 0\n"


def test_when_one_dies_the_others_are_ended_and_the_exit_code_is_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    one_dies = (
        "import os, pathlib, sys, time\n"
        "if os.environ['JAX_PROCESS_ID'] == '1':\n"
        "    while not all(pathlib.Path(f'ready_{rank}').exists() for rank in (0, 2)): time.sleep(0.02)\n"
        "    print('no more', file=sys.stderr), sys.exit(7)\n"
    )
    began = time.monotonic()
    assert local.start(python(one_dies + WAIT), 3) == 7
    assert time.monotonic() - began < 30
    said = capfd.readouterr().err.splitlines()
    assert "[1] no more" in said
    assert "segjax: process 1 failed with exit code 7; the others are ended." in said
    assert (tmp_path / f"got_{signal.SIGTERM.value}_0").exists()
    assert (tmp_path / f"got_{signal.SIGTERM.value}_2").exists()


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.5)
    deaf = (
        "import os, pathlib, signal, time\n"
        "if os.environ['JAX_PROCESS_ID'] == '1':\n"
        "    while not pathlib.Path('pid').exists(): time.sleep(0.02)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('pid.new').write_text(str(os.getpid())), os.rename('pid.new', 'pid')\n"
        "time.sleep(60)\n"
    )
    assert local.start(python(deaf), 2) == 128 + signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(number)

    def send() -> None:
        wait_for(tmp_path / "ready_0", tmp_path / "ready_1")
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    assert local.start(python(WAIT), 2) == 128 + number
    sender.join()
    assert (tmp_path / f"got_{number.value}_0").exists()
    assert (tmp_path / f"got_{number.value}_1").exists()
    assert signal.getsignal(number) is before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_the_processes_end_with_the_one_that_started_them(tmp_path: Path):
    code = f"from segjax.launch import local; local.start([{sys.executable!r}, '-c', {WAIT!r}], 2)"
    with subprocess.Popen(python(code), cwd=tmp_path, stderr=subprocess.DEVNULL) as launcher:
        wait_for(tmp_path / "ready_0", tmp_path / "ready_1")
        launcher.kill()
    wait_for(*(tmp_path / f"got_{signal.SIGTERM.value}_{rank}" for rank in (0, 1)))


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,4,5")
    say = python("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    assert local.start(say, 2) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["[0] 0,1", "[1] 4,5"]
    with pytest.raises(ExperimentError, match="4 GPUs cannot be shared evenly by 3 processes; one process can use"):
        local.start(say, 3)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local.start(say, 3) == 0
