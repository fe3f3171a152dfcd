import math
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import ops
from segjax.ops import boxes

OVERLAPS = {"iou": boxes.iou, "giou": boxes.giou, "diou": boxes.diou, "ciou": boxes.ciou}
# Sizes that are nothing, next to nothing, negative, one pixel, and as large as the docstring allows.
lengths = st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 1.0, 3.7, 64.0, 1e4, 1e9, -2.0]) | st.floats(0.125, 500, width=32)
places = st.sampled_from([0.0, -5.0, 1e-7, 1.0, 63.5, 1e9, -1e9]) | st.floats(-500, 500, width=32)
any_box = st.tuples(places, places, lengths, lengths)


def random_boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.concatenate([rng.uniform(-20, 80, (*shape, 2)), rng.uniform(1, 60, (*shape, 2))], -1).astype(np.float32)


def overlaps_by_hand(a, b) -> dict[str, float]:
    """Corner by corner in float64, as the papers write them."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = np.asarray(a, np.float64).tolist(), np.asarray(b, np.float64).tolist()
    shared_w = min(ax + aw, bx + bw) - max(ax, bx)
    shared_h = min(ay + ah, by + bh) - max(ay, by)
    shared = max(shared_w, 0) * max(shared_h, 0)
    union = aw * ah + bw * bh - shared
    hull_w = max(ax + aw, bx + bw) - min(ax, bx)
    hull_h = max(ay + ah, by + bh) - min(ay, by)
    iou = shared / union
    centres = (ax + aw / 2 - bx - bw / 2) ** 2 + (ay + ah / 2 - by - bh / 2) ** 2
    diou = iou - centres / (hull_w**2 + hull_h**2)
    v = 4 / math.pi**2 * (math.atan(aw / ah) - math.atan(bw / bh)) ** 2
    alpha = v / (1 - iou + v) if v else 0
    return {
        "iou": iou,
        "giou": iou - (hull_w * hull_h - union) / (hull_w * hull_h),
        "diou": diou,
        "ciou": diou - alpha * v,
    }


@jax.jit
def every_matrix(a, b):
    return {name: boxes.pairwise(a, b, overlap) for name, overlap in OVERLAPS.items()}


@jax.jit
def every_pair(a, b):
    """Value and gradients of each, of one box with one box."""
    return {name: jax.value_and_grad(overlap, argnums=(0, 1))(a, b) for name, overlap in OVERLAPS.items()}


def test_overlaps_are_their_definitions_as_matrix_and_in_pairs():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 7), random_boxes(rng, 5)
    b[:2] = a[0], a[1] + [3, -2, 0.5, 1]
    b[2] = [a[2, 0] + a[2, 2], a[2, 1], 4, 4]  # touches
    expected = [[overlaps_by_hand(one, other) for other in b] for one in a]
    for name, matrix in every_matrix(a, b).items():
        reference = [[overlaps[name] for overlaps in row] for row in expected]
        np.testing.assert_allclose(matrix, reference, rtol=1e-5, atol=1e-6, err_msg=name)
    each = every_matrix(np.stack([a, a[::-1]]), np.stack([b, b]))["iou"]
    np.testing.assert_allclose(each[1], [[overlaps["iou"] for overlaps in row] for row in expected[::-1]], rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(boxes.iou)(a[:5], b), np.diagonal(each[0]), rtol=1e-6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(any_box, any_box)
def test_any_two_boxes_have_finite_overlaps_and_gradients(a, b):
    a, b = jnp.array(a, jnp.float32), jnp.array(b, jnp.float32)
    reverse = every_pair(b, a)
    for name, (value, gradients) in every_pair(a, b).items():
        lowest = {"iou": 0, "ciou": -2}.get(name, -1)
        assert lowest - 1e-6 <= value <= 1 + 1e-6, name
        assert np.all(np.isfinite(gradients)), (name, gradients)
        np.testing.assert_allclose(reverse[name][0], value, rtol=1e-4, atol=1e-5, err_msg=name)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(any_box)
def test_a_box_overlaps_itself_wholly_wherever_it_is(box):
    box = jnp.array(box, jnp.float32)
    # Below 1e-12 square pixels an area fades to none.
    expected = min(float(boxes.area(box)) / 1e-12, 1)
    for name, (value, gradients) in every_pair(box, box).items():
        assert value == pytest.approx(expected, rel=1e-5), name
        assert value == 1 or expected < 1, name
        assert np.all(np.isfinite(gradients)), name


def test_two_points_and_two_lines():
    """No area anywhere: IoU is 0, and the rest is what separates them."""
    at, right, below = jnp.array([[4.0, 4, 0, 0], [7, 4, 0, 0], [7, 8, 0, 0]])
    flat, upright = jnp.array([[0.0, 0, 8, 0], [0, 0, 0, 8]])
    cases = {
        (0, 0, 0, 0): (at, at),
        (0, 0, -1, -1): (at, right),
        (0, -1, -1, -1): (at, below),
        (0, -1, -32 / 128, -32 / 128 - 1 / 2): (flat, upright),
    }
    for expected, pair in cases.items():
        values = {name: float(value) for name, (value, _) in every_pair(*pair).items()}
        assert values == pytest.approx(dict(zip(OVERLAPS, expected, strict=True)))


def test_a_box_without_size_feels_that_it_should_grow():
    _, (gradient, _) = every_pair(jnp.array([5.0, 5, 0, 0]), jnp.array([0.0, 0, 10, 10]))["giou"]
    assert np.all(gradient[2:] == 0)  # a point covers nothing, however it grows along one axis
    _, (gradient, _) = every_pair(jnp.array([5.0, 5, 0, 4]), jnp.array([0.0, 0, 10, 10]))["giou"]
    assert gradient[2] == pytest.approx(0.04)


def test_far_from_the_origin_no_digit_is_lost():
    a, b = np.array([1e5, 1e5, 0.375, 0.5], np.float32), np.array([1e5, 1e5, 0.25, 0.5], np.float32)
    assert boxes.iou(a, b) == np.float32(2 / 3)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32])
def test_other_types_are_computed_in_float32(dtype):
    a, b = jnp.array([[10, 20, 30, 40]], dtype), jnp.array([[20, 30, 30, 41]], dtype)
    overlap = boxes.iou(a, b)
    assert overlap.dtype == jnp.float32
    assert float(overlap[0]) == pytest.approx(600 / (1200 + 1230 - 600))
    np.testing.assert_array_equal(boxes.convert(a, "xywh", "cxcywh"), [[25, 40, 30, 40]])


def test_every_form_becomes_every_other_and_back():
    forms: dict[boxes.Form, list[float]] = {
        "xywh": [10.0, 20, 5, 8],
        "xyxy": [10.0, 20, 15, 28],
        "cxcywh": [12.5, 24, 5, 8],
    }
    for source, box in forms.items():
        for target, expected in forms.items():
            converted = boxes.convert(np.array([box] * 3), source, target)
            np.testing.assert_array_equal(converted, [expected] * 3)
    gradient = jax.vmap(jax.grad(lambda box: boxes.convert(box, "xywh", "xyxy")[..., 2]))(jnp.ones((2, 4)))
    np.testing.assert_array_equal(gradient, [[1, 0, 1, 0]] * 2)


def test_clipped_boxes_are_what_lies_inside():
    cases = {
        (0.1, 0.3, 0.7, 0.9): (0.1, 0.3, 0.7, 0.9),
        (-3, -4, 10, 10): (0, 0, 7, 6),
        (-5, -5, 100, 100): (0, 0, 30, 20),
        (25, 15, 10, 10): (25, 15, 5, 5),
        (-9, 3, 5, 5): (0, 3, 0, 5),
        (40, 50, 5, 5): (30, 20, 0, 0),
        (5, 5, -2, 3): (5, 5, 0, 3),
    }
    clipped = jax.jit(partial(boxes.clip, size=(20, 30)))(np.array(list(cases), np.float32))
    np.testing.assert_array_equal(clipped, np.array(list(cases.values()), np.float32))
    sizes = np.array([[20, 30], [6, 5]])
    each = jax.vmap(lambda box, size: boxes.clip(box, (size[0], size[1])))(np.array([[-1.0, 1, 9, 9]] * 2), sizes)
    np.testing.assert_array_equal(each, [[0, 1, 8, 9], [0, 1, 5, 5]])
    of_both = boxes.clip(jnp.ones((2, 3, 4)), (jnp.array([[20], [1]]), 30))
    np.testing.assert_array_equal(of_both[..., 3], [[1] * 3, [0] * 3])
    with pytest.raises(ValueError, match=r"\[2\].*\[2,3\]"):
        boxes.clip(jnp.ones((2, 3, 4)), (jnp.array([20, 1]), jnp.array([30, 30])))
    np.testing.assert_array_equal(boxes.area(clipped[-3:]), [0, 0, 0])
    assert boxes.area(np.array([0, 0, 4, 5])) == 20


def nms_by_hand(candidates, scores, labels, threshold, max_boxes) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if labels[i] < 0 or not scores[i] > -math.inf:
            continue
        rivals = [k for k in kept if labels[k] == labels[i]]
        if all(overlaps_by_hand(candidates[i], candidates[k])["iou"] <= threshold for k in rivals):
            kept.append(i)
    return (kept + [-1] * max_boxes)[:max_boxes]


@pytest.mark.parametrize(("max_boxes", "per_class"), [(4, False), (40, True)])
def test_nms_keeps_what_the_greedy_loop_keeps(max_boxes, per_class):
    suppress = jax.jit(partial(boxes.nms, max_boxes=max_boxes))

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        candidates = random_boxes(rng, 6)[rng.integers(0, 6, 30)] + rng.normal(size=(30, 4)).astype(np.float32)
        scores = np.round(rng.uniform(size=30), 1).astype(np.float32)  # with ties
        scores[rng.random(30) < 0.1] = -np.inf
        labels = rng.integers(-1, 2, 30) if per_class else np.zeros(30, int)
        kept = suppress(candidates, scores, labels=labels if per_class else None, threshold=0.4)
        assert kept.tolist() == nms_by_hand(candidates, scores, labels, 0.4, max_boxes)
        batch = jax.vmap(lambda c, s: suppress(c, s, threshold=0.4))(
            np.stack([candidates] * 2), np.stack([scores, -scores])
        )
        assert batch[0].tolist() == nms_by_hand(candidates, scores, 0 * labels, 0.4, max_boxes)

    check()


def test_nms_at_its_edges():
    row = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 0, 0], [50, 50, 0, 0]], np.float32)
    scores = np.array([0.5, 0.9, np.nan, 0.1], np.float32)
    # An overlap of exactly the threshold does not suppress; boxes without area overlap nothing; NaN is no score.
    assert boxes.nms(row, scores, max_boxes=5).tolist() == [1, 0, 3, -1, -1]
    assert boxes.nms(row, scores, max_boxes=5, threshold=0.49).tolist() == [1, 3, -1, -1, -1]
    assert boxes.nms(row[2:], np.ones(2, np.float32), max_boxes=2).tolist() == [0, 1]
    assert boxes.nms(row[:0], scores[:0], max_boxes=2).tolist() == [-1, -1]
    gradient = jax.jit(jax.grad(lambda row: row[boxes.nms(row, scores, max_boxes=1)].sum()))(row)
    np.testing.assert_array_equal(gradient, np.outer([0, 1, 0, 0], [1, 1, 1, 1]))


def soft_nms_by_hand(candidates, scores, labels, method, most) -> list[tuple[int, float]]:
    """Figure 2 of Bodla et al. 2017 with their two functions f, in float64."""
    left = {i: float(score) for i, score in enumerate(scores) if labels[i] >= 0 and score > -math.inf}
    taken: list[tuple[int, float]] = []
    while left and len(taken) < most:
        best = max(left, key=lambda i: (left[i], -i))
        taken.append((best, left.pop(best)))
        for i in left:
            if labels[i] == labels[best]:
                overlap = overlaps_by_hand(candidates[best], candidates[i])["iou"]
                if method == "gaussian":
                    left[i] *= math.exp(-(overlap**2) / 0.5)
                elif overlap >= 0.3:
                    left[i] *= 1 - overlap
    return taken + [(-1, 0.0)] * (most - len(taken))


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize(("max_boxes", "per_class"), [(5, False), (24, True)])
def test_soft_nms_takes_what_the_papers_loop_takes(method, max_boxes, per_class):
    lower = jax.jit(partial(boxes.soft_nms, max_boxes=max_boxes, method=method))

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        candidates = random_boxes(rng, 5)[rng.integers(0, 5, 20)] + rng.normal(size=(20, 4)).astype(np.float32)
        scores = rng.uniform(size=20).astype(np.float32)
        scores[rng.random(20) < 0.1] = -np.inf
        labels = rng.integers(-1, 2, 20) if per_class else np.zeros(20, int)
        order, lowered = lower(candidates, scores, labels=labels if per_class else None)
        expected = soft_nms_by_hand(candidates, scores, labels, method, max_boxes)
        assert order.tolist() == [i for i, _ in expected]
        np.testing.assert_allclose(lowered, [score for _, score in expected], rtol=1e-4, atol=1e-6)
        batch = jax.vmap(lower)(np.stack([candidates] * 2), np.stack([scores, scores]))
        expected = soft_nms_by_hand(candidates, scores, 0 * labels, method, max_boxes)
        assert batch[0][1].tolist() == [i for i, _ in expected]

    check()


@pytest.mark.parametrize("method", ["gaussian", "linear"])
def test_a_box_of_nan_lowers_no_other(method):
    """It made all scores NaN, and so left nothing."""
    candidates = jnp.array([[0, 0, 4, 4], [0, 0, np.nan, 4], [8, 8, 2, 2.0]])
    order, lowered = boxes.soft_nms(candidates, jnp.array([0.5, 0.9, 0.4]), max_boxes=3, method=method)
    assert order.tolist() == boxes.nms(candidates, jnp.array([0.5, 0.9, 0.4]), max_boxes=3).tolist() == [1, 0, 2]
    np.testing.assert_allclose(lowered, [0.9, 0.5, 0.4], rtol=1e-6)


def test_soft_nms_at_its_edges():
    row = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 0, 0], [50, 50, 0, 0]], np.float32)
    scores = np.array([0.9, 0.8, np.nan, 0.5], np.float32)
    order, lowered = boxes.soft_nms(row, scores, max_boxes=5, method="linear")
    # The same box again has nothing left and is still a box; NaN is none; boxes without area overlap nothing.
    assert order.tolist() == [0, 3, 1, -1, -1]
    np.testing.assert_allclose(lowered, [0.9, 0.5, 0, 0, 0])
    order, lowered = boxes.soft_nms(row[:0], scores[:0], max_boxes=2)
    assert (order.tolist(), lowered.tolist()) == ([-1, -1], [0, 0])


@pytest.mark.parametrize(
    ("before", "after", "inner", "corner"),
    [
        ((480, 640), (256, 256), (192, 256), (32, 0)),
        ((640, 480), (256, 256), (256, 192), (0, 32)),
        ((7, 5), (64, 33), (46, 33), (9, 0)),
        ((2, 999), (32, 32), (1, 32), (15, 0)),
        ((64, 64), (64, 64), (64, 64), (0, 0)),
        ((1, 1), (3, 4), (3, 3), (0, 0)),
    ],
)
def test_letterbox_fits_and_its_boxes_come_back(before, after, inner, corner):
    geometry = boxes.letterbox(before, after)
    assert geometry == (before, inner, corner, after)
    rng = np.random.default_rng(0)
    inside = random_boxes(rng, 9)
    there = jax.jit(geometry.boxes)(inside)
    np.testing.assert_allclose(geometry.boxes_back(there), inside, rtol=1e-5, atol=1e-4 * max(before) / max(after))
    whole = geometry.boxes(np.array([0, 0, before[1], before[0]]))
    np.testing.assert_allclose(whole, [corner[1], corner[0], inner[1], inner[0]], rtol=1e-6)
    gradient = jax.grad(lambda box: geometry.boxes_back(geometry.boxes(box)).sum())(jnp.ones(4))
    np.testing.assert_allclose(gradient, 1, rtol=1e-5)


def test_a_letterboxed_image_lies_where_its_boxes_say():
    geometry = boxes.letterbox((12, 20), (40, 40))
    mask = np.zeros((1, 12, 20, 1), np.int32)
    mask[0, 3:9, 5:15] = 1
    moved = jax.jit(partial(geometry.image, method="nearest", fill=255))(mask)
    assert np.all(np.asarray(moved)[0, :8] == 255)
    assert np.all(np.asarray(moved)[0, 32:] == 255)
    np.testing.assert_array_equal(boxes.from_mask(moved[0, ..., 0] == 1), geometry.boxes(np.array([5, 3, 10, 6])))
    np.testing.assert_array_equal(geometry.image_back(moved, "nearest"), mask)

    image = np.random.default_rng(0).normal(size=(2, 12, 20, 3)).astype(np.float32)
    moved = geometry.image(jnp.asarray(image), fill=0.5)
    assert moved.shape == (2, 40, 40, 3)
    np.testing.assert_array_equal(moved[:, 8:32], ops.resize(jnp.asarray(image), (24, 40)))
    assert np.all(np.asarray(moved[:, :8]) == 0.5)
    assert geometry.image_back(moved).shape == image.shape


def box_of_mask_by_hand(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return [0, 0, 0, 0]
    return [columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]


def test_the_box_of_a_mask_hard_and_soft():
    rng = np.random.default_rng(0)
    masks = rng.random((12, 7, 9)) < np.linspace(0, 0.2, 12)[:, None, None]
    masks[1], masks[2] = True, False
    masks[2, 6, 8] = True
    expected = [box_of_mask_by_hand(mask) for mask in masks]
    assert expected[:3] == [[0, 0, 0, 0], [0, 0, 9, 7], [8, 6, 1, 1]]
    np.testing.assert_array_equal(jax.jit(boxes.from_mask)(masks), expected)
    np.testing.assert_allclose(jax.jit(boxes.from_probabilities)(masks.astype(np.float32)), expected, atol=1e-5)
    np.testing.assert_allclose(boxes.from_probabilities(jnp.asarray(masks[None], jnp.bfloat16))[0], expected, atol=1e-5)


def expected_box_by_hand(p: np.ndarray) -> tuple[float, float]:
    """x and w over all masks of a row of pixels, with the probability of each; x only of those that are not empty."""
    masks = [np.array([case >> i & 1 for i in range(len(p))], bool) for case in range(1, 2 ** len(p))]
    chances = np.array([np.where(mask, p, 1 - p).prod() for mask in masks])
    x, _, w, _ = chances @ np.array([box_of_mask_by_hand(mask[None]) for mask in masks])
    return x / chances.sum(), w


def test_the_soft_box_is_the_expected_one_and_so_is_its_gradient():
    p = np.array([0.0, 0.3, 0.9, 0.4])
    row = jnp.array(p[None], jnp.float32)
    x, w = expected_box_by_hand(p)
    expected = boxes.from_probabilities
    box, gradients = jax.jit(lambda row: (expected(row), jax.jacobian(expected)(row)))(row)
    np.testing.assert_allclose(box, [x, 0, w, 0.9], rtol=1e-5)
    # The expected width is linear in the probability of each pixel.
    slope = [expected_box_by_hand(np.where(i, 1, p))[1] - expected_box_by_hand(np.where(i, 0, p))[1] for i in np.eye(4)]
    np.testing.assert_allclose(gradients[2, 0], slope, rtol=1e-5, atol=1e-6)


def test_the_soft_box_has_finite_gradients_at_its_edges():
    slopes = jax.jit(jax.vmap(jax.jacobian(boxes.from_probabilities)))
    one = np.random.default_rng(0).random((6, 8)) < 0.1
    p = np.stack([np.zeros((6, 8)), np.ones((6, 8)), np.full((6, 8), 1e-9), np.full((6, 8), 1 - 1e-7), one])
    gradients = np.asarray(slopes(p.astype(np.float32)))
    assert np.all(np.isfinite(gradients))
    assert np.all(gradients[0, 2:] >= 0)
    assert gradients[0, 2:].max() > 0, "an empty mask can be filled"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: boxes.area(jnp.zeros((2, 5))), r"shape \(2, 5\): expected \(..., 4\)"),
        (
            lambda: boxes.convert(jnp.zeros(4), "xywh", cast(boxes.Form, "yxhw")),
            "must be one of xywh, xyxy, cxcywh, got 'yxhw'",
        ),
        (lambda: boxes.iou(jnp.zeros((2, 4)), jnp.zeros((3, 4))), r"\(2, 4\) and \(3, 4\) do not broadcast"),
        (lambda: boxes.nms(jnp.zeros((2, 4)), jnp.zeros(3), max_boxes=1), r"\(2, 4\), scores \(3,\), labels \(3,\)"),
        (lambda: boxes.nms(jnp.zeros((2, 4)), jnp.zeros(2), max_boxes=0), "max_boxes is 0"),
        (lambda: boxes.soft_nms(jnp.zeros((2, 4)), jnp.zeros(3), max_boxes=1), r"\(2, 4\), scores \(3,\)"),
        (lambda: boxes.soft_nms(jnp.zeros((2, 4)), jnp.zeros(2), max_boxes=1, sigma=0), "sigma is 0: a Gaussian needs"),
        (
            lambda: boxes.soft_nms(jnp.zeros((2, 4)), jnp.zeros(2), max_boxes=1, method=cast(boxes.SoftNMS, "hard")),
            "methods gaussian and linear, not 'hard'",
        ),
        (lambda: boxes.letterbox((0, 4), 8), "input_size must be an int or a pair of ints, each at least 1"),
        (lambda: boxes.letterbox(4, 8).image(jnp.zeros((1, 4, 5, 3))), r"size \(4, 4\), got shape \(1, 4, 5, 3\)"),
        (lambda: boxes.letterbox(4, 8).image_back(jnp.zeros((1, 4, 4, 3))), r"size \(8, 8\), got shape \(1, 4, 4, 3\)"),
        (lambda: boxes.from_mask(jnp.zeros((4, 4))), r"shape \(4, 4\) and dtype float32: expected \(..., h, w\)"),
        (lambda: boxes.from_probabilities(jnp.zeros((0, 4))), r"shape \(0, 4\): expected \(..., h, w\)"),
    ],
)
def test_what_does_not_fit_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
