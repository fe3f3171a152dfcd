"""Every encoder beside torch's with the same weights: `python -m benchmarks.parity [NAME...]`.

Weights are random, and so are the statistics of batch normalisation, which is in evaluation. Encoders are compared one
by one, all of them where none is named, and each one's row of `docs/parity.md` is written; an hour on two CPU cores for
all.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from flax import traverse_util

from benchmarks.report import markdown, versions
from benchmarks.torch_zoo import timm, torchvision
from segjax import encoders, weights
from segjax.ops.geometry import Pair
from segjax.weights.convert import Names, from_torch, path_of

SIZES: tuple[Pair, ...] = ((224, 224), (213, 213), (65, 97))
HEAD = """# Parity with PyTorch

`python -m benchmarks.parity`: every encoder beside timm's or torchvision's model with the same weights, in float64 and
in evaluation. Weights and statistics are random. A figure is the largest difference of the values of any level, as a
share of that level's largest value.
"""


@dataclass(frozen=True)
class Reference:
    """A model of timm or torchvision that returns an encoder's levels."""

    model: str
    """timm's name; torchvision's where there are taps."""
    taps: tuple[str, ...] = ()
    """The modules of torchvision's model after which the levels are; timm knows its own."""
    names: Names = ()
    """What brings the names of its parameters to those of the encoder."""

    def make(self, **options: Any) -> torch.nn.Module:
        """The model with random weights and statistics, in evaluation; the same ones at each call."""
        torch.manual_seed(0)
        if self.taps:
            whole = getattr(torchvision.models, self.model)(weights=None, **options)
            nodes = {tap: str(i) for i, tap in enumerate(self.taps)}
            model = torchvision.models.feature_extraction.create_feature_extractor(whole, nodes)
        else:
            model = timm.create_model(self.model, pretrained=False, features_only=True, **options)
        for module in model.modules():
            if isinstance(module, torch.nn.MaxPool2d) and module.kernel_size == 2:
                module.ceil_mode = True  # segjax rounds sizes up everywhere
            if isinstance(module, torch.nn.BatchNorm2d):
                _randomise(module)
        return model.eval()


def _randomise(norm: torch.nn.BatchNorm2d) -> None:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    with torch.no_grad():
        for each in (norm.weight, norm.running_var):
            each.uniform_(0.5, 1.5)
        for each in (norm.bias, norm.running_mean):
            each.normal_(0, 0.1)


def _same(*names: str) -> dict[str, Reference]:
    return {name: Reference(name) for name in names}


