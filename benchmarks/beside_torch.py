"""An encoder and the torch module whose weights it takes: how far their levels and gradients are apart.

torch computes in float64. Weights and statistics are random, and batch normalisation is in evaluation.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import traverse_util
from jax.typing import DTypeLike

from segjax.ops.geometry import Pair
from segjax.weights import convert


class Reference(NamedTuple):
    """What an encoder is compared with."""

    module: Any
    levels: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    unused: str | None = None
    """A regular expression of the names, as brought, that the encoder has no place for."""
    names: convert.Names = ()
    """What brings the names of its parameters to those of the encoder."""


@dataclass(frozen=True)
class Pairing:
    """An encoder and its reference, with the same weights."""

    encoder: Any
    reference: Reference

    @cached_property
    def variables(self) -> Mapping[str, Any]:
        """The encoder's."""
        image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        like = jax.eval_shape(partial(self.encoder.init, train=False), jax.random.key(0), image)
        _, _, unused, names = self.reference
        return convert.from_torch(state_of(self.reference), like, names=names, unused=unused)

    def levels(self, variables: Any, image: jax.Array, dtype: DTypeLike) -> list[jax.Array]:
        """The features of the encoder's, computed in `dtype`."""
        encoder = self.encoder.clone(dtype=dtype)
        return [level.features for level in encoder.apply(variables, image, train=False)]


def randomized(module: Any) -> Any:
    """The module in double precision and evaluation, with no parameter at a value that hides what it does."""
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + noise.abs())
        elif name.endswith(".weight") and value.ndim > 1:
            value.copy_(noise / value[0].numel() ** 0.5)
        elif name.endswith((".weight", "gamma")):
            value.copy_(1 + 0.2 * noise)
        else:
            value.copy_(value + 0.2 * noise)
    return module.eval().double()


def state_of(reference: Reference) -> dict[str, np.ndarray]:
    """Its arrays, in single precision."""
    return {name: value.float().numpy() for name, value in reference.module.state_dict().items()}


def level_differences(pairing: Pairing, size: Pair, dtype: DTypeLike = np.float64, *, images: int = 2) -> list[float]:
    """Of every level, as a share of its largest value, where the encoder computes in `dtype`."""
    (found,) = level_differences_in((dtype,), pairing, size, images=images)
    return found


def level_differences_in(
    dtypes: Sequence[DTypeLike], pairing: Pairing, size: Pair, *, images: int
) -> list[list[float]]:
    """As `level_differences`, for each of several dtypes."""
    image = noise(size, images)
    with torch.no_grad():
        expected = pairing.reference.levels(to_torch(image))
    found = []
    for dtype in dtypes:
        with jax.enable_x64(True):
            ours = jit(partial(pairing.levels, dtype=dtype))(placed(pairing.variables, dtype), cast(image, dtype))
        found.append([difference(mine, theirs) for mine, theirs in zip(ours, expected, strict=True)])
    return found


def differences(pairing: Pairing, size: Pair, of: str = "", *, images: int = 2) -> tuple[list[float], dict[str, float]]:
    """Of every level, and of the gradients of a weighted sum of them by the image and by every parameter.

    In double precision, by one program. `of` is a regular expression of the names, as brought, of fewer parameters.
    Each gradient's is a share of its largest number, or of a ten-thousandth of the largest of all: some are zero but
    for rounding.
    """
    image = noise(size, images)
    pixels = to_torch(image).requires_grad_()
    reference = pairing.reference
    reference.module.zero_grad()
    for name, each in reference.module.named_parameters():
        each.requires_grad_(re.match(of, convert.renamed(name, reference.names)) is not None)
    levels = reference.levels(pixels)
    weights = [np.random.default_rng(i).standard_normal(level.shape) for i, level in enumerate(levels)]
    torch.stack([(y * torch.from_numpy(w)).sum() for y, w in zip(levels, weights, strict=True)]).sum().backward()
    with jax.enable_x64(True):
        exact = traverse_util.flatten_dict(placed(pairing.variables, np.float64))
    asked = {path: leaf for path, leaf in exact.items() if path[0] == "params" and re.match(of, convert.name_of(path))}
    rest = {path: leaf for path, leaf in exact.items() if path not in asked}

    def weighed(asked: Any, image: jax.Array, rest: Any) -> tuple[jax.Array, list[jax.Array]]:
        found = pairing.levels(traverse_util.unflatten_dict(rest | asked), image, np.float64)
        sums = [(y * w.transpose(0, 2, 3, 1)).sum() for y, w in zip(found, weights, strict=True)]
        return jnp.stack(sums).sum(), found

    with jax.enable_x64(True):
        (by_asked, by_image), found = jit(jax.grad(weighed, (0, 1), has_aux=True))(asked, cast(image, np.float64), rest)
    of_levels = [difference(mine, level) for mine, level in zip(found, levels, strict=True)]
    ours = convert.to_torch(traverse_util.unflatten_dict(by_asked))
    gradients = {name: each.grad.numpy() for name, each in reference.module.named_parameters() if each.grad is not None}
    theirs = {convert.renamed(name, reference.names): gradient for name, gradient in gradients.items()}
    if ours.keys() != theirs.keys():
        raise ValueError(f"{sorted(ours.keys() ^ theirs.keys())} have a gradient on one side alone.")
    floor = 1e-4 * max((np.abs(gradient).max() for gradient in theirs.values()), default=0)
    of_gradients = {
        name: float(np.abs(ours[name] - gradient).max() / max(np.abs(gradient).max(), floor))
        for name, gradient in theirs.items()
    }
    assert pixels.grad is not None
    return of_levels, {"image": difference(by_image, pixels.grad), **of_gradients}


def noise(size: Pair, images: int = 2) -> np.ndarray:
    """Images in single precision, channels last."""
    return np.random.default_rng(0).standard_normal((images, *size, 3)).astype(np.float32)


def jit(function: Callable) -> Callable:
    """Compiled without optimisation and with XLA's older emitters where it has them, in a tenth of the time."""
    options: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
    if version("jaxlib").startswith("0.10."):
        options["xla_cpu_use_fusion_emitters"] = False
    return jax.jit(function, compiler_options=options)


def cast(tree: Any, dtype: DTypeLike) -> Any:
    """On the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def placed(tree: Any, dtype: DTypeLike) -> Any:
    """As arrays of jax's, one after the other, so that there are never two of all of them."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def to_torch(image: np.ndarray) -> torch.Tensor:
    """Channels first, in double precision."""
    return torch.from_numpy(image.transpose(0, 3, 1, 2)).double()


def difference(ours: Any, theirs: torch.Tensor) -> float:
    """Of an array with channels last from a tensor with channels first, as a share of the largest value."""
    expected = theirs.detach().permute(0, 2, 3, 1).numpy()
    if ours.shape != expected.shape:
        raise ValueError(f"Its shape is {ours.shape}, in torch {expected.shape}.")
    return float(np.abs(np.asarray(ours) - expected).max() / np.abs(expected).max())
