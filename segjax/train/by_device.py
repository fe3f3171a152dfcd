"""A model that each device applies to its share of a batch with weights of its own, so that gradients stay apart."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from segjax.layers.norm import BATCH_NORMS


def copies(params: Any, mesh: Mesh) -> Any:
    """The parameters once for each device, which is as much memory as they take on all of them anyway."""
    own = NamedSharding(mesh, _of_each(mesh))
    each = lambda x: jnp.broadcast_to(x, (mesh.size, *x.shape))  # noqa: E731
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(each(x), own), params)


def total_of_copies(gradients: Any) -> Any:
    """The gradient of the parameters from that of their copies: the one sum over devices."""
    return jax.tree.map(lambda x: x.sum(axis=0), gradients)


def apply_by_device(apply: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`apply(params, collections, images, key) -> (outputs, collections)` of copies of parameters and a whole batch.

    What it gives is that of one program over the batch, batch normalisation, dropout and loss included; only the
    gradient of each copy is that of its device's share.
    """

    def of_share(params: Any, collections: Any, images: Array, key: Array) -> Any:
        with nn.intercept_methods(as_one_batch):
            outputs, updated = apply(jax.tree.map(lambda x: x[0], params), collections, images, key)
        return outputs, mean_over_devices(updated, "data")

    own, whole = _of_each(mesh), PartitionSpec()
    # Unchecked, as under pmap: what batch normalisation sums is not said to be the same on all devices.
    return jax.shard_map(
        of_share, mesh=mesh, in_specs=(own, whole, own, whole), out_specs=(own, whole), check_vma=False
    )


def mean_over_devices(collections: Any, axis: str) -> Any:
    """The mean of what devices have of real numbers; the rest is the same on all of them."""
    return jax.tree.map(lambda x: jax.lax.pmean(x, axis) if is_real(x) else x, collections)


def is_real(x: Array) -> bool:
    """Whether it is of real numbers, and no count."""
    return jnp.issubdtype(x.dtype, jnp.floating)


def as_one_batch(call: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
    """Make batch normalisation and dropout those of the whole batch, whoever wrote the model."""
    module = context.module
    if isinstance(module, BATCH_NORMS) and module.axis_name is None:
        object.__setattr__(module, "axis_name", "data")
    if isinstance(module, nn.Dropout) and context.method_name == "__call__":
        # The key is the same on every device: draw for the whole batch, as one program over it does, and take a share.
        x, *rest = arguments
        whole = call(jnp.ones((x.shape[0] * jax.lax.axis_size("data"), *x.shape[1:]), x.dtype), *rest, **keywords)
        return x * jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index("data") * x.shape[0], x.shape[0])
    return call(*arguments, **keywords)


def _of_each(mesh: Mesh) -> PartitionSpec:
    # By all axes, though "data" alone has more than one device: gradients would be summed over those that are not said.
    return PartitionSpec(mesh.axis_names)