_LITE = [f"lite{i}" for i in range(5)]
_B = [f"b{i}" for i in range(8)]
REFERENCES: dict[str, Reference] = {
    **_same("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    **_same("resnet18d", "resnet34d", "resnet50d", "resnet101d", "resnet152d"),
    **_same("wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"),
    **{
        name: Reference(name, names=[(r"^features_", "features.")])
        for depth in (11, 13, 16, 19)
        for name in (f"vgg{depth}", f"vgg{depth}_bn")
    },
    "mobilenet_v2": Reference("mobilenet_v2", taps=tuple(f"features.{i}" for i in (1, 3, 6, 13, 17))),
    **{f"efficientnet_{size}": Reference(f"tf_efficientnet_{size}") for size in (*_LITE, *_B)},
    **{f"efficientnet_v2_{size}": Reference(f"tf_efficientnetv2_{size}") for size in ("s", "m", "l")},
    "mobilenet_v3_large": Reference(
        "mobilenet_v3_large",
        taps=tuple(f"features.{i}" for i in (1, 3, 6, 12, 16)),
        names=weights.named("mobilenet_v3_large.imagenet").names,
    ),
    "mobilenet_v3_small": Reference(
        "mobilenet_v3_small",
        taps=tuple(f"features.{i}" for i in (0, 1, 3, 8, 12)),
        names=weights.named("mobilenet_v3_small.imagenet").names,
    ),
}
"""By the encoder's name in `segjax.encoders.BY_NAME`: an encoder is compared by its entry."""


@dataclass(frozen=True)
class Pairing:
    """An encoder and its reference with the same weights, both computing in `dtype`."""

    encoder: Any
    variables: Mapping[str, Any]
    reference: torch.nn.Module
    names: Names
    dtype: type

    def levels(self, variables: Mapping[str, Any], image: jax.Array) -> list[jax.Array]:
        """Features of every level."""
        return [level.features for level in self.encoder.apply(variables, image, train=False)]

    def reference_levels(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The same of torch, channels last."""
        levels = self.reference(image.permute(0, 3, 1, 2))
        return [level.permute(0, 2, 3, 1) for level in (levels.values() if isinstance(levels, dict) else levels)]


def paired(
    name: str,
    dtype: type = np.float64,
    *,
    theirs: Mapping[str, Any] = {},
    unused: str | None = None,
    **ours: Any,
) -> Pairing:
    """The encoder of that name and its reference, each with its options.

    `unused` is a regular expression of the parameters that the reference has for levels that are not asked for.
    """
    reference = REFERENCES[name].make(**theirs)
    state = {key: value.numpy() for key, value in reference.state_dict().items()}
    encoder: Any = encoders.named(name, dtype=dtype, **ours)
    with jax.enable_x64(dtype is np.float64):
        like = jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), image_of((64, 64), np.float32))
    variables = from_torch(state, like, names=REFERENCES[name].names, unused=unused)
    return Pairing(
        encoder,
        jax.tree.map(partial(np.asarray, dtype=dtype), variables),
        reference.to(torch.float64 if dtype is np.float64 else torch.float32),
        REFERENCES[name].names,
        dtype,
    )


def image_of(size: Pair, dtype: type) -> np.ndarray:
    """An image of noise."""
    return np.random.default_rng(0).standard_normal((1, *size, 3)).astype(dtype)


def level_differences(pairing: Pairing, size: Pair, optimized: bool = False) -> list[float]:
    """Of every level of an image of that size."""
    image = image_of(size, pairing.dtype)
    with jax.enable_x64(pairing.dtype is np.float64):
        ours = _compiled(pairing.levels, optimized)(pairing.variables, image)
    with torch.no_grad():
        return _differences(ours, pairing.reference_levels(torch.from_numpy(image)))


def gradient_differences(pairing: Pairing, size: Pair, weight: str) -> list[float]:
    """Of the gradients of the levels' sum by the image and by a convolution's weight, given by torch's name."""
    brought = reduce(lambda name, rule: re.sub(*rule, name), pairing.names, weight)
    flat = traverse_util.flatten_dict(pairing.variables)
    path = path_of(brought, ndim=4)
    image = image_of(size, pairing.dtype)

    def total(image: jax.Array, kernel: jax.Array) -> Any:
        variables = traverse_util.unflatten_dict(flat | {path: kernel})
        return sum(level.sum() for level in pairing.levels(variables, image))

    with jax.enable_x64(pairing.dtype is np.float64):
        ours = _compiled(jax.grad(total, (0, 1)))(image, flat[path])
    pixels = torch.from_numpy(image).requires_grad_()
    theirs: Any = sum(level.sum() for level in pairing.reference_levels(pixels))
    of_image, of_weight = torch.autograd.grad(theirs, (pixels, pairing.reference.get_parameter(weight)))
    return _differences(ours, [of_image, of_weight.permute(2, 3, 1, 0)])


def _compiled(function: Any, optimized: bool = False) -> Any:
    """Without optimisation it compiles in a fraction of the time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 3 if optimized else 0})


def _differences(ours: Sequence[Any], theirs: Sequence[torch.Tensor]) -> list[float]:
    found = []
    for mine, other in zip(ours, theirs, strict=True):
        expected = other.detach().numpy()
        if mine.shape != expected.shape:
            raise ValueError(f"Its shape is {mine.shape}, in torch {expected.shape}.")
        found.append(float(np.abs(np.asarray(mine) - expected).max() / np.abs(expected).max()))
    return found


def row(name: str) -> list[str]:
    """Of the table."""
    pairing = paired(name)
    figures = [f"{max(level_differences(pairing, size, optimized=True)):.0e}" for size in SIZES]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pairing.variables["params"]))
    reference = REFERENCES[name]
    return [name, f"{'torchvision' if reference.taps else 'timm'} {reference.model}", f"{parameters:,}", *figures]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description="Every encoder beside torch's.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="encoders; all where none is named")
    parser.add_argument("--out", type=Path, default=Path("docs/parity.md"), metavar="FILE", help="(%(default)s)")
    arguments = parser.parse_args()
    for name in arguments.names or REFERENCES:
        new = row(name)
        print(*new, flush=True)
        write(arguments.out, new)


def write(out: Path, new: list[str]) -> None:
    """The table with that row, and those of the other encoders as they stand there."""
    kept = [line.strip("| \n").split(" | ") for line in out.read_text().splitlines()] if out.exists() else []
    rows = {cells[0]: cells for cells in kept if cells[0] in REFERENCES} | {new[0]: new}
    head = ["encoder", "reference", "parameters", *(f"{height}x{width}" for height, width in SIZES)]
    table = markdown(head, [rows[name] for name in REFERENCES if name in rows])
    made_by = ", ".join(f"{package} {version}" for package, version in versions("jax", "torch", "timm").items())
    missing = ", ".join(name for name in REFERENCES if name not in rows)
    rest = f" Not compared here: {missing}." if missing else ""
    out.write_text(f"{HEAD}\n{table}\n\nMade with {made_by}.{rest}\n")


if __name__ == "__main__":
    main()
