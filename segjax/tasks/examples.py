"""Which records of a split are shown with their predictions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segjax.data import Dataset, Record, Source
from segjax.drawing import BoxExample, Note, draw_box_grid
from segjax.drawing.figures import evenly

_COLUMNS = 6
_LOOKED_AT = 200
"""Records of which the worst are drawn; spread evenly where there are more."""


class Shown(NamedTuple):
    """A record with what was predicted for it."""

    record: Record
    notes: Sequence[Note]
    """Of the predicted boxes."""
    score: float
    """How good the prediction is; the worst have the lowest."""
    caption: str


def draw_box_predictions(
    folder: Path, source: Source, predict: Callable[[list[Record]], list[Shown]], data: Dataset
) -> None:
    """Write predictions.png: records spread evenly, and below them the worst."""
    looked_at = predict([source[i] for i in evenly(len(source), _LOOKED_AT)])
    some = [looked_at[i] for i in evenly(len(looked_at), _COLUMNS)]
    worst = sorted(looked_at, key=lambda shown: shown.score)[: len(some)]
    rows = {"spread evenly": some, f"the worst of {len(looked_at)}": worst}
    draw_box_grid(folder, {title: [_example(data, one) for one in row] for title, row in rows.items()}, data.palette)


def _example(data: Dataset, shown: Shown) -> BoxExample:
    record = shown.record
    crowd = record.get("crowd", np.zeros(len(record["boxes"]), bool))
    return BoxExample(data.shown(record["image"]), record["boxes"].tolist(), crowd.tolist(), shown.notes, shown.caption)
