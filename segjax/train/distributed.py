"""Several processes that train one run together: how they find each other, and how they agree."""

import atexit
import contextlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from glob import glob
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from segjax import errors
from segjax.errors import ExperimentError, UserError

_MESSAGE_BYTES = 4096


@contextlib.contextmanager
def joined(timeout: float = 300) -> Iterator[None]:
    """While entered, the processes of this run are joined; does nothing for a process alone.

    Enter it before any use of a device. SLURM steps, Open MPI, indexed Kubernetes jobs and TPU pods are found by
    themselves. Anything else says in the environment who is who: `JAX_COORDINATOR_ADDRESS` (host:port at which the
    first process will listen), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID` (from 0). `JAX_NUM_PROCESSES=1` trains alone
    wherever this is. A program that has called `jax.distributed.initialize` itself is left as it is.

    Raises:
        ExperimentError: the others cannot be found, or have not come within `timeout` seconds.
    """
    place = None if jax.distributed.is_initialized() else _place()
    try:
        if place is not None:
            _join(place, timeout)
        yield
    except BaseException:
        if place is not None:
            atexit.register(_leave)
        raise


def _join(place: dict[str, Any], timeout: float) -> None:
    raised: list[Exception] = []

    def initialize() -> None:
        try:
            # At its own time-out JAX aborts the process with a stack trace, so it is given longer than it will get.
            jax.distributed.initialize(**place, initialization_timeout=int(timeout) + 3600)
        except Exception as error:
            raised.append(error)

    # Its handler of SIGTERM would take the signal that asks the run to save and stop.
    jax.config.update("jax_enable_preemption_service", False)
    thread = threading.Thread(target=initialize, daemon=True)
    thread.start()
    thread.join(timeout)
    if raised:
        said = str(raised[0]).strip().partition("\n")[0]
        raise ExperimentError(
            f"The processes of this run cannot be joined: {said}; give them a free port by "
            "JAX_COORDINATOR_ADDRESS=host:port, or train alone by JAX_NUM_PROCESSES=1."
        ) from raised[0]
    if thread.is_alive():
        where = place.get("coordinator_address") or os.environ.get("JAX_COORDINATOR_ADDRESS")
        raise ExperimentError(
            f"The other processes of this run did not all come within {timeout:g} s; look at what they print, and see "
            f"that all of them reach the first one{f' at {where}' if where else ''}."
        )


def _leave() -> None:
    """End a process that failed without waiting for the others, as JAX would, who may be waiting for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def agree(make: Callable[[], str]) -> str:
    """What `make` returns on the first process, on every process.

    Raises:
        UserError: it was raised there; it is raised on all.
    """
    if jax.process_count() == 1:
        return make()
    message = np.zeros(_MESSAGE_BYTES, np.uint8)
    if jax.process_index() == 0:
        try:
            text = f"+{make()}"
        except UserError as error:
            text = f"-{type(error).__name__}:{error}"
        encoded = np.frombuffer(text.encode()[:_MESSAGE_BYTES], np.uint8)
        message[: encoded.size] = encoded
    text = bytes(np.asarray(multihost_utils.broadcast_one_to_all(message))).rstrip(b"\0").decode(errors="ignore")
    if text.startswith("-"):
        kind, _, sentence = text[1:].partition(":")
        raise getattr(errors, kind)(sentence)
    return text[1:]


def _place() -> dict[str, Any] | None:
    """What `jax.distributed.initialize` must be told here; None for a process alone."""
    environment = os.environ
    named = [name for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID") if name in environment]
    if environment.get("JAX_NUM_PROCESSES") == "1":
        return None
    if named:
        return _named_place()
    if _number("OMPI_COMM_WORLD_SIZE", 1) > 1:
        if not environment.keys() & {"OMPI_MCA_orte_hnp_uri", "JAX_COORDINATOR_ADDRESS"}:
            raise ExperimentError(
                "This Open MPI does not say where its first process is; "
                "set JAX_COORDINATOR_ADDRESS=host:port to that process's machine and a free port there."
            )
        return {
            "num_processes": _number("OMPI_COMM_WORLD_SIZE"),
            "process_id": _number("OMPI_COMM_WORLD_RANK"),
            "local_device_ids": [_number("OMPI_COMM_WORLD_LOCAL_RANK")],
        }
    # Of this very step: SLURM_NTASKS may be the job's, and a step of one task trains alone in it.
    if _number("SLURM_STEP_NUM_TASKS", 1) > 1:
        return {
            "num_processes": _number("SLURM_STEP_NUM_TASKS"),
            "local_device_ids": _slurm_devices(),
            "cluster_detection_method": "slurm",
        }
    if environment.keys() >= {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"}:
        if importlib.util.find_spec("kubernetes") is None:
            raise ExperimentError(
                "The pods of this Kubernetes job find each other through the package kubernetes; install it with "
                "`pip install 'jax[k8s]'`, or train in each pod alone by JAX_NUM_PROCESSES=1."
            )
        return {"cluster_detection_method": "k8s"}
    if _on_tpu_pod():
        return {}
    return None


def _number(name: str, missing: int | None = None) -> int:
    """What Open MPI or SLURM says of this process in the environment."""
    said = os.environ.get(name)
    if said is None and missing is not None:
        return missing
    if said is None or not said.isdecimal():
        what = "missing" if said is None else f"{said!r}"
        raise ExperimentError(
            f"{name} is {what}, which must be a whole number; start this by mpirun or srun, or train alone by "
            "JAX_NUM_PROCESSES=1."
        )
    return int(said)


def _named_place() -> dict[str, Any]:
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ExperimentError(f"{' and '.join(missing)} must be set too; several processes need all of {names}.")
    address, *numbers = (os.environ[name] for name in names)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ExperimentError(f"JAX_COORDINATOR_ADDRESS is {address}, which must be host:port, such as node1:5555.")
    if not all(number.isdecimal() for number in numbers) or not int(numbers[1]) < int(numbers[0]):
        raise ExperimentError(
            f"JAX_PROCESS_ID is {numbers[1]} and JAX_NUM_PROCESSES {numbers[0]}; "
            "count the processes from 0 to one less than their number."
        )
    return {
        "coordinator_address": address,
        "num_processes": int(numbers[0]),
        "process_id": int(numbers[1]),
        "cluster_detection_method": "deactivate",
    }


def _slurm_devices() -> list[int] | None:
    """The GPUs of this task among those it sees; None for JAX's rule, the task's own number on its node.

    That rule would leave seven of eight idle where a node has one task, and find none where SLURM shows each task its
    own GPU alone.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    seen = len(visible.split(",")) if visible else 0
    tasks_per_node = {part.partition("(")[0] for part in os.environ.get("SLURM_STEP_TASKS_PER_NODE", "").split(",")}
    return list(range(seen)) if seen == 1 or (seen and tasks_per_node == {"1"}) else None


def _on_tpu_pod() -> bool:
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return True
    # A Google Cloud machine with TPUs is asked whether it belongs to a pod, through its metadata server.
    devices = glob("/dev/accel[0-9]*") + glob("/dev/vfio/[0-9]*")
    return bool(devices) and importlib.util.find_spec("libtpu") is not None and "TPU_SKIP_MDS_QUERY" not in os.environ
