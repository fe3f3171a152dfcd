"""Pictures of what networks give: spectra of their logits, and predictions with a boundary enlarged."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from benchmarks.upsampling.data import Data
from segjax.data import IGNORE
from segjax.drawing.figures import bare, rgb
from segjax.drawing.palette import paint

Labels = Mapping[str, str]
"""Columns by key, and what stands above them."""


def spectra(rows: Mapping[str, Mapping[str, Float[np.ndarray, "h w"]]], labels: Labels) -> Figure:
    """Power spectra in decibels above their median, by row and column, from -1/4 to 3/4 cycles per pixel.

    So frequency zero lies at the upper left, and those of stride 2 in the middle of the circles.
    """
    figure = Figure(figsize=(1.02 * len(labels) + 1.0, 1.02 * len(rows) + 0.9), layout="constrained")
    grid = figure.subplots(len(rows), len(labels), squeeze=False)
    shown = None
    for line, (title, row) in zip(grid, rows.items(), strict=True):
        for axes, name in zip(line, labels, strict=True):
            bare(axes)
            if name not in row:
                axes.set_facecolor("#f4f4f2")
                continue
            power = row[name]
            decibels = 10 * np.log10(power / np.median(power) + 1e-9)
            quarter = [size // 4 for size in power.shape]
            shown = axes.imshow(np.roll(decibels, quarter, (0, 1)), vmin=-10, vmax=35, cmap="magma")
            for i, j in ((0, 1), (1, 0), (1, 1)):
                y, x = (size / 4 + on * size / 2 for size, on in zip(power.shape, (i, j), strict=True))
                axes.plot(x, y, "o", markersize=7, markerfacecolor="none", markeredgecolor="white", alpha=0.55, mew=0.7)
        line[0].set_ylabel(title, fontsize=8)
    for axes, label in zip(grid[0], labels.values(), strict=True):
        axes.set_title(_broken(label), fontsize=8)
    if shown is not None:
        figure.colorbar(shown, ax=grid, location="right", shrink=0.5, label="dB above the median", pad=0.01)
    return figure


def tiles(data: Data, predictions: Mapping[str, UInt8[np.ndarray, "n h w"]], labels: Labels) -> Figure:
    """The same test tiles under every operator; below each the square with most of the true boundary, enlarged.

    In the enlarged squares the true boundary is drawn over what is predicted.
    """
    count = len(data.shown)
    columns = {"image": "image", "truth": "truth"} | dict(labels)
    figure = Figure(figsize=(1.08 * len(columns) + 0.1, 2.2 * count + 0.75), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr]
    grid = figure.subplots(2 * count, len(columns), squeeze=False)
    for i in range(count):
        probe = data.shown[i]
        truth = data.probe_masks[probe]
        top, left, side = busiest(truth)
        for j, name in enumerate(columns):
            if name == "image":
                picture = rgb(data.probes[probe])
            else:
                classes = truth if name == "truth" else predictions[name][i]
                picture = paint(classes, data.dataset.palette)
            whole, zoom = grid[2 * i, j], grid[2 * i + 1, j]
            for axes in (whole, zoom):
                bare(axes)
                axes.imshow(picture, interpolation="nearest")
            frame = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * side + (left - 0.5, top - 0.5)
            whole.plot(*frame.T, color="white", linewidth=0.9)
            zoom.add_collection(LineCollection(boundary(truth), colors="black", linewidths=0.9))
            zoom.set(xlim=(left - 0.5, left + side - 0.5), ylim=(top + side - 0.5, top - 0.5))
    for axes, label in zip(grid[0], columns.values(), strict=True):
        axes.set_title(_broken(label), fontsize=8)
    return figure


def busiest(mask: UInt8[np.ndarray, "h w"]) -> tuple[int, int, int]:
    """The square of a third of the picture that holds most of the boundary between classes: top, left, side."""
    side = max(4, min(mask.shape) // 3)
    edges = np.zeros(mask.shape)
    for (x, y), _ in boundary(mask):
        edges[min(int(y + 0.5), mask.shape[0] - 1), min(int(x + 0.5), mask.shape[1] - 1)] += 1
    sums = np.lib.stride_tricks.sliding_window_view(edges, (side, side)).sum((2, 3))
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), side


def boundary(mask: UInt8[np.ndarray, "h w"]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The edges of pixels between two classes, as lines from (x, y) to (x, y); the ignored is bounded by none."""
    known = mask != IGNORE
    rows, columns = np.nonzero((mask[1:] != mask[:-1]) & known[1:] & known[:-1])
    lines = [((x - 0.5, y + 0.5), (x + 0.5, y + 0.5)) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    rows, columns = np.nonzero((mask[:, 1:] != mask[:, :-1]) & known[:, 1:] & known[:, :-1])
    lines += [((x + 0.5, y - 0.5), (x + 0.5, y + 0.5)) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    return lines


def _broken(label: str) -> str:
    """A label in lines short enough for its column."""
    lines = [""]
    for word in label.split():
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < 12 else [lines[-1], word]
    return "\n".join(lines)
