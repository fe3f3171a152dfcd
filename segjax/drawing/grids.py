"""Grids of examples: what a model predicts beside what is true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt, UInt8

from segjax.drawing.box_overlay import Note, draw_boxes
from segjax.drawing.figures import class_patches, legend_below, rgb, save, title_above
from segjax.drawing.palette import IGNORED, Palette, paint
from segjax.drawing.tiles import draw_tiles

_NAMED = 64
"""Classes that a legend names, at most."""
_ROWS = ("image", "truth", "prediction", "error")
_RIGHT, _WRONG, _TRUTH = (238, 238, 238), (204, 51, 63), (255, 255, 255)


class MaskExample(NamedTuple):
    """One record with the mask that was predicted for it."""

    image: UInt8[np.ndarray, "h w c"]
    truth: UInt[np.ndarray, "h w *k"]
    prediction: UInt[np.ndarray, "h w *k"]


class BoxExample(NamedTuple):
    """One record with the boxes that were predicted for it."""

    image: UInt8[np.ndarray, "h w c"]
    true: Sequence[Sequence[float]]
    """Boxes (x, y, w, h)."""
    crowd: Sequence[bool]
    """Which of them are not scored."""
    predicted: Sequence[Note]
    caption: str


def draw_mask_grid(folder: Path, examples: Sequence[MaskExample], class_names: Sequence[str], palette: Palette) -> None:
    """Write predictions.png: a column for each example, with its image, truth, prediction and error."""
    columns, shares = zip(*(_shown_of_masks(example, palette) for example in examples), strict=True)
    captions = [*[[""] * len(examples)] * 3, shares]
    rows = [*zip(*columns, strict=True)]
    figure = draw_tiles(rows, _ROWS, captions, width=2.0, fontsize=9, interpolation="nearest")
    if len(class_names) > _NAMED and examples[0].truth.ndim == 2:  # the commonest of those that are to be seen
        seen = np.concatenate([mask.ravel() for _, *masks in examples for mask in masks])
        order = np.argsort(-np.bincount(seen, minlength=len(class_names))[: len(class_names)], kind="stable")[:_NAMED]
        class_names, palette = [class_names[int(c)] for c in order], [palette[int(c)] for c in order]
    legend_below(figure, class_patches(class_names, palette), most=8, fontsize=9, frame=False)
    save(figure, folder, "predictions.png")


def draw_box_grid(folder: Path, rows: Mapping[str, Sequence[BoxExample]], palette: Palette) -> None:
    """Write predictions.png: rows of examples under their titles, equally many in each; the true boxes are white."""
    images = [[_shown_of_boxes(example, palette) for example in examples] for examples in rows.values()]
    captions = [[example.caption for example in examples] for examples in rows.values()]
    figure = draw_tiles(images, [*rows], captions, width=2.6, fontsize=8)
    title_above(figure, "true boxes are white, dashed where they are not scored", fontsize=9)
    save(figure, folder, "predictions.png")


def _shown_of_masks(example: MaskExample, palette: Palette) -> tuple[list[UInt8[np.ndarray, "h w 3"]], str]:
    """Image, truth, prediction and error, and how much is right."""
    image, truth, prediction = example
    counted, right = truth != np.iinfo(truth.dtype).max, truth == prediction
    if truth.ndim == 3:  # of labels that may overlap
        counted, right = counted.any(axis=2), (right | ~counted).all(axis=2)
    error = np.where(right[..., None], _RIGHT, _WRONG)
    error = np.where(counted[..., None], error, IGNORED).astype(np.uint8)
    share = f"{right[counted].mean():.0%} right" if counted.any() else ""
    return [rgb(image), paint(truth, palette), paint(prediction, palette), error], share


def _shown_of_boxes(example: BoxExample, palette: Palette) -> UInt8[np.ndarray, "h w 3"]:
    true = [Note(box, (), len(palette), bool(crowd)) for box, crowd in zip(example.true, example.crowd, strict=True)]
    return np.asarray(draw_boxes(rgb(example.image), [*true, *example.predicted], (*palette, _TRUTH)))
