import os
import subprocess
import sys
import time
from typing import Any

import jax
import pytest

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
