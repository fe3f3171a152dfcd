"""Random changes of an image with its mask or boxes, on the device and as a pure function of a key."""

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Integer, Key, Shaped

from segjax.luma import LUMA
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen
from segjax.ops.warp import rounded_as, warp, warp_boxes


class Augmented(NamedTuple):
    """An image with what was moved along."""

    image: Shaped[Array, "h w c"]
    mask: Integer[Array, "h w *k"] | None
    boxes: Float[Array, "m 4"] | None
    stays: Bool[Array, " m"] | None
    """Which boxes at least half is left of; the others are all zeros."""


@on_any_mesh
def augment(
    key: Key[Array, ""],
    image: Shaped[Array, "h w c"],
    mask: Integer[Array, "h w *k"] | None = None,
    *,
    boxes: Float[Array, "m 4"] | None = None,
    crop: tuple[int, int] | None = None,
    flip_horizontal: bool = False,
    flip_vertical: bool = False,
    scale: tuple[float, float] = (1.0, 1.0),
    quarter_turns: bool = False,
    rotate: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    gamma: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
) -> Augmented:
    """Random scale, rotation, crop, flips and colour, drawn as `segjax.data.Augment` draws them on the host.

    Keywords from `crop` on mean what that class says of them. All of the geometry is one map, so that a pixel is
    interpolated once; crops, flips and quarter turns alone copy pixels and read none by its place. What comes from
    outside the image repeats its edge there, and is the greatest number of its dtype (255, 65535) in the mask. What is
    drawn for one knob does not change what others draw. For a batch, `jax.vmap` with a key for each.

    Args:
        key: Decides everything; the same key gives the same bits on any number of devices.
        image: Integers or floating; the result has its dtype. All but float64 are computed in float32, so that integers
            keep 24 bits.
        mask: Unsigned, with or without a band for each label.
        boxes: (x, y, w, h) in pixels.

    Raises:
        ValueError: quarter turns of a result that is not square, or bools that are more than copied.

    Examples:
        >>> images = jnp.zeros((4, 32, 40, 3), jnp.uint8)
        >>> keys = jax.random.split(jax.random.key(0), 4)
        >>> change = jax.vmap(lambda key, image: ops.augment(key, image, crop=(24, 24), rotate=10.0).image)
        >>> change(keys, images).shape
        (4, 24, 24, 3)
    """
    source = (image.shape[0], image.shape[1])
    size = crop or source
    if quarter_turns and size[0] != size[1]:
        raise ValueError(f"augment's quarter_turns need a square result, not {size[0]}x{size[1]}.")
    drawn = _draw(key, source, size, scale, rotate)
    drawn = drawn._replace(
        quarters=drawn.quarters if quarter_turns else jnp.zeros_like(drawn.quarters),
        mirrored=drawn.mirrored & jnp.array([flip_horizontal, flip_vertical]),
    )
    to_source = _as_map(drawn, size)
    outside = None if mask is None else int(jnp.iinfo(mask.dtype).max)
    if scale == (1, 1) and rotate == 0:
        seen = _copied(image, drawn, size, quarter_turns, None)
        labels = None if mask is None else _copied(mask, drawn, size, quarter_turns, outside)
    else:
        seen = warp(image, to_source, size)
        bands = None if mask is None else mask.reshape(*source, -1)
        labels = None if bands is None else warp(bands, to_source, size, "nearest", outside=outside)
        labels = None if labels is None or mask is None else labels.reshape(*size, *mask.shape[2:])
    seen = _recolored(_key(key, "colour"), seen, brightness, contrast, saturation)
    seen = _spoilt(_key(key, "spoil"), seen, gamma, blur, noise)
    moved, stays = (None, None) if boxes is None else warp_boxes(boxes, to_source, size)
    return Augmented(seen, labels, moved, stays)


_uniform = partial(jax.random.uniform, dtype=jnp.float32)
"""Said, as where jax has 64 bits the same key would draw others."""


class _Drawn(NamedTuple):
    """What is drawn of the geometry."""

    corner: Integer[Array, " 2"]
    """Top and left of the crop, in pixels of the magnified image; negative where the result is the larger one."""
    scale: Float[Array, ""]
    angle: Float[Array, ""]
    quarters: Integer[Array, ""]
    mirrored: Bool[Array, " 2"]
    """Left and right, up and down."""


def _key(key: Array, purpose: str) -> Array:
    """A key of its own for what is drawn, so that one knob leaves what others draw as it is."""
    return jax.random.fold_in(
        key, ("scale", "corner", "angle", "quarters", "mirrored", "colour", "spoil").index(purpose)
    )


def _draw(
    key: Array, source: tuple[int, ...], size: tuple[int, int], scale: tuple[float, float], rotate: float
) -> _Drawn:
    low, high = jnp.log(jnp.array(scale, jnp.float32))
    factor = jnp.exp(_uniform(_key(key, "scale"), minval=low, maxval=high))
    factor = jnp.where(low == high, scale[0], factor)  # exactly, since exp(log(x)) is not x
    # Whole pixels, so that a crop alone copies pixels.
    slack = jnp.trunc(jnp.array(source[:2], factor.dtype) * factor - jnp.array(size, factor.dtype)).astype(jnp.int32)
    reach = jnp.minimum(slack, 0), jnp.maximum(slack, 0) + 1
    corner = jax.random.randint(_key(key, "corner"), (2,), *reach, dtype=jnp.int32)
    angle = jnp.radians(_uniform(_key(key, "angle"), minval=-rotate, maxval=rotate))
    quarters = jax.random.randint(_key(key, "quarters"), (), 0, 4, dtype=jnp.int32)
    return _Drawn(corner, factor, angle, quarters, _uniform(_key(key, "mirrored"), (2,)) < 0.5)


