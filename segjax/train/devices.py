"""The one file that knows devices: where arrays live and how a step is compiled for them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from segjax.train.experiment import ExperimentError

Tree = TypeVar("Tree")


def data_mesh(batch_size: int) -> Mesh:
    """A mesh over every device with one axis, `data`, that the batch is split over."""
    count = jax.device_count()
    if batch_size % count:
        raise ExperimentError(
            f"batch_size is {batch_size}, which {count} devices cannot share evenly; make it a multiple of {count}."
        )
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,))


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """The same arrays on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """A batch (n ...) with its first axis split over the mesh's devices."""
    return jax.device_put(dict(batch), NamedSharding(mesh, PartitionSpec("data")))


def compile_step(step: Callable, **jit_arguments: Any) -> Callable:
    """`jax.jit` with the compiler options that make convolutions fast on this backend."""
    return jax.jit(step, compiler_options=_compiler_options(), **jit_arguments)


@functools.cache
def _compiler_options() -> dict[str, str] | None:
    """On CPU, XLA's kernel library speeds reductions up and slows filter gradients 2x down: keep it for reductions."""
    if jax.default_backend() != "cpu":
        return None
    options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
    except Exception:  # another jaxlib may have renamed the option or dropped the library
        return None
    return options
