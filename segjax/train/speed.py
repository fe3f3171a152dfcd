"""How fast a run is, and how near to what its devices can do."""

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from segjax.train.devices import Program, peak_bytes

PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "V100": 125e12,
    "MI300X": 1307e12,
    "TPU v4": 275e12,
    "TPU v5e": 197e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6e": 918e12,
    "TPU v6 lite": 918e12,
    "TPU7x": 2307e12,
}
"""Dense bfloat16 (V100: float16) operations per second from the makers' data sheets, by words of the device's name."""


class Work(NamedTuple):
    """What was done in some time."""

    seconds: float = 0.0
    waited: float = 0.0
    images: float = 0.0
    flops: float = 0.0


@dataclass
class Speed:
    """Counts time and work from the first step of this process on."""

    device_count: int
    """How many devices one program runs on."""
    programs: Sequence[Program] = ()
    """Those that take a step of all runs together."""
    images_per_step: int = 0
    """Over all devices and all runs that are trained together."""
    compile_seconds: float = 0.0
    total: Work = field(default_factory=Work)
    """Between rows of the log, evaluation left out."""
    _since: float = field(default_factory=time.perf_counter)

    def runs(self, programs: Sequence[Program], images_per_step: int) -> None:
        """From here on a step is these programs."""
        self.compile_seconds += sum(program.seconds for program in programs if program not in self.programs)
        self.programs, self.images_per_step = programs, images_per_step

    def start(self) -> None:
        """Begin to count, or go on after something that is not training."""
        self._since = time.perf_counter()

    def lap(self, steps: int, waited: float) -> dict[str, float]:
        """Count `steps` steps as done since the last lap, of which `waited` seconds were spent waiting for batches."""
        flops = sum(program.flops for program in self.programs)
        work = Work(time.perf_counter() - self._since, waited, steps * self.images_per_step, steps * flops)
        self.total = Work(*(a + b for a, b in zip(self.total, work, strict=True)))
        self.start()
        return self._rates(work)

    def report(self) -> dict[str, Any]:
        """What report.json says: all laps together, and what the compiled step costs."""
        report: dict[str, Any] = {"compile_seconds": round(self.compile_seconds, 2)}
        if self.programs:
            report |= {
                "flops_per_step": sum(program.flops for program in self.programs),
                "peak_bytes": max(peak_bytes(program.compiled) for program in self.programs),
            }
        return report | (self._rates(self.total) if self.total.images else {})

    def _rates(self, work: Work) -> dict[str, float]:
        rates = {"images_per_second": work.images / work.seconds, "waiting_for_data": work.waited / work.seconds}
        if work.flops:
            rates["model_flops_utilisation"] = work.flops / work.seconds / (peak_flops() * self.device_count)
        return rates


def peak_flops() -> float:
    """The operations per second that one device could do: its maker's figure, or that of a large product here."""
    device = jax.devices()[0]
    return known_peak(device.device_kind) or _measured(device)


def known_peak(kind: str) -> float | None:
    """What the maker says of a device of that name, such as "NVIDIA H100 80GB HBM3"."""
    known = [flops for name, flops in PEAK_FLOPS.items() if re.search(rf"\b{name}\b", kind)]
    return known[0] if known else None


@functools.cache
def _measured(device: Any) -> float:
    """The fastest of some products of float32 matrices: threads that others left spinning slow the first ones down."""
    n = 1024
    matrix = jax.device_put(jnp.ones((n, n)), device)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    times: list[float] = []
    while len(times) < 3 or (len(times) < 10 and sum(times) < 0.1):  # every run waits for it
        began = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2 * n**3 / min(times)
