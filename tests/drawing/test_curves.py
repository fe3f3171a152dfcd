"""Curves: which scores of which split are drawn, and what their titles say."""

import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segjax.drawing import curves, draw_curves

TRAIN: list[dict[str, Any]] = [
    {"step": 10, "train": {"loss": 2.0, "miou": 0.2}},
    {"step": 20, "train": {"loss": None}},
    {"step": 30, "train": {"loss": 1.0, "miou": 0.6}},
]
VAL: list[dict[str, Any]] = [
    {"step": 20, "val": {"miou": 0.4, "iou": {"a": 0.4, "b": None}}},
    {"step": 30, "val": {"miou": 0.5, "iou": {"a": 0.5, "b": 0.1}}},
]
TEST: list[dict[str, Any]] = [{"step": 30, "test": {"miou": 0.45, "iou": {"a": 0.3, "b": 0.2}}}]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    panels: list[Axes] = []

    def keep(figure: Figure, folder: Path, name: str) -> None:
        assert name == "curves.png"
        panels.extend(figure.axes)

    monkeypatch.setattr(curves, "save", keep)
    return panels


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): [*map(tuple, line.get_xydata())] for line in axes.get_lines()}  # type: ignore[arg-type]


def test_validation_is_a_curve_and_test_its_end(drawn: list[Axes]):
    colours = {"a": (200, 30, 30), "b": (30, 30, 200)}
    rows = [*TRAIN, *VAL, *TEST]
    draw_curves(Path(), rows, {"miou": "mean IoU"}, class_score=("iou", "IoU"), colours=colours)
    loss, miou, iou = drawn
    assert [axes.get_title() for axes in drawn] == [
        "training loss",
        "mean IoU: 0.450 on the test split",
        "validation IoU by class",
    ]
    (curve,) = lines(loss).values()
    assert curve[::2] == [(10, 2.0), (30, 1.0)]
    assert math.isnan(curve[1][1])  # the loss of steps of which none was applied
    assert lines(miou) == {
        "train": [(10, 0.2), (30, 0.6)],
        "validation": [(20, 0.4), (30, 0.5)],
        "test": [(30, 0.45)],
    }
    assert lines(iou)["a"] == [(20, 0.4), (30, 0.5)]
    assert math.isnan(lines(iou)["b"][0][1])
    assert iou.get_lines()[0].get_color() == "#c81e1e"


def test_until_the_end_there_is_validation_alone(drawn: list[Axes]):
    draw_curves(Path(), [*TRAIN, *VAL], {"miou": "mean IoU"})
    assert drawn[1].get_title() == "mean IoU: 0.500 on the validation split"
    assert lines(drawn[1]).keys() == {"train", "validation"}


def test_scores_that_training_does_not_count_and_rows_without_any(drawn: list[Axes]):
    draw_curves(Path(), [{"step": 1, "train": {"loss": 1.0}}, {"step": 1, "val": {"ap": None}}], {"ap": "AP"})
    assert lines(drawn[1]).keys() == {"validation"}
    assert drawn[1].get_title() == "AP: nan on the validation split"
    draw_curves(Path(), [], {"ap": "AP"})
    assert drawn[3].get_title() == "AP"
    assert drawn[3].get_legend() is None


def test_a_single_row_is_seen(drawn: list[Axes]):
    draw_curves(Path(), [*TRAIN[:1], *VAL], {"miou": "mean IoU"})
    assert [axes.get_lines()[0].get_marker() for axes in drawn] == ["o", "o"]


def test_the_file_is_written(tmp_path: Path):
    draw_curves(tmp_path, [*TRAIN, *VAL, *TEST], {"miou": "mean IoU"})
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
