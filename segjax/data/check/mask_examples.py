"""An image of examples from a checked folder: images beside their masks, drawn over them in the classes' colours."""

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from segjax.data.check.mask_report import Report, Seen
from segjax.data.formats.images import shown
from segjax.data.formats.label_bands import read_truth
from segjax.errors import DataError
from segjax.mask_numbers import ignored_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
_DRAWN = 8
_SIDE = 512


def draw_examples(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw up to eight pairs, half of them for training, into an image file; nothing where no pair can be read.

    Raises:
        DataError: the file cannot be written.
    """
    chosen = _choose(report)
    if not chosen:
        return
    from matplotlib.patches import Patch

    from segjax.drawing import grey_overlay, hexadecimal
    from segjax.drawing.figures import legend_below, new_figure
    from segjax.drawing.names import in_legend

    rows = -(-len(chosen) // _COLUMNS)
    figure = new_figure(2 * 1.6 * _COLUMNS, 1.9 * rows + 0.5, constrained=True)
    axes = np.array(figure.subplots(rows, 2 * _COLUMNS, squeeze=False)).reshape(-1, 2)
    for pair_axes in axes:
        for one in pair_axes:
            one.axis("off")
    for (image_axes, mask_axes), (split, seen) in zip(axes, chosen, strict=False):
        read = report.bands.read(seen.pair.image)
        image = report.bands.shown(read.pixels)
        mask = read_truth(seen.pair, report.classes, report.levels, multilabel=report.multilabel)
        if read.missing is not None:
            mask = mask.copy()
            mask[read.missing] = ignored_in(mask)
        step = -(-max(mask.shape[:2]) // _SIDE)
        image, mask = image[::step, ::step], mask[::step, ::step]
        image_axes.imshow(image)
        mask_axes.imshow(grey_overlay(image, mask, report.classes.palette))
        name = seen.pair.key if len(seen.pair.key) <= 24 else f"...{seen.pair.key[-21:]}"
        image_axes.set_title(f"{split}: {name}", fontsize=6, loc="left", parse_math=False)
    shares = report.frequencies(report.train + report.val + report.test)
    handles = [
        Patch(color=hexadecimal(colour), label=f"{number} {name} {share:.1%}")
        for number, (name, colour, share) in enumerate(
            zip(in_legend(report.classes.names), report.classes.palette, shares, strict=True)
        )
    ]
    legend_below(figure, handles[:24], most=6, fontsize=7)
    save_figure(figure, path)


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure into an image file.

    Raises:
        DataError: it cannot be written.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of file names in scripts that the font lacks
        try:
            figure.savefig(path, dpi=150)
        except (OSError, ValueError) as error:  # ValueError: an ending that no image format has
            raise DataError(f"{shown(path)} cannot be written ({error}): name another file.") from error


def _choose(report: Report) -> list[tuple[str, Seen]]:
    """Pairs spread evenly over the splits, of readable ones whose images are as most are."""
    kind = report.bands.depth, report.bands.count

    def some(split: str, seen: tuple[Seen, ...], count: int) -> list[tuple[str, Seen]]:
        good = [one for one in seen if one.size and len(one.counts.numbers) and not one.errors]
        good = [one for one in good if (one.depth, len(one.mean)) == kind]
        places = np.linspace(0, len(good) - 1, min(count, len(good))).round().astype(int)
        return [(split, good[place]) for place in places]

    test = some("test", report.test, _DRAWN // 4)
    val = some("val", report.val, _DRAWN // 2 - len(test))
    return some("train", report.train, _DRAWN - len(val) - len(test)) + val + test
