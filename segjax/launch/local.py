"""Several processes on this machine that act as one command."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from glob import glob
from types import FrameType
from typing import IO, TextIO

from segjax.errors import ExperimentError
from segjax.launch.tied import tied

GRACE_SECONDS = 5.0
"""What the others get, once a process has failed, before they are killed; without it they can save nothing."""

SAVING_SECONDS = 60.0
"""What the others get, once a process has ended as it was asked to, for what they are saving."""

_printing = threading.Lock()


def start(command: Sequence[str], processes: int) -> int:
    """Run a command as several processes that find each other; returns the exit code of the first that failed, or 0.

    Every line of output is passed on behind the number of its process. SIGINT and SIGTERM reach every process. When
    one fails the others are asked to end, and killed where they do not. On Linux they get SIGTERM too when this process
    is killed. On a machine with GPUs each process gets its even share of them.

    Raises:
        ExperimentError: the GPUs cannot be shared evenly.
    """
    environments = _environments(processes)
    ended: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    children: list[subprocess.Popen[str]] = []
    asked = threading.Event()

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.set()
        _send(children, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        readers = []
        for index, environment in enumerate(environments):
            # A session of its own, so that Ctrl-C in a terminal reaches it once, through here.
            child = subprocess.Popen(
                tied(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            children.append(child)
            assert child.stdout is not None
            assert child.stderr is not None
            for source, sink in ((child.stdout, sys.stdout), (child.stderr, sys.stderr)):
                readers.append(threading.Thread(target=_copy, args=(index, source, sink), daemon=True))
                readers[-1].start()
            threading.Thread(target=lambda i=index, c=child: ended.put((i, c.wait())), daemon=True).start()
        code = _wait(children, ended, asked)
        for reader in readers:
            reader.join(timeout=1)  # a grandchild may hold a pipe open
        return code
    finally:
        _send(children, signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(
    children: Sequence[subprocess.Popen[str]], ended: "queue.SimpleQueue[tuple[int, int]]", asked: threading.Event
) -> int:
    code, deadline = 0, None
    for _ in children:
        while True:
            try:
                index, status = ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
                break
            except queue.Empty:
                deadline = None
                _send(children, signal.SIGKILL)
        if status == 0 or code:
            continue
        code = status if status > 0 else 128 - status  # as a shell says that a signal ended it
        deadline = time.monotonic() + (SAVING_SECONDS if asked.is_set() else GRACE_SECONDS)
        if not asked.is_set():
            print(f"segjax: process {index} failed with exit code {code}; the others are ended.", file=sys.stderr)
            _send(children, signal.SIGTERM)
    return code


def _send(children: Sequence[subprocess.Popen[str]], number: int) -> None:
    for child in children:
        child.send_signal(number)  # does nothing to one that has ended


def _copy(index: int, source: IO[str], sink: TextIO) -> None:
    with source:
        for line in source:
            with _printing:
                sink.write(f"[{index}] {line}")
                sink.flush()


def _environments(processes: int) -> list[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    shared = os.environ | {
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_COORDINATOR_BIND_ADDRESS": address,  # and nobody from outside
        "JAX_NUM_PROCESSES": str(processes),
        "PYTHONUNBUFFERED": "1",
    }
    gpus = _gpus()
    share, rest = divmod(len(gpus), processes)
    if gpus and (rest or not share):
        raise ExperimentError(
            f"{len(gpus)} GPU{'s' * (len(gpus) > 1)} cannot be shared evenly by {processes} processes; "
            "one process can use them all, and JAX_PLATFORMS=cpu leaves them alone."
        )
    return [
        shared
        | {"JAX_PROCESS_ID": str(index)}
        | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus[index * share : (index + 1) * share])} if gpus else {})
        for index in range(processes)
    ]


def _gpus() -> list[str]:
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name]
    return [str(index) for index in range(len(glob("/dev/nvidia[0-9]*")))]
