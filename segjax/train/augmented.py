"""A batch augmented inside the training step, where its images are already on the devices."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from segjax.data import Augment
from segjax.errors import ExperimentError
from segjax.ops import augment as augment_one
from segjax.tasks.task import Batch

_parameters = inspect.signature(augment_one).parameters
ON_DEVICE = tuple(field.name for field in dataclasses.fields(Augment) if field.name in _parameters)
"""The knobs of `Augment` that devices know."""


def refuse_host_only(augment: Augment) -> None:
    """Refuse what a device cannot do of what `augment` says.

    Raises:
        ExperimentError: there is such a thing.
    """
    fields = [field for field in dataclasses.fields(augment) if getattr(augment, field.name) != field.default]
    if unknown := [field.name for field in fields if field.name not in ON_DEVICE]:
        raise ExperimentError(
            f"{', '.join(unknown)} cannot be done on the device: leave it out, or augment on the host, which does all."
        )


def augmented(batch: Batch, key: Key[Array, ""], augment: Augment, axis: str | None) -> Batch:
    """A batch of whole images, each changed by what its place in the batch of all devices draws.

    `axis` is the mapped axis that the batch is split over, where there is one.
    """
    count = len(batch["image"])
    first = 0 if axis is None else jax.lax.axis_index(axis) * count
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(first + jnp.arange(count))
    knobs = {name: getattr(augment, name) for name in ON_DEVICE}
    pixels = {name: batch[name] for name in ("image", "mask", "boxes") if name in batch}
    changed = jax.vmap(lambda key, arrays: augment_one(key, **arrays, **knobs))(keys, pixels)
    result = {**batch, **{name: getattr(changed, name) for name in pixels}}
    if changed.stays is not None:
        stays, size = changed.stays, jnp.array(changed.image.shape[1:3], jnp.int32)
        result["labels"] = jnp.where(stays, batch["labels"], -1)
        result["crowd"] = batch["crowd"] & stays
        result["size"] = jnp.where(batch["size"] > 0, size, 0)
        if "attributes" in batch:
            result["attributes"] = jnp.where(stays[..., None], batch["attributes"], jnp.nan)
    return result
