# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false
"""Boxes drawn on pictures: where they are, and whether what is written beside them can be read."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segjax.drawing.box_overlay import LEAST_LETTERS, Note, draw_boxes, notes
from segjax.ops.boxes import Detections

GROUND = (90, 90, 90)
EMOTIONS = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
PALETTE = tuple((250, 10 * i, 255 - 10 * i) for i in range(12))


def plain(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GROUND, np.uint8)


def where(picture: Image.Image, colour: tuple[int, ...]) -> np.ndarray:
    return (np.array(picture) == colour).all(-1)


def written(size: tuple[int, int], drawn: list[Note]) -> np.ndarray:
    """Which pixels are covered with what is written, and with what leads to it."""
    bare = [note._replace(lines=()) for note in drawn]
    return (np.array(draw_boxes(plain(*size), drawn, PALETTE)) != draw_boxes(plain(*size), bare, PALETTE)).any(-1)


def extent(there: np.ndarray) -> tuple[int, int]:
    """Height and width of the box around what is true."""
    rows, columns = np.nonzero(there)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def found(boxes: Any, k: int = 1, attributes: bool = False) -> Detections:
    boxes = np.array(boxes, float).reshape(-1, 4)
    rng = np.random.default_rng(len(boxes))
    scores = rng.uniform(0.3, 1, (len(boxes), k))
    of_emotions = rng.uniform(0, 1, (len(boxes), len(EMOTIONS))) if attributes else None
    return Detections(boxes, scores.argmax(1), scores.max(1), scores, of_emotions)


def test_what_is_written_beside_a_box():
    one = Detections(
        np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]]),
        np.array([2, 0, -1]),
        np.array([0.75, 0.4, 0.0]),
        np.array([[0.1, 0.3, 0.75], [0.4, 0.2, 0.1], [0.0, 0.0, 0.0]]),
    )
    first, second = notes(one, ("ant", "bee", "cat"))
    assert first == Note([1, 2, 3, 4], ["cat 0.75", "bee 0.30", "ant 0.10"], 2)
    assert second.lines == ["ant 0.40", "bee 0.20", "cat 0.10"]
    assert notes(one, ("ant", "bee", "cat"), least=0.5) == [first]
    scores = one._replace(attributes=np.array([[0.2, 0.9], [0.5, 0.4], [0.0, 0.0]]))
    assert [note.lines for note in notes(scores, ("ant", "bee", "cat"), ("glad", "sad"))] == [
        ["cat 0.75", "sad 0.90", "glad 0.20"],
        ["ant 0.40", "glad 0.50", "sad 0.40"],
    ]
    two = Detections(one.boxes[1:], one.labels[1:], one.scores[1:], one.class_scores[1:, :2])
    assert [note.lines for note in notes(two, ("ant", "bee"))] == [["ant 0.40"]]  # the other says nothing new


def test_of_many_classes_only_the_greatest_are_written():
    scores = np.arange(80)[None] / 100
    many = Detections(np.ones((1, 4)), np.array([79]), np.array([0.79]), scores)
    names, attributes = [f"c{i}" for i in range(80)], [f"a{i}" for i in range(80)]
    greatest = [f"{i} 0.{i}" for i in range(78, 70, -1)]
    assert notes(many, names)[0].lines == ["c79 0.79", *(f"c{line}" for line in greatest)]
    scored = many._replace(attributes=scores[:, :79])
    assert notes(scored, names, attributes[:79])[0].lines == ["c79 0.79", *(f"a{line}" for line in greatest)]


@pytest.mark.parametrize("size", [(64, 64), (100, 333), (700, 900), (3001, 2001)])
def test_the_box_is_where_it_is_and_what_is_written_can_be_read(size: tuple[int, int]):
    height, width = size
    box = (0.25 * width, 0.25 * height, 0.5 * width, 0.25 * height)
    drawn_notes = notes(found([box]), ["face"])
    picture = draw_boxes(plain(*size), drawn_notes, PALETTE)
    scale = picture.width / width
    assert max(picture.size) <= 2048
    assert picture.height == pytest.approx(scale * height, abs=1)
    drawn = where(picture, PALETTE[0])
    tall, wide = extent(written(size, drawn_notes))
    assert tall >= max(1.25 * LEAST_LETTERS, max(picture.size) / 38)
    assert 3 * tall < wide < 6 * tall
    # The middle of each side, within the line's thickness.
    x, y, w, h = (scale * value for value in box)
    thick = max(3, max(picture.size) // 100)
    for row, column in ((y, x + w / 2), (y + h, x + w / 2), (y + h / 2, x), (y + h / 2, x + w)):
        near = drawn[int(row) - thick : int(row) + thick, int(column) - thick : int(column) + thick]
        assert near.any()
    assert not drawn[int(y + h / 2) - 2 : int(y + h / 2) + 2, int(x + w / 2) - 2 : int(x + w / 2) + 2].any()
    letters = written(size, drawn_notes) & (np.array(picture)[..., 1] > 100)  # white on a colour with little green
    assert 0.08 * tall * wide < letters.sum() < 0.5 * tall * wide


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (20, 900), (900, 20), (1, 1), (5, 5000)])
def test_beside_thin_pictures_there_is_room_to_write(size: tuple[int, int]):
    height, width = size
    drawn = notes(found([(0.4 * width, 0, 0.2 * width, height)]), ["face"])
    picture = draw_boxes(plain(*size), drawn, PALETTE)
    empty = draw_boxes(plain(*size), [], PALETTE)
    assert picture.size == empty.size  # as frames of a video must be
    tall, wide = extent(written(size, drawn))
    assert tall >= 1.25 * LEAST_LETTERS
    assert 3 * tall < wide < 6 * tall
    assert where(empty, GROUND).any()


def test_of_a_line_wider_than_its_picture_the_score_is_seen():
    long = [Note((0, 0, 30, 30), [f"{'long ' * 30}{score}"], 0) for score in (0.11, 0.99)]
    one, other = (np.array(draw_boxes(plain(300, 60), [note], PALETTE)) for note in long)
    assert (one != other).any()


def test_small_pictures_are_shown_larger_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.array(draw_boxes(pixels, [], PALETTE)), pixels.repeat(10, 0).repeat(10, 1))


@pytest.mark.parametrize("size", [(480, 640), (768, 1024)])
def test_emotions_of_several_faces_cover_neither_each_other_nor_faces(size: tuple[int, int]):
    unit = size[1] / 16
    places = [(1, 1), (7, 1), (12, 1), (1, 7), (6, 8), (12, 7)]
    faces = [(unit * x, unit * y, 1.8 * unit, 2.2 * unit) for x, y in places]
    several = [note._replace(label=i) for i, note in enumerate(notes(found(faces, 1, True), ["face"], EMOTIONS))]
    picture, there = draw_boxes(plain(*size), several, PALETTE), written(size, several)
    area = 0
    for i, (x, y, w, h) in enumerate(faces):
        tall, wide = extent(there & where(picture, PALETTE[i]))  # of the first of nine lines, which has its colour
        assert tall >= 1.25 * LEAST_LETTERS
        area += 9 * tall * wide
        assert there[int(y) : int(y + h), int(x) : int(x + w)].mean() < 0.1, i
    assert there.sum() == pytest.approx(area, rel=0.04)


def test_a_hundred_boxes_anywhere_are_drawn():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(-50, 300, (100, 2)), rng.uniform(0, 400, (100, 2))], axis=1)
    boxes[:3, 2:] = 0
    picture = draw_boxes(plain(200, 300), notes(found(boxes, 3), ["a", "b", "c"]), PALETTE)
    assert picture.size == (600, 400)
    assert all(where(picture, PALETTE[k]).any() for k in range(3))


def test_places_are_chosen_without_holding_all_of_them_against_all_texts():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 250, (200, 2)), rng.uniform(5, 60, (200, 2))], axis=1)
    drawn = notes(found(boxes), ["face"])
    draw_boxes(plain(200, 300), drawn[:2], PALETTE)  # with all that is loaded once
    tracemalloc.start()
    draw_boxes(plain(200, 300), drawn, PALETTE)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 6e6  # 600 boxes took a minute


def test_what_is_not_scored_is_dashed():
    def row(dashed: bool) -> np.ndarray:
        picture = draw_boxes(plain(64, 64), [Note((10, 20, 40, 20), (), 0, dashed)], PALETTE)
        return np.any(where(picture, PALETTE[0])[198:204, 100:500], axis=0)

    assert row(dashed=False).mean() > 0.98
    assert 0.4 < row(dashed=True).mean() < 0.6
