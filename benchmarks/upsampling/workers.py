"""Processes with a core each: small networks run faster on CPU two at a time than one on two cores."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import jax


def default_workers() -> int:
    """As many as there are cores to this process; one where there is an accelerator, which is not shared."""
    return len(_cores()) if jax.default_backend() == "cpu" else 1


def work(
    function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], workers: int, cache: Path
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Call `function(*job)` for every job and yield each job with its result or exception, in the order of their ends.

    On CPU every worker is a process that keeps to one core. With one worker on an accelerator all is done here.
    Compiled programs are kept in `cache`, or where jax was told to. When the iteration is left, workers are stopped.
    """
    if jax.default_backend() != "cpu":
        _keep_programs(cache)
        yield from _here(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for core in _cores():
        cores.put(core)
    executor = ProcessPoolExecutor(
        min(workers, len(_cores())), context, initializer=_begin, initargs=(cores, str(cache))
    )
    try:
        futures = {executor.submit(function, *job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.exception() or future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _here(function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for job in jobs:
        try:
            result = function(*job)
        except Exception as error:
            result = error
        yield job, result


def _begin(cores: Any, cache: str) -> None:
    """Runs in a new worker before jax counts the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent, which stops us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores.get()})
    _keep_programs(Path(cache))


def _end_with_parent() -> None:
    """A parent that was killed stops nobody: without it a worker would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _keep_programs(cache: Path) -> None:
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
