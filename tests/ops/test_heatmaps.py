import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import ops

SIZE, STRIDE, CLASSES = (9, 13), 4.0, 3


make_targets = jax.jit(partial(ops.center_targets, size=SIZE, stride=STRIDE, num_classes=CLASSES))


def targets_of(boxes, labels, crowd) -> ops.CenterTargets:
    """Padded to one shape, so that it compiles once."""
    n, m = labels.shape
    boxes = np.pad(boxes, ((0, 4 - n), (0, 24 - m), (0, 0)))
    labels, crowd = (np.pad(each, ((0, 4 - n), (0, 24 - m)), constant_values=-1) for each in (labels, crowd))
    return jax.tree.map(lambda each: each[:n], make_targets(boxes, labels, crowd))


def radius_by_hand(w: float, h: float, least: float) -> float:
    """By bisection over the three ways in which the corners move."""

    def overlap(r: float) -> float:
        both = max(w - r, 0) * max(h - r, 0)
        inner, outer = max(w - 2 * r, 0) * max(h - 2 * r, 0), (w + 2 * r) * (h + 2 * r)
        return min(both / (2 * w * h - both), inner / (w * h), w * h / outer)

    low, high = 0.0, w + h
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if overlap(middle) >= least else (low, middle)
    return low


def targets_by_hand(boxes, labels, crowd):
    """One image, object by object and cell by cell."""
    height, width = SIZE
    heatmap = np.zeros((*SIZE, CLASSES))
    counted = np.ones((*SIZE, CLASSES), bool)
    extent, offset, owner = np.zeros((*SIZE, 2)), np.zeros((*SIZE, 2)), np.full(SIZE, -1)
    for i, ((x, y, w, h), label) in enumerate(zip(np.asarray(boxes, np.float64) / STRIDE, labels, strict=True)):
        if label < 0 or w <= 0 or h <= 0:
            continue
        if crowd[i]:
            for row in range(height):
                for column in range(width):
                    if x <= column + 0.5 < x + w and y <= row + 0.5 < y + h:
                        counted[row, column, label] = False
            continue
        centre = x + w / 2, y + h / 2
        column, row = math.floor(centre[0]), math.floor(centre[1])
        if not (0 <= column < width and 0 <= row < height):
            continue
        radius = math.floor(radius_by_hand(w, h, 0.3))
        for v in range(max(row - radius, 0), min(row + radius + 1, height)):
            for u in range(max(column - radius, 0), min(column + radius + 1, width)):
                value = math.exp(-((v - row) ** 2 + (u - column) ** 2) / (2 * ((2 * radius + 1) / 6) ** 2))
                heatmap[v, u, label] = max(heatmap[v, u, label], value)
        if owner[row, column] < 0 or w * h < extent[row, column].prod():
            owner[row, column] = i
            extent[row, column] = w, h
            offset[row, column] = centre[0] - column, centre[1] - row
    return heatmap, counted | (heatmap == 1), extent, offset, owner


def example(seed: int, images: int = 2, most: int = 8):
    """Boxes of all sizes, some around others, over the edge, outside, without area, padded or crowds."""
    rng = np.random.default_rng(seed)
    shape = images, most
    boxes = np.concatenate([rng.uniform(-10, 60, (*shape, 2)), np.exp(rng.uniform(0, 4.2, (*shape, 2)))], -1)
    boxes[:, 1] = boxes[:, 0] + [2, 2, -4, -4]  # the same centre
    boxes[rng.random(shape) < 0.1, 2] = 0
    boxes = (np.round(8 * boxes) / 8).astype(np.float32)  # exact, also on the border of a cell
    return boxes, rng.integers(-1, CLASSES, shape), rng.random(shape) < 0.15


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_targets_are_those_of_the_loop(seed):
    boxes, labels, crowd = example(seed)
    targets = targets_of(boxes, labels, crowd)
    for image in range(len(boxes)):
        expected = targets_by_hand(boxes[image], labels[image], crowd[image])
        for name, ours, theirs in zip(targets._fields, targets, expected, strict=True):
            np.testing.assert_allclose(ours[image], theirs, rtol=1e-4, atol=1e-5, err_msg=name)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(0.125, 200), st.floats(0.125, 200), st.sampled_from([0.1, 0.3, 0.7, 0.95]))
def test_the_radius_is_where_the_overlap_falls_too_low(w, h, least):
    radius = ops.gaussian_radius(jnp.float32(w), jnp.float32(h), least)
    assert float(radius) == pytest.approx(radius_by_hand(w, h, least), rel=1e-3)


def test_a_long_box_keeps_its_radius():
    """Half of its sides and a root of almost the same square were subtracted: 0.0352 for 0.0350."""
    with jax.enable_x64(True):
        expected = float(ops.gaussian_radius(jnp.float64(1e5), jnp.float64(0.1)))
    assert expected == pytest.approx(0.035, rel=1e-4)
    assert float(ops.gaussian_radius(jnp.float32(1e5), jnp.float32(0.1))) == pytest.approx(expected, rel=1e-6)
    assert float(ops.gaussian_radius(jnp.float32(0), jnp.float32(0))) == 0


