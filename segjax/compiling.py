"""How XLA compiles what is trained, scored and predicted: for speed on a CPU, for the same bits on a GPU."""

import functools
from collections.abc import Callable
from typing import Any

import jax


def jit(function: Callable[..., Any], platform: str | None = None, **jit_arguments: Any) -> Any:
    """`jax.jit` with the compiler options of a platform, of jax's own where none is named."""
    return jax.jit(function, compiler_options=compiler_options(platform), **jit_arguments)


def compiler_options(platform: str | None = None) -> dict[str, str | bool] | None:
    """What XLA is told for a platform ("cpu", "gpu" or "tpu"), jax's own where none is named."""
    match platform or jax.default_backend():
        case "cpu":
            return _for_cpus()
        case "gpu" | "cuda" | "rocm":
            # Else a sum may be another one each time, by the order in which the GPU's threads arrive.
            return {"xla_gpu_exclude_nondeterministic_ops": True}
    return None


@functools.cache
def _for_cpus() -> dict[str, str | bool] | None:
    wanted: dict[str, str | bool] = {
        # XLA's kernel library speeds reductions up and slows filter gradients 2x down: keep it for reductions.
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
        # Else every array of an optimizer's state is copied in each step, as others read it while it is written over.
        "xla_cpu_copy_insertion_use_region_analysis": True,
    }
    return {name: value for name, value in wanted.items() if _is_known({name: value})} or None


def _is_known(options: dict[str, str | bool]) -> bool:
    """Whether this jaxlib takes them: another may have renamed an option or dropped a library."""
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
    except Exception:
        return False
    return True
