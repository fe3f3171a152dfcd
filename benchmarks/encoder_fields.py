"""Every encoder with every field that its family can have: `python -m benchmarks.encoder_fields [NAME...]`.

Levels, gradients and shapes of all by `eval_shape`, 25 minutes on a busy CPU core; where a name is given, of these
alone. A field that a family lacks stands in `WITHOUT` with the reason. What is computed is compared with torch's by
`python -m benchmarks.parity`, and by `tests/encoders` for one of each family.
"""

import dataclasses
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.asked import one_of, parser
from segjax import encoders

SIZE = (65, 97)
CHANNELS = (1, 4, 13)
STRIDES = (8, 16, 32)
FIELDS = ("depth", "output_stride", "drop_path", "dtype", "remat")
WITHOUT: Mapping[type[nn.Module], Mapping[str, str]] = {
    encoders.DenseNet: {
        "output_stride": "It halves by pooling between its blocks, where no convolution could dilate instead.",
        "drop_path": "Its layers are concatenated, not added: what comes next needs the channels of all.",
    },
    encoders.HRNet: {
        "depth": "All of its levels but the finest come from the last stage, so that fewer would save nothing.",
        "output_stride": "It keeps the resolution of stride 4 to its end, which dilation would bring elsewhere.",
        "drop_path": "Its blocks are exchanged between resolutions; neither the paper nor timm leaves any out.",
    },
    encoders.MixTransformer: {
        "output_stride": "Its attention is over features reduced by strides that belong to the resolution of a stage.",
    },
    encoders.SwinV2: {
        "output_stride": "A stage begins by joining four neighbours into one, which has no dilated form.",
    },
    encoders.VGG: {
        "output_stride": "It halves by pooling, and the decoders that unpool need that.",
        "drop_path": "It has no branches to leave out.",
    },
    encoders.VisionTransformer: {
        "output_stride": "All of its levels have the one stride of its patches.",
    },
}
"""Why a family does not have a field that others have."""


def traced(encoder: Any, size: tuple[int, int] = SIZE, channels: int = 3, train: bool = False) -> tuple[Any, Any]:
    """Levels and variables as shapes; refuses levels that are not where they say."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    image = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32)
    levels, variables = jax.eval_shape(partial(encoder.init_with_output, train=train), keys, image)
    strides = [level.stride for level in levels]
    assert strides == sorted(strides), strides
    for level in levels:
        assert level.size == tuple(-(-length // level.stride) for length in size), level
        assert level.features.shape[:3] == (2, *level.size), level
        assert level.features.dtype == jnp.dtype(encoder.dtype), level
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    return levels, variables


def differentiated(encoder: Any, channels: int) -> None:
    """The gradient of a training step, as shapes."""
    _, variables = traced(encoder, channels=channels)

    def loss(params: Any, rest: Any, image: jax.Array) -> jax.Array:
        keys = {"dropout": jax.random.key(1)}
        levels, _ = encoder.apply({"params": params, **rest}, image, train=True, rngs=keys, mutable=["batch_stats"])
        return jnp.stack([level.features.astype(jnp.float32).sum() for level in levels]).sum()

    rest = {name: values for name, values in variables.items() if name != "params"}
    image = jax.ShapeDtypeStruct((2, *SIZE, channels), jnp.float32)
    gradients = jax.eval_shape(jax.grad(loss), variables["params"], rest, image)
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, variables["params"])


def checked(name: str) -> None:
    """Raises where an encoder lacks a field without a reason, or what it gives is not what it says.

    Every channel count, output stride and depth is tried, those of fields that do not meet in one trace.
    """
    encoder: Any = encoders.named(name)
    has = {field.name for field in dataclasses.fields(encoder)}
    lacks = set(FIELDS) - has
    assert lacks == set(WITHOUT.get(type(encoder), {})), lacks
    levels, _ = traced(encoder)
    for number, channels in enumerate(CHANNELS):
        dilated = {"output_stride": STRIDES[number]} if "output_stride" in has else {}
        found, _ = traced(encoder.clone(**dilated), channels=channels)
        assert [level.width for level in found] == [level.width for level in levels]
        if dilated:
            assert [level.stride for level in found] == [min(level.stride, *dilated.values()) for level in levels]
    if "depth" in has:
        more = len(levels) - encoder.depth  # VGG counts its halvings, and begins before the first
        for depth in range(1, encoder.depth):
            fewer, _ = traced(encoder.clone(depth=depth))
            assert [level.stride for level in fewer] == [level.stride for level in levels[: depth + more]]
    dropping = {"drop_path": 0.2} if "drop_path" in has else {}
    differentiated(encoder.clone(dtype=jnp.bfloat16, remat=True, **dropping), channels=13)


def main() -> None:
    """Prints a line for each encoder, and fails where one of them does not run."""
    failed = []
    asked = parser(__doc__)
    asked.add_argument("names", nargs="*", type=one_of(encoders.BY_NAME), metavar="NAME", help="of encoders; all")
    for name in asked.parse_args().names or encoders.BY_NAME:
        start = time.perf_counter()
        try:
            checked(name)
        except Exception as error:
            failed.append(name)
            print(f"{name:<24}{type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
        else:
            print(f"{name:<24}runs  {time.perf_counter() - start:.1f} s", flush=True)
    for family, fields in WITHOUT.items():
        for field, why in fields.items():
            print(f"{family.__name__} has no {field}. {why}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