@pytest.mark.parametrize(("dtype", "side"), [(jnp.float16, 400), (jnp.bfloat16, 400), (jnp.int32, 50_000)])
def test_a_radius_of_any_type_is_computed_in_float32(dtype, side):
    """400 x 400 is beyond float16, and 50,000 x 50,000 beyond int32."""
    sides = [jnp.asarray(side, each) for each in (dtype, jnp.float32)]
    radius, expected = (ops.gaussian_radius(each, each) for each in sides)
    assert radius == expected > 90


def test_a_centre_is_exactly_one_and_nothing_else_is():
    boxes, labels, crowd = example(7, images=4)
    targets = targets_of(boxes, labels, crowd)
    where = np.argwhere(np.asarray(targets.heatmap) == 1)
    real = (labels >= 0) & ~crowd & (boxes[..., 2:] > 0).all(-1)
    cells = np.floor((boxes[..., :2] + boxes[..., 2:] / 2) / STRIDE).astype(int)
    real &= (cells >= 0).all(-1) & (cells < SIZE[::-1]).all(-1)
    expected = {(i, cells[i, j, 1], cells[i, j, 0], labels[i, j]) for i, j in np.argwhere(real)}
    assert {tuple(cell) for cell in where.tolist()} == expected
    assert real.any(), "the example has objects"


def test_images_without_boxes_are_empty():
    padding, outside, objects = np.full((2, 3), -1), np.full((2, 3), 0), np.full((2, 3), CLASSES)
    for fill, labels in ((0, padding), (np.nan, padding), (1e9, outside), (-1e9, outside), (8, objects)):
        targets = targets_of(np.full((2, 3, 4), fill, np.float32), labels, np.zeros((2, 3), bool))
        assert np.all(np.asarray(targets.heatmap) == 0)
        assert np.all(np.asarray(targets.size) == 0)
        assert np.all(np.asarray(targets.owner) == -1)
        assert np.all(targets.counted)


def test_a_crowd_is_not_counted_but_for_the_objects_in_it():
    boxes = np.array([[[4, 4, 24, 20], [12, 12, 4, 4], [4, 4, 24, 20]]], np.float32)
    targets = targets_of(boxes, np.array([[1, 1, 0]]), np.array([[True, False, False]]))
    expected = np.ones((*SIZE, CLASSES), bool)
    expected[1:6, 1:7, 1] = False
    expected[3, 3, 1] = True
    np.testing.assert_array_equal(targets.counted[0], expected)
    assert targets.owner[0, 3, 3] == 1, "a crowd owns no cell"


def test_attributes_lie_at_their_objects_centre():
    boxes = np.array([[[0, 0, 8, 8], [20, 12, 4, 4], [0, 0, 0, 0]]], np.float32)
    targets = targets_of(boxes, np.array([[0, 2, -1]]), np.zeros((1, 3), bool))
    scores = np.array([[[0.1, np.nan], [0.3, 0.4], [5, 5]]], np.float32)
    placed = np.array(targets.attributes(jnp.asarray(scores))[0])
    np.testing.assert_array_equal(placed[1, 1], scores[0, 0])
    np.testing.assert_array_equal(placed[3, 5], scores[0, 1])
    placed[1, 1] = placed[3, 5] = np.nan
    assert np.isnan(placed).all()


def test_peaks_of_the_targets_are_the_boxes_again():
    rng = np.random.default_rng(3)
    columns, rows = np.meshgrid(np.arange(2, 50, 9), np.arange(2, 34, 9))
    corners = np.stack([columns, rows], -1).reshape(-1, 2) + rng.uniform(0, 1, (columns.size, 2))
    boxes = np.concatenate([corners, rng.uniform(1, 9, corners.shape)], -1).astype(np.float32)[None]
    labels = rng.integers(0, CLASSES, boxes.shape[:2])
    targets = targets_of(boxes, labels, np.zeros(labels.shape, bool))
    logits = jnp.where(targets.heatmap > 0, 8 * targets.heatmap, -jnp.inf)
    peaks = ops.find_peaks(logits, boxes.shape[1])
    found = ops.boxes_at_peaks(peaks, targets.size, targets.offset, stride=STRIDE)
    order = [int(np.argmin(np.abs(found[0] - box[None]).sum(-1))) for box in boxes[0]]
    np.testing.assert_allclose(found[0, order], boxes[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(peaks.labels[0, order], labels[0])


@pytest.mark.parametrize(
    ("boxes", "labels", "sentence"),
    [
        ((2, 4), (2,), r"boxes have shape \(2, 4\)"),
        ((1, 2, 4), (1, 3), r"labels \(1, 3\)"),
        ((1, 2, 5), (1, 2), r"5\)"),
        ((1, 0, 4), (1, 0), "at least 1"),
    ],
)
def test_what_does_not_fit_is_named(boxes, labels, sentence):
    call = partial(ops.center_targets, size=4, stride=1, num_classes=2)
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(call, jnp.zeros(boxes), jnp.zeros(labels, int))


def test_strides_and_classes_of_none_are_refused():
    boxes, labels = jnp.ones((1, 2, 4)), jnp.zeros((1, 2), int)
    for stride, num_classes in ((0, 2), (4, 0)):
        with pytest.raises(
            ValueError, match=rf"^stride and num_classes must be above 0, got {stride} and {num_classes}"
        ):
            ops.center_targets(boxes, labels, size=4, stride=stride, num_classes=num_classes)
