"""The pictures that a run of boxes draws: its curves, and what it predicts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from segjax.data import Dataset, Record, Source
from segjax.inference.box_overlay import Note, draw_boxes
from segjax.train.pictures import rgb, save

_COLUMNS = 6
_LOOKED_AT = 200
"""Test records of which the worst are drawn; spread evenly where there are more."""
_TRUTH = (255, 255, 255)


class Shown(NamedTuple):
    """A test record with what was predicted for it."""

    record: Record
    notes: Sequence[Note]
    """Of the predicted boxes."""
    score: float
    """How good the prediction is; the worst have the lowest."""
    caption: str


def draw_box_curves(folder: Path, rows: list[dict[str, Any]], scores: Sequence[str]) -> None:
    """Write curves.png: the training loss, and scores of the test split, and of training where rows have them."""
    train = [(row["step"], row["train"]) for row in rows if "train" in row]
    test = [(row["step"], row["test"]) for row in rows if "test" in row]
    figure = Figure(figsize=(4.3 * (1 + len(scores)), 3.6), layout="constrained")
    loss, *others = figure.subplots(1, 1 + len(scores))
    loss.plot([s for s, _ in train], [_number(r["loss"]) for _, r in train], color="#444444", linewidth=1.2)
    loss.set_title("training loss")
    for axes, name in zip(others, scores, strict=True):
        seen = [(s, _number(r[name])) for s, r in train if name in r]
        if seen:
            axes.plot(*zip(*seen, strict=True), color="#bbbbbb", linewidth=1, label="train")
        values = [_number(r[name]) for _, r in test]
        axes.plot([s for s, _ in test], values, color="#c0392b", marker="o", markersize=3, label="test")
        title = name.replace("_", " ")
        axes.set_title(f"{title}: {values[-1]:.3f} on the test split" if values else title)
        axes.set_ylim(0, 1)
        axes.legend(loc="lower right", fontsize=8, frameon=False)
    for axes in (loss, *others):
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    save(figure, folder, "curves.png")


def draw_box_predictions(
    folder: Path, source: Source, predict: Callable[[list[Record]], list[Shown]], data: Dataset
) -> None:
    """Write predictions.png: test records spread evenly, and below them the worst; the true boxes are white."""
    count = min(len(source), _LOOKED_AT)
    looked_at = predict([source[int(i)] for i in np.linspace(0, len(source) - 1, count).round().astype(int)])
    some = [looked_at[i] for i in np.unique(np.linspace(0, count - 1, _COLUMNS).round().astype(int))]
    worst = sorted(looked_at, key=lambda shown: shown.score)[: len(some)]
    figure = Figure(figsize=(2.6 * len(some) + 0.4, 6.2), layout="constrained")
    grid = figure.subplots(2, len(some), squeeze=False)
    palette = (*data.palette, _TRUTH)
    for row, examples in zip(grid, (some, worst), strict=True):
        for axes, shown in zip(row, examples, strict=True):
            record = shown.record
            true = [
                Note(box, (), len(data.palette), bool(crowd))
                for box, crowd in zip(record["boxes"], record.get("crowd", np.zeros(len(record["boxes"]))), strict=True)
            ]
            axes.imshow(draw_boxes(rgb(record["image"]), [*true, *shown.notes], palette))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(shown.caption, fontsize=8)
    for axes, title in zip(grid[:, 0], ("spread evenly", f"the worst of {count}"), strict=True):
        axes.set_ylabel(title, fontsize=11)
    figure.suptitle("true boxes are white, dashed where they are not scored", fontsize=9)
    save(figure, folder, "predictions.png")


def _number(score: float | None) -> float:
    return np.nan if score is None else score
