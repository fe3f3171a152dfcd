"""Random changes to a record that move image, mask and boxes together."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Num

from segjax.data.blemishes import as_jpeg, blurred, noisy, smooth_displacement, with_gamma
from segjax.data.record import Record
from segjax.data.remap import remapped
from segjax.errors import DataError
from segjax.luma import LUMA
from segjax.mask_numbers import ignored_in

LEAST_OF_BOX = 0.5
"""A box of which less than this is left in the image is dropped."""

_TOGETHER = 4
"""Channels that OpenCV moves at once, at most."""

_HALF = np.array([0.5, 0.5])

Affine = Float[np.ndarray, "2 3"]
"""Takes (x, y, 1) of a point of the result to its (x, y) in the source, in pixels from the upper left corner."""


@dataclass(frozen=True)
class Augment:
    """Random scale, rotation, crop, flips and colour, called as `augment(record, rng)`; the defaults change nothing.

    All of the geometry is one map, so that a pixel is interpolated once: linearly in the image, to the nearest
    pixel in the mask. What comes from outside the image repeats its edge there and is ignored in the mask. A box
    becomes the upright box around its moved corners, clipped to the result; it is dropped, with its label and
    attributes, where less than half of it is left. Colour, noise, blur and JPEG change neither mask nor boxes, and are
    for any depth and number of bands but where it is said. What is drawn for one knob does not change what others draw.

    `mixup`, `cutmix`, `copy_paste` and `mosaic` are of several records: `segjax.data.train_batches` draws the others.

    Raises:
        ValueError: a crop, a factor, a share or a quality out of its range, or one that needs another.

    Examples:
        >>> augment = data.Augment(crop=(8, 8), flip_horizontal=True)
        >>> record: data.Record = {"image": np.zeros((10, 12, 3), np.uint8), "mask": np.zeros((10, 12), np.uint8)}
        >>> augment(record, np.random.default_rng(0))["image"].shape
        (8, 8, 3)
    """

    crop: tuple[int, int] | None = None
    """Height and width of the result; None keeps the size. The place is random; a smaller image is padded."""
    flip_horizontal: bool = False
    """Swap left and right in half of the records."""
    flip_vertical: bool = False
    """Swap top and bottom in half of the records."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and greatest magnification, log-uniform. Far below 0.5 it aliases."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees, which leaves boxes as tight as they were. For square results."""
    rotate: float = 0.0
    """Greatest rotation to either side about the middle of the result, in degrees."""
    brightness: float = 0.0
    """b multiplies the image by a factor in [1 - b, 1 + b]."""
    contrast: float = 0.0
    """c multiplies the distance from the image's mean grey, in floating point from the mean of each band, by a factor
    in [1 - c, 1 + c]."""
    saturation: float = 0.0
    """s multiplies the distance from each pixel's own grey by a factor in [1 - s, 1 + s]. RGB images only."""
    rare_crops: float = 0.0
    """The share of crops that are placed on a pixel of a class, or of a label, that is drawn of those that the mask
    has, each as likely as the others, however small it is there."""
    elastic: float = 0.0
    """How many pixels the image is bent by at most, smoothly. For masks, not for boxes."""
    gamma: float = 0.0
    """g raises the image, between 0 and its greatest number, to a power in [1 / (1 + g), 1 + g], log-uniform; of
    floating point each band between its own."""
    blur: float = 0.0
    """The greatest deviation of a Gaussian in pixels, in half of the records."""
    noise: float = 0.0
    """The greatest deviation of Gaussian noise, as a share of the deviation of every band by itself."""
    jpeg: int | None = None
    """The least quality, in 1 to 100, that half of the records are brought to, as JPEG does; of 8 bits, grey or RGB."""
    mixup: float = 0.0
    """a makes every image of a batch the mean of two, weighted by a share that is drawn from Beta(a, a) for the batch,
    and its loss that of both masks, weighted alike (Zhang et al. 2018); such as 0.2. For masks."""
    cutmix: float = 0.0
    """The share of records of which a rectangle is another record's (Yun et al. 2019)."""
    copy_paste: float = 0.0
    """The share of records upon which half of another one's objects are pasted: boxes with what is in them, or all
    pixels of classes but the first, or of labels."""
    mosaic: float = 0.0
    """The share of records that are put together of four (Bochkovskiy et al. 2020)."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"Augment's crop is a height and a width of at least 1 pixel, not {self.crop}.")
        if not 0 < self.scale[0] <= self.scale[1] < np.inf:
            raise ValueError(f"Augment's scale is the least and the greatest factor, both positive, not {self.scale}.")
        if self.quarter_turns and self.crop is not None and self.crop[0] != self.crop[1]:
            raise ValueError(f"Augment's quarter_turns need a square crop, not {self.crop}.")
        for name in ("rotate", "elastic", "gamma", "blur", "noise", "mixup"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"Augment's {name} is a number from 0 on, not {getattr(self, name)}.")
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise ValueError(f"Augment's jpeg is a quality between 1 and 100, not {self.jpeg}.")
        if self.rare_crops and self.crop is None:
            raise ValueError("Augment's rare_crops says where crops are taken: give a crop, too.")
        for name in ("brightness", "contrast", "saturation", "rare_crops", "cutmix", "copy_paste", "mosaic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Augment's {name} is between 0 and 1, not {getattr(self, name)}.")

    @property
    def mixes(self) -> bool:
        """Whether records are made of several."""
        return bool(self.mixup or self.cutmix or self.copy_paste or self.mosaic)

    def of_depth(self, depth: str) -> "Augment":
        """Without brightness and saturation where the images are floating point, whose bands may be in any units."""
        return replace(self, brightness=0.0, saturation=0.0) if depth == "float32" else self

    def __call__(self, record: Record, rng: np.random.Generator) -> Record:
        """A new record, a pure function of the old one and of the state of `rng`.

        Raises:
            DataError: there are boxes, and crops by class or elastic deformation are asked for.
        """
        source = record["image"].shape[:2]
        size = self.crop or source
        # Generators of their own, so that these knobs leave what others draw as it is.
        more = self.rare_crops or self.elastic or self.gamma or self.blur or self.noise or self.jpeg
        placing, bending, spoiling = rng.spawn(3) if more else (rng,) * 3
        onto = None
        if self.rare_crops and "mask" not in record:
            raise DataError("Crops are taken where classes of a mask are: leave rare_crops out where there are boxes.")
        if self.rare_crops and placing.random() < self.rare_crops:
            onto = _pixel_of_a_class(record, placing)
        to_source = self._draw_map(source, size, rng, onto)
        bent = None
        if self.elastic:
            if "boxes" in record:
                raise DataError("Elastic deformation is for masks: leave elastic out where there are boxes.")
            bent = smooth_displacement(size, self.elastic, bending)
        moved = warp(record, to_source, size, bent)
        brightness, contrast, saturation = (
            1 + rng.uniform(-most, most) for most in (self.brightness, self.contrast, self.saturation)
        )
        moved["image"] = self._spoilt(recolor(moved["image"], brightness, contrast, saturation), spoiling)
        return moved

    def _spoilt(self, image: Num[np.ndarray, "h w c"], rng: np.random.Generator) -> Num[np.ndarray, "h w c"]:
        """Through light, lens, sensor and file, in this order."""
        if self.gamma:
            image = with_gamma(image, (1 + self.gamma) ** rng.uniform(-1, 1))
        if self.blur and rng.random() < 0.5 and (sigma := rng.uniform(0, self.blur)) > 0.1:
            image = blurred(image, sigma)
        if self.noise:
            image = noisy(image, rng.uniform(0, self.noise), rng)
        if self.jpeg is not None and rng.random() < 0.5:
            image = as_jpeg(image, int(rng.integers(self.jpeg, 100, endpoint=True)))
        return image

    def _draw_map(
        self,
        source: tuple[int, ...],
        size: tuple[int, ...],
        rng: np.random.Generator,
        onto: tuple[float, float] | None = None,
    ) -> Affine:
        least, greatest = self._log_scale
        scale = float(np.exp(rng.uniform(least, greatest)))
        # By numbers, since NumPy's small arrays would take longer than the pixels of a small image.
        corner = []
        for axis in range(2):
            # Whole pixels, so that a crop alone copies pixels. Negative where the result is the larger one.
            slack = math.trunc(source[axis] * scale - size[axis])
            low, high = min(slack, 0), max(slack, 0)
            if onto is not None:  # the crop, before it is rotated, has this pixel of the source in it
                pixel = onto[axis] * scale
                low = min(max(math.ceil(pixel - size[axis]), low), high)
                high = min(max(math.floor(pixel), low), high)
            corner.append(int(rng.integers(low, high, endpoint=True)))
        top, left = corner
        angle = np.radians(rng.uniform(-self.rotate, self.rotate))
        mirror = [
            -1.0 if wanted and rng.random() < 0.5 else 1.0 for wanted in (self.flip_horizontal, self.flip_vertical)
        ]
        if self.quarter_turns:
            angle += rng.integers(4) * np.pi / 2
        cosine, sine, (across, down) = np.cos(angle), np.sin(angle), mirror
        to_source = np.empty((2, 3))
        to_source[0, :2] = cosine * across / scale, sine * down / scale
        to_source[1, :2] = -sine * across / scale, cosine * down / scale
        middle = np.array([size[1] / 2, size[0] / 2])
        to_source[:, 2] = ((left + middle[0]) / scale, (top + middle[1]) / scale) - to_source[:, :2] @ middle
        return to_source

    @functools.cached_property
    def _log_scale(self) -> list[float]:
        return np.log(self.scale).tolist()


def _pixel_of_a_class(record: Record, rng: np.random.Generator) -> tuple[float, float] | None:
    """Row and column of a random pixel of a random class of the mask, or of a random label; None without any."""
    assert "mask" in record
    mask = record["mask"]
    if mask.ndim == 3:
        there = np.flatnonzero((mask == 1).any(axis=(0, 1)))
        inside = mask[..., rng.choice(there)] == 1 if len(there) else np.zeros(mask.shape[:2], bool)
    else:
        there = np.unique(mask[mask != ignored_in(mask)])
        inside = mask == rng.choice(there) if len(there) else np.zeros(mask.shape, bool)
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return None
    place = int(rng.integers(len(rows)))
    return rows[place] + 0.5, columns[place] + 0.5


def warp(
    record: Record,
    to_source: Affine,
    size: tuple[int, ...],
    bent: Float[np.ndarray, "h w 2"] | None = None,
) -> Record:
    """The record seen through an affine map from the result, of `size` (height, width), to the record.

    With `bent` each pixel of the result is moved by so much in x and y before that; boxes are not.
    Pixel (0, 0) is the unit square from (0, 0) to (1, 1), so its centre is at (0.5, 0.5), for boxes and images alike.
    """
    import cv2

    linear, shift = to_source[:, :2], to_source[:, 2]
    centred = to_source.copy()  # OpenCV counts from the centre of the first pixel
    centred[:, 2] = linear @ _HALF + shift - 0.5
    height, width = size
    places = None
    if bent is not None:
        across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        places = np.stack([across, down, np.ones_like(across)], axis=2)
        places[..., :2] += bent
        places = (places @ centred.T.astype(np.float32)).astype(np.float32)

    value = (ignored_in(record["mask"]) if "mask" in record else 0,) * _TOGETHER

    def moved_bands(pixels: np.ndarray, flags: int, border: int) -> np.ndarray:
        if places is not None:
            return remapped(pixels, places, flags, border, value)
        return cv2.warpAffine(
            pixels, centred, (width, height), flags=flags | cv2.WARP_INVERSE_MAP, borderMode=border, borderValue=value
        )

    def bands(pixels: np.ndarray, flags: int, border: int) -> np.ndarray:
        channels = pixels.shape[2]
        parts = [
            moved_bands(
                pixels[..., first : first + _TOGETHER] if channels > _TOGETHER else pixels, flags, border
            ).reshape(height, width, -1)
            for first in range(0, channels, _TOGETHER)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    moved = Record(image=bands(record["image"], cv2.INTER_LINEAR, cv2.BORDER_REPLICATE))
    if "mask" in record:
        mask = record["mask"]
        moved["mask"] = bands(np.atleast_3d(mask), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT).reshape(
            height, width, *mask.shape[2:]
        )
    if "boxes" in record:
        moved["boxes"], kept = _move_boxes(record["boxes"], linear, shift, size)
        for name in ("labels", "crowd", "attributes"):
            if name in record:
                moved[name] = record[name][kept]
    return moved


def _move_boxes(
    boxes: Float[np.ndarray, "m 4"], linear: np.ndarray, shift: np.ndarray, size: tuple[int, ...]
) -> tuple[Float[np.ndarray, "k 4"], np.ndarray]:
    low, extent = boxes[:, None, :2].astype(np.float64), boxes[:, None, 2:]
    corners = low + extent * np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    moved = (corners - shift) @ np.linalg.inv(linear).T
    low, high = moved.min(axis=1), moved.max(axis=1)
    bounds = np.array([size[1], size[0]])
    low_inside, high_inside = low.clip(0, bounds), high.clip(0, bounds)
    left = (high_inside - low_inside).prod(axis=1)
    kept = (left > 0) & (left >= LEAST_OF_BOX * (high - low).prod(axis=1))
    return np.concatenate([low_inside, high_inside - low_inside], axis=1)[kept].astype(np.float32), kept


def recolor(
    image: Num[np.ndarray, "h w c"], brightness: float, contrast: float, saturation: float
) -> Num[np.ndarray, "h w c"]:
    """The image with its colours multiplied; 1, 1, 1 leaves it as it is.

    As one affine map of colours, so that it is rounded and clipped once: first saturation, then contrast about the
    image's mean grey, then brightness. Bands of floating point may be in units of their own, and contrast is about the
    mean of each.
    """
    import cv2

    if brightness == contrast == saturation == 1:
        return image
    channels = image.shape[2]
    luma = np.array(LUMA) if channels == 3 else np.full(channels, 1 / channels)
    mix = np.eye(channels)
    if channels == 3:
        mix = saturation * mix + (1 - saturation) * luma
    exact = np.float64 if image.dtype == np.float32 else np.uint32
    means = image.sum(axis=0, dtype=exact).sum(axis=0) / image[..., 0].size  # 25 times as fast as image.mean
    about = mix @ means if image.dtype.kind == "f" else np.full(channels, luma @ means)
    matrix = brightness * np.column_stack([contrast * mix, (1 - contrast) * about])
    return cv2.transform(image, matrix).reshape(image.shape)
