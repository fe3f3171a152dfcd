"""An image with the classes of a mask laid over it, for people to look at."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image, ImageDraw, ImageFont

from segjax.drawing.names import drawable, font_file
from segjax.drawing.palette import Palette, paint

LONGEST = 2048
"""A larger image is drawn smaller: its longer side gets this many pixels."""
SHORTEST = 384
"""A smaller image is drawn larger: its pixels are repeated while its longer side stays within this many."""
_NAMED = 64
"""Classes that the legend names, at most."""
_MARGIN = 8
_BACKGROUND, _BORDER = (250, 250, 250), (255, 255, 255)


def draw_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    mask: UInt[np.ndarray, "h w *k"],
    class_names: Sequence[str],
    palette: Palette,
) -> Image.Image:
    """Tint an image with the colours of its mask, draw where classes meet, and say below which colour is what.

    The legend names up to 64 classes that occur, the most frequent first, with their share of the pixels. A mask
    (h w k) has 1 for each label of a pixel: where labels overlap their colours are stripes.

    Examples:
        >>> image, mask = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.uint8)
        >>> drawing.draw_overlay(image, mask, ("ground", "tree"), ((0, 0, 0), (0, 255, 0))).mode
        'RGB'
    """
    if mask.ndim == 3:
        shares = (mask == 1).mean(axis=(0, 1))
    else:
        counts = np.bincount(mask.ravel(), minlength=len(class_names))[: len(class_names)]
        shares = counts / max(1, counts.sum())
    tinted = tint(*_fitted(image, mask), palette)
    legend = _legend(tinted.shape[1], shares, class_names, palette)
    canvas = Image.new("RGB", (legend.width, len(tinted) + legend.height), _BACKGROUND)
    canvas.paste(Image.fromarray(tinted))
    canvas.paste(legend, (0, len(tinted)))
    return canvas


def tint(image: UInt8[np.ndarray, "h w 3"], mask: UInt[np.ndarray, "h w *k"], palette: Palette) -> np.ndarray:
    """The image in its own size, tinted with the colours of its mask, and white where classes meet.

    Examples:
        >>> image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8)
        >>> drawing.tint(image, mask, ((0, 0, 0), (0, 255, 0)))[0, 0].tolist()
        [0, 115, 0]
    """
    tinted = cv2.addWeighted(image, 0.55, paint(mask, palette), 0.45, 0)
    bands = np.atleast_3d(mask)
    borders = np.zeros(mask.shape[:2], bool)
    borders[:, :-1] |= (bands[:, :-1] != bands[:, 1:]).any(axis=2)
    borders[:-1] |= (bands[:-1] != bands[1:]).any(axis=2)
    tinted[borders] = _BORDER
    return tinted


def grey_overlay(
    image: UInt8[np.ndarray, "h w 3"], mask: UInt[np.ndarray, "h w *k"], palette: Palette
) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of a mask laid over a greyed image, so that none is taken for its own; the ignored is white.

    Examples:
        >>> image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8)
        >>> drawing.grey_overlay(image, mask, ((0, 0, 0), (0, 255, 0))).shape
        (8, 8, 3)
    """
    grey = image.mean(axis=2, keepdims=True)
    return (0.4 * grey + 0.6 * paint(mask, palette, ignored=(255, 255, 255))).astype(np.uint8)


def _fitted(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape[:2]
    longer = max(height, width)
    if longer > LONGEST:
        size = max(1, width * LONGEST // longer), max(1, height * LONGEST // longer)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        # Band by band, of which OpenCV takes four at once.
        bands = np.moveaxis(np.atleast_3d(mask), 2, 0)
        smaller = [cv2.resize(np.ascontiguousarray(b), size, interpolation=cv2.INTER_NEAREST_EXACT) for b in bands]
        return image, np.stack(smaller, axis=-1).reshape(*size[::-1], *mask.shape[2:])
    times = max(1, SHORTEST // longer)
    return image.repeat(times, 0).repeat(times, 1), mask.repeat(times, 0).repeat(times, 1)


def _legend(width: int, shares: np.ndarray, class_names: Sequence[str], palette: Palette) -> Image.Image:
    size = max(14, width // 80)  # of the letters, in pixels
    font, names = ImageFont.truetype(font_file(), size), drawable(class_names)
    order = [int(c) for c in np.argsort(-shares, kind="stable") if shares[c]]
    texts = [f"{names[c]}  {shares[c]:.1%}" for c in order[:_NAMED]]
    if len(order) > _NAMED:
        texts.append(f"and {len(order) - _NAMED} more")
    widths = [2 * _MARGIN + size + int(font.getlength(text)) for text in texts]
    width = max([width, *(_MARGIN + one for one in widths)])
    places, x, y = [], _MARGIN, _MARGIN
    for one in widths:
        if x + one > width:
            x, y = _MARGIN, y + size + _MARGIN
        places.append((x, y))
        x += one + _MARGIN
    legend = Image.new("RGB", (width, y + size + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(legend)
    for number, (text, (x, y)) in enumerate(zip(texts, places, strict=True)):
        if number < _NAMED:
            draw.rectangle((x, y, x + size, y + size), fill=palette[order[number]], outline=(120, 120, 120))
        draw.text((x + size + 6, y + size // 2), text, (30, 30, 30), font, anchor="lm")
    return legend
