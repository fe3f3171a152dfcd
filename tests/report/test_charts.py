"""Where the lines and ticks of a chart are."""

import math

import pytest

from segjax.report.charts import HEIGHT, Line, curves, histogram, reliability


def test_a_curve_fills_its_chart_and_is_interrupted_where_nothing_is_known():
    points = [(0, 0.0), (10, 1.0), (20, None), (30, math.nan), (40, 0.5), (50, 1.0)]
    chart = curves("A", [Line("one", points, "red"), Line("one", points, "red")], x_label="step", y_label="a")
    assert chart is not None
    assert (chart.left, chart.right, chart.top, chart.bottom) == (46, 380, 12, 212)
    assert chart.lines[0].path == "M46.0 212.0L112.8 12.0M313.2 112.0L380.0 12.0"
    assert [mark.label for mark in chart.x_marks] == ["0", "10", "20", "30", "40", "50"]
    assert [mark.label for mark in chart.y_marks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert chart.about == "A by step: one ends at 1.000; one ends at 1.000."
    assert chart.legend == []  # one name needs none
    assert curves("A", [Line("one", [(1, None)], "red")], x_label="step", y_label="a") is None


@pytest.mark.parametrize(
    ("high", "labels"),
    [
        (3000, ["0", "500", "1,000", "1,500", "2,000", "2,500", "3,000"]),
        (0.012, ["0.000", "0.002", "0.004", "0.006", "0.008", "0.010", "0.012"]),
    ],
)
def test_ticks_are_round_numbers(high: float, labels: list[str]):
    chart = curves("A", [Line("one", [(0, 0), (1, high)], "red")], x_label="x", y_label="y")
    assert chart is not None
    assert [mark.label for mark in chart.y_marks] == labels


def test_a_lone_point_is_a_dot():
    chart = curves("A", [Line("one", [(7, 0.5)], "red")], x_label="step", y_label="a", y=(0, 1))
    assert chart is not None
    assert len(chart.lines[0].dots) == 1


def test_bars_are_as_high_as_their_counts():
    chart = histogram("A", [0.0, 0.01, 0.5, 1.0], x_label="a", y_label="images")
    assert [bar.height for bar in chart.bars] == [chart.bottom - chart.top, 100, 100]
    assert chart.bars[-1].x + chart.bars[-1].width == pytest.approx(chart.right, abs=1)
    right = reliability("A", [[0, 0, 0], [4, 3, 2]], 0.25)
    assert [(bar.height, bar.y) for bar in right.bars] == [(100, HEIGHT - 138)]
