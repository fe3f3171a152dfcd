"""How fast a run is, and how near to what its devices can do."""

import time
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from segjax.train.devices import Program

PEAK_FLOPS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L4": 121e12,
    "V100": 125e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
}
"""Dense bfloat16 (V100: float16) operations per second from the makers' data sheets, by a part of the device's name."""


@dataclass
class Speed:
    """Counts time and work from the first step of this process on."""

    programs: list[Program]
    images_per_step: int
    """Over all devices and all runs that are trained together."""
    device_count: int
    waited: float = 0.0
    """Seconds spent waiting for batches."""
    trained: float = 0.0
    """Seconds between rows of the log, evaluation left out."""
    steps: int = 0
    _since: float = field(default_factory=time.perf_counter)
    _waited_then: float = 0.0

    def start(self) -> None:
        """Begin to count, or go on after something that is not training."""
        self._since = time.perf_counter()
        self._waited_then = self.waited

    def lap(self, steps: int) -> dict[str, float]:
        """Count `steps` steps as done since the last lap, and say how fast they were."""
        seconds = time.perf_counter() - self._since
        waited = self.waited - self._waited_then
        self.trained += seconds
        self.steps += steps
        self.start()
        return self._rates(seconds, steps, waited)

    def report(self) -> dict[str, Any]:
        """What report.json says: all laps together, and what the compiled step costs."""
        report: dict[str, Any] = {
            "compile_seconds": round(sum(program.seconds for program in self.programs), 2),
            "flops_per_step": sum(program.flops for program in self.programs) * self.device_count,
            "peak_bytes": max(program.peak_bytes for program in self.programs),
        }
        if self.steps:
            report |= self._rates(self.trained, self.steps, self.waited)
        return report

    def _rates(self, seconds: float, steps: int, waited: float) -> dict[str, float]:
        rates = {
            "images_per_second": steps * self.images_per_step / seconds,
            "waiting_for_data": waited / seconds,
        }
        flops = sum(program.flops for program in self.programs) * self.device_count
        if flops:
            rates["model_flops_utilisation"] = flops * steps / seconds / (peak_flops() * self.device_count)
        return rates


def peak_flops() -> float:
    """The operations per second that one device could do: its maker's figure, or that of a large product here."""
    kind = jax.devices()[0].device_kind
    known = [flops for name, flops in PEAK_FLOPS.items() if name in kind]
    return known[0] if known else _measured(jax.devices()[0])


def _measured(device: Any, _found: dict[Any, float] = {}) -> float:  # noqa: B006
    """The fastest of some products of float32 matrices: threads that others left spinning slow the first ones down."""
    if device not in _found:
        n = 1024
        matrix = jax.device_put(jnp.ones((n, n)), device)
        product = jax.jit(jnp.matmul)
        product(matrix, matrix).block_until_ready()
        times = []
        for _ in range(25):
            began = time.perf_counter()
            product(matrix, matrix).block_until_ready()
            times.append(time.perf_counter() - began)
        _found[device] = 2 * n**3 / min(times)
    return _found[device]
