"""Grids of examples: what each panel shows, and what is written below it."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segjax.drawing import BoxExample, MaskExample, Note, draw_box_grid, draw_mask_grid, grids

PALETTE = ((200, 30, 30), (30, 30, 200))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    panels: list[Axes] = []

    def keep(figure: Figure, folder: Path, name: str) -> None:
        assert name == "predictions.png"
        panels.extend(figure.axes)

    monkeypatch.setattr(grids, "save", keep)
    return panels


def pixels(axes: Axes) -> np.ndarray:
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def test_a_column_has_image_truth_prediction_and_error(drawn: list[Axes]):
    truth = np.array([[0, 1, 255, 1]], np.uint8)
    prediction = np.array([[0, 0, 1, 1]], np.uint8)
    image = np.full((1, 4, 3), 255, np.uint8)
    nothing = MaskExample(image, np.full((1, 4), 255, np.uint8), prediction)
    draw_mask_grid(Path(), [MaskExample(image, truth, prediction), nothing], ("a", "b"), PALETTE)
    grid = np.array(drawn).reshape(4, 2)
    red, blue, grey = PALETTE[0], PALETTE[1], (120,) * 3
    np.testing.assert_array_equal(pixels(grid[0, 0]), image)
    np.testing.assert_array_equal(pixels(grid[1, 0])[0], [red, blue, grey, blue])
    np.testing.assert_array_equal(pixels(grid[2, 0])[0], [red, red, blue, blue])
    right, wrong = (238,) * 3, (204, 51, 63)
    np.testing.assert_array_equal(pixels(grid[3, 0])[0], [right, wrong, grey, right])
    assert [axes.get_xlabel() for axes in grid[3]] == ["67% right", ""]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["image", "truth", "prediction", "error"]


def test_rows_of_boxes_under_their_titles(drawn: list[Axes]):
    image = np.zeros((640, 640, 3), np.uint8)
    predicted = [Note((100, 100, 200, 200), (), 1)]
    one = BoxExample(image, [(300, 300, 200, 200)], [False], predicted, "1 of 1 found")
    draw_box_grid(Path(), {"some": [one, one], "the worst": [one, one]}, PALETTE)
    assert [axes.get_ylabel() for axes in drawn] == ["some", "", "the worst", ""]
    assert {axes.get_xlabel() for axes in drawn} == {"1 of 1 found"}
    shown = pixels(drawn[0])
    assert (shown == 255).all(-1).any()  # the truth is white
    assert (shown == PALETTE[1]).all(-1)[100:300, 100:105].any()


def test_the_file_is_written(tmp_path: Path):
    example = BoxExample(np.zeros((20, 30, 3), np.uint8), [], [], [], "nothing")
    draw_box_grid(tmp_path, {"some": [example]}, PALETTE)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.png"]
