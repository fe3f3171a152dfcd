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


def pixels(axes: Axes) -> list[np.ndarray]:
    """Of each image, row by row."""
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def texts(axes: Axes) -> list[str]:
    """Each row's title, and its captions where it has any."""
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_a_column_has_image_truth_prediction_and_error(drawn: list[Axes]):
    truth = np.array([[0, 1, 255, 1]], np.uint8)
    prediction = np.array([[0, 0, 1, 1]], np.uint8)
    image = np.full((1, 4, 3), 255, np.uint8)
    nothing = MaskExample(image, np.full((1, 4), 255, np.uint8), prediction)
    draw_mask_grid(Path(), [MaskExample(image, truth, prediction), nothing], ("a", "b"), PALETTE)
    (axes,) = drawn
    shown = pixels(axes)
    red, blue, grey = PALETTE[0], PALETTE[1], (120,) * 3
    np.testing.assert_array_equal(shown[0], image)
    np.testing.assert_array_equal(shown[2][0], [red, blue, grey, blue])
    np.testing.assert_array_equal(shown[4][0], [red, red, blue, blue])
    right, wrong = (238,) * 3, (204, 51, 63)
    np.testing.assert_array_equal(shown[6][0], [right, wrong, grey, right])
    assert texts(axes) == ["image", "truth", "prediction", "error", "67% right"]


def test_images_of_any_shape_stand_in_their_tiles_in_rows(drawn: list[Axes]):
    wide, tall = (
        MaskExample(np.zeros((*size, 3), np.uint8), *[np.zeros(size, np.uint8)] * 2) for size in ((2, 4), (6, 3))
    )
    draw_mask_grid(Path(), [wide, tall], ("a", "b"), PALETTE)
    first, second, *_, last = (image.get_extent() for image in drawn[0].get_images())
    np.testing.assert_allclose(first, (0, 1, 0.75, 0.25))
    np.testing.assert_allclose(second, (1.3, 1.8, 1, 0))
    np.testing.assert_allclose(last, (1.3, 1.8, 4.15, 3.15))
    (left, right), (bottom, top) = drawn[0].get_xlim(), drawn[0].get_ylim()
    assert left < 0 < 2.05 < right + 0.06
    assert top == 0
    assert bottom > 4.15


def test_rows_of_boxes_under_their_titles(drawn: list[Axes]):
    image = np.zeros((640, 640, 3), np.uint8)
    predicted = [Note((100, 100, 200, 200), (), 1)]
    one = BoxExample(image, [(300, 300, 200, 200)], [False], predicted, "1 of 1 found")
    draw_box_grid(Path(), {"some": [one, one], "the worst": [one, one]}, PALETTE)
    (axes,) = drawn
    assert texts(axes) == ["some", *["1 of 1 found"] * 2, "the worst", *["1 of 1 found"] * 2]
    shown = pixels(axes)[0]
    assert (shown == 255).all(-1).any()  # the truth is white
    assert (shown == PALETTE[1]).all(-1)[100:300, 100:105].any()


def test_the_file_is_written(tmp_path: Path):
    example = BoxExample(np.zeros((20, 30, 3), np.uint8), [], [], [], "nothing")
    draw_box_grid(tmp_path, {"some": [example]}, PALETTE)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.png"]


@pytest.mark.parametrize(
    "names", [("a", "b"), ("a name that is longer than an image is wide, as some are", *"bcdefgh")]
)
def test_a_legend_is_never_cut(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]):
    def within(figure: Figure, folder: Path, name: str) -> None:
        figure.canvas.draw()
        box, whole = (figure.legends[0] if figure.legends else figure.texts[0]).get_window_extent(), figure.bbox
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1

    monkeypatch.setattr(grids, "save", within)
    mask = np.zeros((9, 7), np.uint8)
    draw_mask_grid(Path(), [MaskExample(np.zeros((9, 7, 3), np.uint8), mask, mask)], names, (PALETTE * 4)[: len(names)])
    draw_box_grid(Path(), {"some": [BoxExample(np.zeros((9, 7, 3), np.uint8), [], [], [], "nothing")]}, PALETTE)
