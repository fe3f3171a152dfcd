import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import pytest
from forks import Forks

from segjax.train import ExperimentError, distributed

SLURM = {
    "SLURM_JOB_ID": "12",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
NAMED = {"JAX_COORDINATOR_ADDRESS": "node1:5555", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
PODS = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What jax.distributed.initialize is told, on a machine whose environment says nothing of other processes."""
    for name in list(os.environ):
        if name.startswith(
            ("SLURM_", "OMPI_", "JAX_COORD", "JAX_NUM_PROC", "JAX_PROC", "KUBERNETES_", "TPU_", "CUDA_")
        ):
            monkeypatch.delenv(name)
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **arguments: calls.append(arguments))
    return calls


def join(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with distributed.joined(timeout=5):
        pass


@pytest.mark.parametrize(
    "environment",
    [
        {},
        NAMED | {"JAX_NUM_PROCESSES": "1"},
        SLURM | {"JAX_NUM_PROCESSES": "1"},
        SLURM | {"SLURM_STEP_NUM_TASKS": "1"},  # a step of one task in a larger job
        {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "4"},  # the job's own script, outside of any step
        OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},  # a pod of no indexed job
        {"TPU_WORKER_HOSTNAMES": "localhost"},
    ],
)
def test_a_process_alone_joins_nobody(
    environment: dict[str, str], told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    join(environment, monkeypatch)
    assert told == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (NAMED, {"coordinator_address": "node1:5555", "num_processes": 2, "process_id": 1}),
        (SLURM | NAMED, {"coordinator_address": "node1:5555", "num_processes": 2, "process_id": 1}),
        (SLURM, {"cluster_detection_method": "slurm", "num_processes": 4, "local_device_ids": None}),
        # Every task sees the two GPUs of its node and takes, by JAX's rule, one of them.
        (SLURM | {"CUDA_VISIBLE_DEVICES": "0,1"}, {"local_device_ids": None}),
        # Every task sees its own GPU alone, under the number 0.
        (SLURM | {"CUDA_VISIBLE_DEVICES": "1"}, {"local_device_ids": [0]}),
        # The one task of a node has all its GPUs.
        (
            SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"},
            {"local_device_ids": [0, 1, 2, 3]},
        ),
        (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1;tcp://10.0.0.1:5"}, {"num_processes": 2, "process_id": 1}),
        (OPEN_MPI | {"JAX_COORDINATOR_ADDRESS": "node1:5"}, {"num_processes": 2, "process_id": 1}),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, {}),
    ],
)
def test_what_the_environment_says_reaches_jax(
    environment: dict[str, str],
    expected: dict[str, Any],
    told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
):
    join(environment, monkeypatch)
    assert len(told) == 1
    assert {name: told[0][name] for name in expected} == expected


def test_pods_ask_kubernetes(told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "kubernetes" else None)
    join(PODS, monkeypatch)
    assert told[0]["cluster_detection_method"] == "k8s"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_COORDINATOR_ADDRESS and JAX_PROCESS_ID must be set too"),
        (NAMED | {"JAX_COORDINATOR_ADDRESS": "node1"}, "JAX_COORDINATOR_ADDRESS is node1, which must be host:port"),
        (NAMED | {"JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID is 2 and JAX_NUM_PROCESSES 2; count the processes from 0"),
        (NAMED | {"JAX_NUM_PROCESSES": "²"}, "JAX_PROCESS_ID is 1 and JAX_NUM_PROCESSES ²; count the processes from 0"),
        (
            {"OMPI_COMM_WORLD_SIZE": ""},
            "OMPI_COMM_WORLD_SIZE is '', which must be a whole number; start this by mpirun",
        ),
        (
            {"OMPI_COMM_WORLD_SIZE": "2", "JAX_COORDINATOR_ADDRESS": "node1:5555"},
            "OMPI_COMM_WORLD_RANK is missing, which must be a whole number; start this by mpirun or srun",
        ),
        ({"SLURM_STEP_NUM_TASKS": "two"}, "SLURM_STEP_NUM_TASKS is 'two', which must be a whole number"),
        (OPEN_MPI, "does not say where its first process is; set JAX_COORDINATOR_ADDRESS=host:port"),
        (PODS, r"through the package kubernetes; install it with `pip install 'jax\[k8s\]'`"),
    ],
)
def test_what_is_missing_is_named(
    environment: dict[str, str], sentence: str, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ExperimentError, match=sentence):
        join(environment, monkeypatch)
    assert told == []


def test_what_jax_refuses_is_said_in_a_sentence(told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    def refuse(**arguments: Any) -> None:
        raise RuntimeError("Failed to start RPC server\nwith\na trace")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    registered = []
    monkeypatch.setattr(distributed.atexit, "register", registered.append)
    with pytest.raises(ExperimentError, match=r"cannot be joined: Failed to start RPC server; give them a free port"):
        join(NAMED, monkeypatch)
    assert len(registered) == 1  # the process will leave without waiting


def test_waiting_for_the_others_has_an_end():
    code = (
        "from segjax.train import ExperimentError, distributed\n"
        "try:\n"
        "    with distributed.joined(timeout=1): print('joined')\n"
        "except ExperimentError as error: print(error)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | NAMED | {"JAX_PROCESS_ID": rank, "JAX_COORDINATOR_ADDRESS": f"localhost:{port}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank, port in (("0", 0), ("1", 1))  # the first waits for others at some port, the second finds nobody at 1
    ]
    began = time.monotonic()
    for process, port in zip(processes, (0, 1), strict=True):
        said, _ = process.communicate(timeout=100)
        assert said.startswith("The other processes of this run did not all come within 1 s; look at what they print")
        assert said.endswith(f"reach the first one at localhost:{port}.\n")
        assert process.returncode == 1
    assert time.monotonic() - began < 60


def test_alone_everything_is_agreed_and_errors_pass():
    assert distributed.agree(lambda: "this") == "this"
    with pytest.raises(ValueError, match="mine"), distributed.joined():
        raise ValueError("mine")
    with pytest.raises(ExperimentError, match="no"):
        distributed.agree(lambda: (_ for _ in ()).throw(ExperimentError("no")))


SLOW = """
        import time
        time.sleep(READING)
        return self.records[index]"""


def test_a_stop_that_one_process_is_asked_for_comes_soon_in_slow_steps_and_within_an_evaluation(
    squares: Path, tmp_path: Path, forks: Forks
):
    text = squares.read_text().replace("(5, 2)", "(1000, 2)")
    squares.write_text("READING = 0.1\n" + text.replace("\n        return self.records[index]", SLOW))
    run = tmp_path / "run"
    file = run / "metrics.jsonl"

    def train_until(row: int, *arguments: str | Path) -> str:
        """Two processes, of which the second gets SIGTERM after that row of the log; what the first says last."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        processes = []
        for rank in "01":
            named = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": rank}
            first = f"import os; os.environ.update({named})\n"
            first += "from segjax.train import interruption; interruption.AGREE_EVERY = 0.2"  # in two steps
            processes.append(forks.start("train", *arguments, first=first))
        end = time.monotonic() + 60
        while not (file.exists() and f'"step": {row}' in file.read_text()):
            assert not any(process.ended for process in processes), processes[0].said
            assert time.monotonic() < end, processes[0].said
            time.sleep(0.01)
        time.sleep(0.3)  # some steps
        asked = time.monotonic()
        os.kill(processes[1].process, signal.SIGTERM)
        assert [process.wait() for process in processes] == [143, 143], processes[0].said
        assert time.monotonic() - asked < 30  # the evaluation would take 50 s
        return processes[0].said.splitlines()[-2]

    knobs = ("--steps", "40", "--evaluate-every", "20")
    said = train_until(10, squares, "--out", run, *knobs)
    step = int(re.match(r"Stopped at step (\d+); everything up to there is saved", said)[1])  # type: ignore[index]
    assert 10 <= step < 20
    said = train_until(20, "--resume", run)
    assert said.startswith("Stopped at step 20; everything up to there is saved")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [sorted(row) for row in rows] == [["step", "train"]] * 2
