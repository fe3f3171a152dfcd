"""A part of a model that training leaves as it is."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Num

from segjax.layers.norm import BATCH_NORMS
from segjax.level import Parts


class Frozen(nn.Module):
    """A module whose parameters no gradient reaches, and whose statistics stay those that it has; or parts of it.

    It has the variables of `module` under the same paths. Weight decay would move them all the same: keep it out of the
    optimizer, as the recipe's `freeze` does.

    Examples:
        >>> frozen = layers.Frozen(layers.ConvBlock((6,)))
        >>> run = lambda x: frozen.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 6)
    """

    module: nn.Module
    parts: tuple[str, ...] | None = None
    """The names of the parts that stay, of those that the module has; None for all of it. A gradient passes through
    them to what is trained before them."""

    def setup(self) -> None:
        """Share the scope of the module, so that its parameters are found where they were."""
        nn.share_scope(self, self.module)

    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `module` returns; for either value of `train`, what is frozen does as it does when it is not trained."""
        if self.parts is None:
            return jax.lax.stop_gradient(self.module(image, train=False))
        if not train or self.is_initializing():
            return self.module(image, train=train)

        untrained = partial(_untrained, self.parts, len(self.path))

        def run(module: nn.Module, image: Array) -> Any:
            with nn.intercept_methods(untrained):
                return module(image, train=True)

        return nn.map_variables(run, "params", trans_in_fn=partial(_stopped, self.parts))(self.module, image)


def _stopped(parts: tuple[str, ...], collections: Any) -> Any:
    """Parameters, those of these parts without a gradient."""

    def stop(path: tuple[Any, ...], leaf: Array) -> Array:
        inside = [key.key for key in path[1:]]  # the first is the collection's
        return jax.lax.stop_gradient(leaf) if belongs_to(inside, parts) else leaf

    return jax.tree_util.tree_map_with_path(stop, collections)


def _untrained(
    parts: tuple[str, ...], depth: int, call: Callable[..., Any], arguments: Any, keywords: Any, context: Any
) -> Any:
    """Of the layers that training changes, those of these parts do as they do when they are not trained.

    `depth` is that of the encoder in the model.
    """
    module = context.module
    if context.method_name == "__call__" and belongs_to(module.path[depth:], parts):
        if isinstance(module, BATCH_NORMS) and not module.use_running_average:
            return module.clone(parent=module.scope, use_running_average=True)(*arguments, **keywords)
        if isinstance(module, nn.Dropout):
            return arguments[0]
    return call(*arguments, **keywords)


def belongs_to(path: Sequence[str], parts: Collection[str]) -> bool:
    """Whether what lies at that path in an encoder belongs to one of these parts, as `segjax.level.Parts` has it.

    Examples:
        >>> layers.belongs_to(("layer1", "conv", "kernel"), {"conv1", "layer1"})
        True
    """
    joined = "_".join(path) + "_"
    return any(joined.startswith(f"{part}_") for part in parts)


def parts_of_encoder(model: nn.Module) -> tuple[str, Parts]:
    """The type of a model's field `encoder`, however deep, and the names of its parts; none where it says none.

    Raises:
        ValueError: the model has no such field.

    Examples:
        >>> layers.parts_of_encoder(models.Segmenter(3, encoders.named("resnet18"), decoders.UNetDecoder()))
        ('ResNet', (('conv1', 'bn1'), ('layer1',), ('layer2',), ('layer3',), ('layer4',)))
    """
    found = _encoders(model)
    if not found:
        raise _no_encoder(model)
    return type(found[0]).__name__, getattr(found[0], "parts", ())


def with_frozen_encoder(model: nn.Module, parts: tuple[str, ...] | None = None) -> nn.Module:
    """The model with its field `encoder`, however deep, `Frozen`, or parts of it; the paths of its variables stay.

    Raises:
        ValueError: it has none.

    Examples:
        >>> model = models.unet(3)
        >>> model = layers.with_frozen_encoder(model)
        >>> type(model.encoder).__name__
        'Frozen'
    """
    frozen = _frozen(model, parts)
    if frozen is None:
        raise _no_encoder(model)
    return frozen


def _no_encoder(model: nn.Module) -> ValueError:
    return ValueError(f"{type(model).__name__} has no field named encoder, and so nothing to freeze: leave it out.")


def _fields(model: nn.Module) -> dict[str, nn.Module]:
    values = {field.name: getattr(model, field.name, None) for field in dataclasses.fields(model)}
    return {name: value for name, value in values.items() if isinstance(value, nn.Module) and name != "parent"}


def _encoders(model: nn.Module) -> list[nn.Module]:
    fields = _fields(model)
    return [one for name, part in fields.items() for one in ([part] if name == "encoder" else _encoders(part))]


def _frozen(model: nn.Module, parts: tuple[str, ...] | None) -> nn.Module | None:
    changed: dict[str, Any] = {}
    for name, part in _fields(model).items():
        new = Frozen(part, parts) if name == "encoder" else _frozen(part, parts)
        changed |= {} if new is None else {name: new}
    return model.clone(**changed) if changed else None
