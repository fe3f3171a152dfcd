"""How a run went: its loss and its scores over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segjax.drawing.figures import despine, new_figure, save
from segjax.drawing.names import in_legend
from segjax.drawing.palette import Colour, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPLITS = {"val": "validation", "test": "test"}
"""What a split that is not trained on is called, by the key of its scores in a row."""
_STYLES: dict[str, dict[str, Any]] = {
    "val": {"color": "#c0392b", "marker": "o", "markersize": 3, "clip_on": False},
    "test": {"color": "#1f4e79", "marker": "D", "markersize": 5, "clip_on": False},
}
_LINES = 64
"""Classes of which each has a line."""
_WIDTH, _HEIGHT = 4.3, 3.6
"""Inches, of a panel with its margins."""
Points = list[tuple[int, Mapping[str, Any]]]
"""Steps, and what a row says of each."""


def draw_curves(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[str, str],
    *,
    class_score: tuple[str, str] | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> None:
    """Write curves.png: the training loss, and scores of the validation and the test split.

    Args:
        folder: where to.
        rows: of a run's log: the scores of "train", "val" and "test", where a row has them, at its "step".
        scores: which to draw, and what each is called; those of training too where rows have them.
        class_score: one that has a value for each class, and what it is called; drawn last, of up to 64 classes.
        colours: of its classes, by name.

    Examples:
        >>> from pathlib import Path
        >>> rows = [{"step": 10, "train": {"loss": 0.5}, "val": {"miou": 0.6}}]
        >>> drawing.draw_curves(Path(), rows, {"miou": "mIoU"})
        >>> Path("curves.png").exists()
        True
    """
    of = {split: [(row["step"], row[split]) for row in rows if split in row] for split in ("train", *_SPLITS)}
    if colours is not None and len(colours) > _LINES:
        class_score = None
    count = 1 + len(scores) + (class_score is not None)
    figure = new_figure(_WIDTH * count, _HEIGHT)
    figure.subplots_adjust(  # what a layout engine would find out by drawing all of it once more
        left=0.6 / (_WIDTH * count),
        right=1 - 0.15 / (_WIDTH * count),
        bottom=0.5 / _HEIGHT,
        top=1 - 0.35 / _HEIGHT,
        wspace=0.55 / (_WIDTH - 0.55),
    )
    panels: list[Axes] = list(np.atleast_1d(figure.subplots(1, count)))
    _draw_training(panels[0], of["train"], "loss", color="#444444", linewidth=1.2)
    panels[0].set_title("training loss")
    panels[0].ticklabel_format(axis="y", scilimits=(-3, 5))
    for axes, (name, title) in zip(panels[1:], scores.items(), strict=False):
        _draw_score(axes, of, name, title)
    if class_score is not None:
        _draw_classes(panels[-1], of, *class_score, colours or {})
    for axes in panels[1:]:
        axes.set_ylim(0, 1)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", fontsize=8, frameon=False)
    for axes in panels:
        axes.set_xlabel("step")
        despine(axes)
        axes.grid(alpha=0.25)
    save(figure, folder, "curves.png")


def draw_reliability(folder: Path, bins: Sequence[Sequence[float]], error: float) -> None:
    """Write calibration.png: how often a probability is right (Guo et al. 2017).

    Args:
        folder: where to.
        bins: for each of equally wide bins of probability how many, their sum, and how many are right.
        error: the expected calibration error.

    Examples:
        >>> import pathlib
        >>> drawing.draw_reliability(pathlib.Path(), [(10, 2.5, 3), (10, 7.5, 7)], error=0.05)
        >>> pathlib.Path("calibration.png").exists()
        True
    """
    figure = new_figure(4.3, 4.0, constrained=True)
    axes = figure.subplots()
    width = 1 / len(bins)
    there = [(place, count, right) for place, (count, _, right) in enumerate(bins) if count]
    heights = [right / count for _, count, right in there]
    axes.bar([place * width for place, *_ in there], heights, width, align="edge", color="#1f4e79", edgecolor="white")
    axes.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="dashed")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share that is right")
    axes.set_title(f"expected calibration error {error:.3f}")
    despine(axes)
    save(figure, folder, "calibration.png")


def _draw_training(axes: Axes, points: Points, name: str, **style: Any) -> None:
    steps, values = _curve(points, name)
    axes.plot(steps, values, marker="o" if len(steps) == 1 else "", **style)  # a line of one point is none


def _draw_score(axes: Axes, of: Mapping[str, Points], name: str, title: str) -> None:
    if any(name in scores for _, scores in of["train"]):
        _draw_training(axes, of["train"], name, color="#bbbbbb", linewidth=1, label="train")
    for split, called in _SPLITS.items():
        if of[split]:
            steps, values = _curve(of[split], name)
            axes.plot(steps, values, label=called, **_STYLES[split])
            title = f"{title.partition(':')[0]}: {values[-1]:.3f} on the {called} split"
    axes.set_title(title)


def _draw_classes(axes: Axes, of: Mapping[str, Points], name: str, title: str, colours: Mapping[str, Colour]) -> None:
    split = "val" if of["val"] else "test"
    for (of_class, colour), label in zip(colours.items(), in_legend(list(colours)), strict=True):
        points = [(step, scores[name]) for step, scores in of[split]]
        style: dict[str, Any] = {**_STYLES["val"], "color": hexadecimal(colour)}
        axes.plot(*_curve(points, of_class), label=label, **style)
    axes.set_title(f"{_SPLITS[split]} {title} by class")


def _curve(points: Points, name: str) -> tuple[list[int], list[float]]:
    """Steps and values, of the rows that have one; NaN where it is undefined."""
    known = [(step, scores[name]) for step, scores in points if name in scores]
    return [step for step, _ in known], [np.nan if value is None else value for _, value in known]
