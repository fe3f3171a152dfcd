"""Ops on arrays that are sharded by name: on jax's default mesh, and inside `jax.shard_map`."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Op = TypeVar("Op", bound=Callable[..., Any])


def on_any_mesh(op: Op) -> Op:
    """The op, which on a mesh of explicit axes leaves it to XLA how its inside is sharded, as on one of auto axes.

    There every reshape would have to say its result's sharding. What comes out with the batch's length first is sharded
    as the first array's batch is, and everything else is whole on every device.
    """

    @functools.wraps(op)
    def call(*arguments: Any, **keywords: Any) -> Any:
        leaves, tree = jax.tree.flatten((arguments, keywords))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Array)]
        shardings = [jax.typeof(leaves[i]).sharding for i in places]
        explicit = [one for one in shardings if AxisType.Explicit in one.mesh.axis_types]
        if not explicit:
            return op(*arguments, **keywords)

        def run(*arrays: Array) -> Any:
            filled = [*leaves]
            for i, array in zip(places, arrays, strict=True):
                filled[i] = array
            arguments, keywords = tree.unflatten(filled)
            return op(*arguments, **keywords)

        arrays, mesh = [leaves[i] for i in places], explicit[0].mesh
        batch, axis = next(
            ((x.shape[0], s.spec[0]) for x, s in zip(arrays, shardings, strict=True) if s.spec and s.spec[0]),
            (None, None),
        )
        whole = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]

        def sharding(result: Any) -> NamedSharding:
            with_batch = axis is not None and result.shape[:1] == (batch,)
            return NamedSharding(mesh, PartitionSpec(axis) if with_batch else PartitionSpec())

        with jax.sharding.use_abstract_mesh(mesh):
            results = jax.tree.map(sharding, jax.eval_shape(run, *whole))
            return jax.sharding.auto_axes(run, out_sharding=results)(*arrays)

    return call  # type: ignore[return-value]


def varying_over(array: Any) -> frozenset[Any]:
    """The axes of a mesh over which an abstract array varies inside `jax.shard_map`."""
    manual = getattr(
        array, "manual_axis_type", None
    )  # in jax 0.10.1 and before, and in some after it, it says so itself
    return getattr(array, "vma", frozenset()) if manual is None else manual.varying


def varying_alike(*arrays: Array) -> tuple[Array, ...]:
    """The arrays, all of which vary over the axes that one of them varies over inside `jax.shard_map`."""
    over = [varying_over(jax.typeof(array)) for array in arrays]
    axes = frozenset[Any]().union(*over)
    if not axes:
        return arrays
    missing = [tuple(axes - own) for own in over]
    return tuple(lax.pcast(x, new, to="varying") if new else x for x, new in zip(arrays, missing, strict=True))
