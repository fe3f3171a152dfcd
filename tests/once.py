"""Programs that run once, for milliseconds, and would compile for seconds."""

import os
from functools import partial
from importlib.metadata import version

import jax

AS_USERS_COMPILE = bool(os.environ.get("SEGJAX_TESTS_OPTIMISED"))
"""Whether all is compiled as users have it: twice as long, and what a compiler alone breaks is seen."""

OPTIONS: dict[str, int | bool] = (
    {} if AS_USERS_COMPILE else {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
)
"""For XLA: without optimisation, and in the way that is compiled in a fifth of the CPU's time.

What such a program computes twice is not the same to the last bit. XLA takes options of a whole program alone: not
where it is differentiated or mapped from outside, nor inside another.
"""
if OPTIONS and version("jaxlib").startswith("0.10."):  # later ones have no other emitters
    OPTIONS["xla_cpu_use_fusion_emitters"] = False

FLAGS = " ".join(f"--{name}={int(value)}" for name, value in OPTIONS.items())
"""The same in `XLA_FLAGS`, for a process that does nothing else."""

jit = partial(jax.jit, compiler_options=OPTIONS)
