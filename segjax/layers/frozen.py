"""A part of a model that training leaves as it is."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Num


class Frozen(nn.Module):
    """A module whose parameters no gradient reaches, and whose statistics stay those that it has.

    It has the variables of `module` under the same paths. Weight decay would move them all the same: keep it out of the
    optimizer, as the recipe's `freeze` does.
    """

    module: nn.Module

    def setup(self) -> None:
        """Share the scope of the module, so that its parameters are found where they were."""
        nn.share_scope(self, self.module)

    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `module` returns when it is not trained, for either value of `train`."""
        del train
        return jax.lax.stop_gradient(self.module(image, train=False))


def with_frozen_encoder(model: nn.Module) -> nn.Module:
    """The model with its field `encoder`, however deep, `Frozen`; the paths of its variables stay.

    Raises:
        ValueError: it has none.
    """
    frozen = _frozen(model)
    if frozen is None:
        raise ValueError(f"{type(model).__name__} has no field named encoder, and so nothing to freeze: leave it out.")
    return frozen


def _frozen(model: nn.Module) -> nn.Module | None:
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(model):
        part = getattr(model, field.name, None) if field.name != "parent" else None
        if isinstance(part, nn.Module):
            new = Frozen(part) if field.name == "encoder" else _frozen(part)
            changed |= {} if new is None else {field.name: new}
    return model.clone(**changed) if changed else None
