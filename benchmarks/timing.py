"""An interleaved race: candidates take turns in one process, so that whatever else the machine does hits all alike."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

PAUSE = 0.004
"""Seconds before each call, in which the threads of the runtime that ran before stop spinning."""
QUIET = 0.08
"""The largest share of the machine that other processes may take in a round that counts."""


@dataclass(frozen=True)
class Timing:
    """One candidate's figures, medians over the rounds that count."""

    seconds: float
    cpu_seconds: float
    """Of this process on all cores: grows little when other processes slow the clock down."""
    rounds: int
    """How many rounds the medians are over."""
    quiet: bool
    """Whether those were rounds in which the machine did little else. Otherwise only ratios mean something."""


def race(
    candidates: dict[str, Callable[[], Any]],
    rounds: int = 11,
    warmup: int = 1,
    max_seconds: float = 40.0,
    calls: int = 1,
) -> dict[str, Timing]:
    """Median seconds of each candidate: a function of nothing that returns jax arrays or torch tensors.

    A round gives every candidate a turn, each round another first. Of the `calls` in a turn the last is timed: where
    candidates use hundreds of megabytes, the first of two brings back what the system had taken away meanwhile. Rounds
    in which other processes took more than `QUIET` of the machine are dropped and made up for until `max_seconds` have
    passed; where fewer than `rounds` quiet ones were had by then, the medians are over all, which are `rounds` at
    least.
    """
    for run in candidates.values():
        for _ in range(warmup):
            _wait(run())
    names = list(candidates)
    taken: list[tuple[dict[str, tuple[float, float]], bool]] = []
    start = time.perf_counter()
    while len(taken) < rounds or (
        sum(quiet for _, quiet in taken) < rounds and time.perf_counter() - start < max_seconds
    ):
        first = len(taken) % len(names)
        others = _Others()
        row = {name: [_measure(candidates[name]) for _ in range(calls)][-1] for name in names[first:] + names[:first]}
        taken.append((row, others.share() <= QUIET))

    calm = [row for row, quiet in taken if quiet]
    quiet = len(calm) >= rounds
    counted = calm if quiet else [row for row, _ in taken]
    return {
        name: Timing(
            statistics.median(row[name][0] for row in counted),
            statistics.median(row[name][1] for row in counted),
            len(counted),
            quiet,
        )
        for name in names
    }


def _measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds and CPU seconds of one call. The result is freed after the clock has stopped."""
    time.sleep(PAUSE)
    cpu, start = time.process_time(), time.perf_counter()
    result = run()
    _wait(result)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    del result
    return seconds, cpu


def _wait(result: Any) -> None:
    """Return when the device is done: torch queues on CUDA and jax everywhere."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
    jax.block_until_ready(result)


class _Others:
    """What share of the machine other processes take, from here to `share()`; 0 where Linux's /proc is not there."""

    def __init__(self) -> None:
        self.machine, self.own, self.clock = _busy_seconds(), time.process_time(), time.perf_counter()

    def share(self) -> float:
        seconds = time.perf_counter() - self.clock
        others = (_busy_seconds() - self.machine) - (time.process_time() - self.own)
        return others / (seconds * (os.cpu_count() or 1))


def _busy_seconds() -> float:
    """Seconds that all cores were at work since the machine started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
