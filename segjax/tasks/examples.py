"""Which records of a split are shown with their predictions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segjax.data import Dataset, Record, Source
from segjax.drawing import BoxExample, Note, brightened, draw_box_grid, draw_boxes
from segjax.drawing.figures import evenly
from segjax.tasks.examined import LOOKED_AT, Examined, Example, identity, worst_and_median

_COLUMNS = 6
_TRUTH = (255, 255, 255)


class Shown(NamedTuple):
    """A record with what was predicted for it."""

    record: Record
    notes: Sequence[Note]
    """Of the predicted boxes."""
    score: float
    """How good the prediction is; the worst have the lowest."""
    caption: str
    scores: dict[str, Any]
    """Of this record alone."""


def draw_box_predictions(
    folder: Path, source: Source, predict: Callable[[list[Record]], list[Shown]], data: Dataset
) -> Examined:
    """Write predictions.png: records spread evenly, and below them the worst; returns what was seen of all."""
    numbers = evenly(len(source), LOOKED_AT)
    records = [source[i] for i in numbers]
    looked_at = predict(records)
    some = [looked_at[i] for i in evenly(len(looked_at), _COLUMNS)]
    worst = sorted(looked_at, key=lambda shown: shown.score)[: len(some)]
    rows = {"spread evenly": some, f"the worst of {len(looked_at)}": worst}
    draw_box_grid(folder, {title: [_example(data, one) for one in row] for title, row in rows.items()}, data.palette)
    named = [identity(source, index, record) for index, record in zip(numbers, records, strict=True)]
    images = [one | shown.scores for one, shown in zip(named, looked_at, strict=True)]
    lowest, middle = (
        [_layers(named[i]["name"], looked_at[i], data) for i in chosen]
        for chosen in worst_and_median([shown.score for shown in looked_at])
    )
    return Examined(images, len(source), {}, lowest, middle)


def _example(data: Dataset, shown: Shown) -> BoxExample:
    record = shown.record
    crowd = record.get("crowd", np.zeros(len(record["boxes"]), bool))
    return BoxExample(data.shown(record["image"]), record["boxes"].tolist(), crowd.tolist(), shown.notes, shown.caption)


def _layers(name: str, shown: Shown, data: Dataset) -> Example:
    image, true, crowd, predicted, _ = _example(data, shown)
    image = brightened(image)
    outlines = [Note(box, (), len(data.palette), bool(left_out)) for box, left_out in zip(true, crowd, strict=True)]
    bare = [note._replace(lines=()) for note in predicted]
    layers = {
        name: np.asarray(draw_boxes(image, drawn, (*data.palette, _TRUTH)))
        for name, drawn in {
            "image": [], "truth": outlines, "prediction": predicted, "both": [*outlines, *bare]
        }.items()
    }  # fmt: skip
    return Example(name, shown.caption, layers)
