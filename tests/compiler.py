"""In which way jax compiles for tests, most of whose programs run once, for milliseconds. Imported before jax."""

import os
from functools import lru_cache
from importlib.metadata import version
from itertools import count
from typing import Any

AS_USERS: dict[str, int | bool] = {"xla_backend_optimization_level": 3, "xla_cpu_parallel_codegen_split_count": 32}
"""`compiler_options` of a program whose memory, speed or last bits a test is about."""
_SOONEST: dict[str, int | bool] = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
"""Without optimisation, and in the way that takes a third of the CPU's time.

What such a program computes twice is not the same to the last bit.
"""
if version("jaxlib").startswith("0.10."):  # later ones have no other emitters
    AS_USERS["xla_cpu_use_fusion_emitters"] = True
    _SOONEST["xla_cpu_use_fusion_emitters"] = False


def compile_soonest() -> None:
    """For this process and those that it starts, unless `SEGJAX_TESTS_OPTIMISED` is set."""
    flags = " ".join(f"--{name}={int(value)}" for name, value in _SOONEST.items())
    before = os.environ.get("XLA_FLAGS", "")
    if flags not in before and not os.environ.get("SEGJAX_TESTS_OPTIMISED"):
        os.environ["XLA_FLAGS"] = f"{before} {flags}".lstrip()


def share_contexts() -> None:
    """Let thirty programs have one of MLIR's contexts, where jax makes one for each: a third of what a small one costs.

    No more than that, since a context keeps the constants of all its programs.
    """
    from jax._src.interpreters import mlir

    make = mlir.make_ir_context
    started = count()

    @lru_cache(1)
    def context(_: int) -> Any:
        return make()

    mlir.make_ir_context = lambda: context(next(started) // 30)