def _as_map(drawn: _Drawn, size: tuple[int, int]) -> Float[Array, "2 3"]:
    """From the result to the image: mirrored and turned about the middle of the result, then moved to the crop."""
    cosine, sine = jnp.cos(drawn.angle), jnp.sin(drawn.angle)
    turn = jnp.array([[cosine, sine], [-sine, cosine]])
    quarters = jnp.array([[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], turn.dtype)
    # Of all bits, of which GPUs and TPUs would take fewer: at the edge of an image they are pixels.
    times = partial(jnp.matmul, precision="highest")
    linear = times(turn, quarters[drawn.quarters]) * jnp.where(drawn.mirrored, -1, 1)[None] / drawn.scale
    middle = jnp.array([size[1], size[0]], turn.dtype) / 2
    shift = (drawn.corner[::-1].astype(turn.dtype) + middle) / drawn.scale - times(linear, middle)
    return jnp.concatenate([linear, shift[:, None]], axis=1)


def _copied(
    pixels: Shaped[Array, "h w *c"], drawn: _Drawn, size: tuple[int, int], turns: bool, outside: int | None
) -> Shaped[Array, "height width *c"]:
    """What `warp` makes of whole pixels, without reading each by its place."""
    room = [max(side - had, 0) for had, side in zip(pixels.shape[:2], size, strict=True)]
    around = [(pad, pad) for pad in room] + [(0, 0)] * (pixels.ndim - 2)
    if any(room):
        pixels = (
            jnp.pad(pixels, around, "edge") if outside is None else jnp.pad(pixels, around, constant_values=outside)
        )
    corner = drawn.corner + jnp.array(room, jnp.int32)
    part = jax.lax.dynamic_slice(pixels, (*corner, *[jnp.int32(0)] * (pixels.ndim - 2)), (*size, *pixels.shape[2:]))
    if turns:
        part = jax.lax.switch(drawn.quarters, [_turned(number) for number in range(4)], part)
    part = jnp.where(drawn.mirrored[0], part[:, ::-1], part)
    return jnp.where(drawn.mirrored[1], part[::-1], part)


def _turned(quarters: int) -> Callable[[Array], Array]:
    return lambda part: jnp.rot90(part, -quarters)


def _recolored(
    key: Array, image: Shaped[Array, "h w c"], brightness: float, contrast: float, saturation: float
) -> Shaped[Array, "h w c"]:
    """Saturation, then contrast, then brightness, rounded and clipped once.

    Contrast is about the image's mean grey, of floating point about the mean of each band, which has its own units.
    """
    if brightness == contrast == saturation == 0:
        return image
    most = jnp.array([brightness, contrast, saturation], jnp.float32)
    wide = widen(image)
    brighter, steeper, richer = (1 + _uniform(key, (3,), minval=-1.0) * most).astype(wide.dtype)
    channels = image.shape[2]
    luma = jnp.array(LUMA if channels == 3 else [1 / channels] * channels, wide.dtype)[None, None]
    if channels == 3:
        grey = (wide * luma).sum(axis=2, keepdims=True)
        wide = grey + richer * (wide - grey)
    mean = wide.mean(axis=(0, 1), keepdims=True)
    if not jnp.issubdtype(image.dtype, jnp.floating):
        mean = (mean * luma).sum()
    return rounded_as(image, brighter * (mean + steeper * (wide - mean)))


def _spoilt(
    key: Array, image: Shaped[Array, "h w c"], gamma: float, blur: float, noise: float
) -> Shaped[Array, "h w c"]:
    """Through light, lens and sensor, in this order, rounded after each as the host's is."""
    powers, lens, sensor = jax.random.split(key, 3)
    if gamma:
        wide = widen(image)
        exponent = ((1 + gamma) ** _uniform(powers, minval=-1.0)).astype(wide.dtype)
        together = (0, 1) if jnp.issubdtype(image.dtype, jnp.floating) else (0, 1, 2)  # bands in units of their own
        low, high = jnp.minimum(wide.min(together, keepdims=True), 0), wide.max(together, keepdims=True)
        share = ((wide - low) / jnp.where(high > low, high - low, 1)) ** exponent
        image = jnp.where(high > low, rounded_as(image, share * (high - low) + low), image)
    if blur:
        wanted, strength = _uniform(lens, (2,))
        sigma = strength * blur
        image = jnp.where((wanted < 0.5) & (sigma > 0.1), _blurred(image, sigma, blur), image)
    if noise:
        share, grains = jax.random.split(sensor)
        wide = widen(image)
        deviation = wide.std(axis=(0, 1), keepdims=True) * _uniform(share, maxval=noise).astype(wide.dtype)
        grain = jax.random.normal(grains, image.shape, jnp.float32).astype(wide.dtype)
        image = rounded_as(image, wide + deviation * grain)
    return image


def _blurred(image: Shaped[Array, "h w c"], sigma: Array, greatest: float) -> Shaped[Array, "h w c"]:
    """Under a Gaussian, reflected about the centres of edge pixels as OpenCV does."""
    blurred = widen(image)
    for axis in (0, 1):
        reach = min(math.ceil(4 * greatest), image.shape[axis] - 1)
        offsets = jnp.arange(-reach, reach + 1, dtype=sigma.dtype)
        weights = jnp.exp(-0.5 * (offsets / sigma) ** 2)
        around = [(reach, reach) if axis == other else (0, 0) for other in range(3)]
        wide = jnp.pad(blurred, around, mode="reflect")
        shifted = [jax.lax.slice_in_dim(wide, i, i + image.shape[axis], axis=axis) for i in range(2 * reach + 1)]
        blurred = reduce(jnp.add, map(jnp.multiply, (weights / weights.sum()).astype(wide.dtype), shifted))
    return rounded_as(image, blurred)
