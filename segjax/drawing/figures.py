"""What all of matplotlib's figures share: bare axes, legends of classes, images that can be looked at, whole files.

matplotlib is imported where something is drawn: it takes a fifth of the time that a command needs to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Real, UInt8

from segjax.drawing.names import in_legend
from segjax.drawing.palette import Palette, hexadecimal
from segjax.whole import written_whole

_ROWS = 8
"""Of a legend, at most, where a figure is widened for it."""
_LETTER, _PATCH, _MARGIN = 0.62, 9, 0.1
"""How wide a letter is, in its height; a patch and what is around it, in letters; beside a legend, in inches."""

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch


def new_figure(width: float, height: float, *, constrained: bool = False) -> Figure:
    """An empty figure of that many inches; where it is constrained, axes make room for what stands beside them."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained" if constrained else None)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure whole or not at all."""
    if (engine := figure.get_layout_engine()) is not None:  # once and alone: to save, it would draw all of it twice
        engine.execute(figure)
        figure.set_layout_engine("none")
    with written_whole(folder / name) as partial:
        figure.savefig(partial, format="png", dpi="figure")


def despine(axes: Axes) -> None:
    """Leave of a plot's frame the two axes alone."""
    axes.spines[["top", "right"]].set_visible(False)


def bare(axes: Axes) -> None:
    """Leave out a frame and its ticks, for an image."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def class_patches(class_names: Sequence[str], palette: Palette) -> list[Patch]:
    """What a legend shows of classes."""
    from matplotlib.patches import Patch

    names = in_legend(class_names)
    return [Patch(color=hexadecimal(colour), label=name) for name, colour in zip(names, palette, strict=True)]


def legend_below(figure: Figure, patches: Sequence[Patch], *, most: int, fontsize: float, frame: bool = True) -> None:
    """A legend of up to `most` columns, as many as fit; the figure is widened where that would be many rows."""
    column = _width(max(len(str(patch.get_label())) for patch in patches) + _PATCH, fontsize)
    _widen(figure, column * -(-len(patches) // _ROWS))
    columns = min(most, len(patches), int(figure.get_figwidth() // column))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=frame, fontsize=fontsize)


def title_above(figure: Figure, title: str, *, fontsize: float) -> None:
    """A title of the whole figure, which is widened where it does not fit."""
    _widen(figure, _width(len(title), fontsize))
    figure.suptitle(title, fontsize=fontsize)


def rgb(image: Real[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """The first three channels, brightened as far as the image allows; a grey image in all three."""
    rgb = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    top = float(np.percentile(rgb, 99.5))
    top = top if top > 0 and rgb.dtype.kind == "f" else max(1.0, top)
    return (np.clip(rgb / top, 0, 1) ** 0.8 * 255).astype(np.uint8)


def brightened(image: Real[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image of 8 bits in red, green and blue as it is, any other as `rgb` has it.

    Examples:
        >>> drawing.brightened(np.arange(12, dtype=np.uint16).reshape(2, 2, 3)).dtype.name
        'uint8'
    """
    return image if image.dtype == np.uint8 and image.shape[-1] == 3 else rgb(image)


def _widen(figure: Figure, inches: float) -> None:
    figure.set_figwidth(max(figure.get_figwidth(), inches + _MARGIN))


def _width(letters: int, fontsize: float) -> float:
    """Inches that so many letters take, about."""
    return letters * _LETTER * fontsize / 72


def evenly(length: int, most: int) -> list[int]:
    """Up to `most` different numbers below `length`, spread evenly, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int)).tolist()
