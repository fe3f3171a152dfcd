import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import losses

EPS = 1e-7


def overlap_losses(boxes: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """Those of torchvision, for (x, y, w, h), one value a box."""
    (x, y, w, h), (tx, ty, tw, th) = boxes.unbind(-1), truth.unbind(-1)
    left, right = torch.max(x, tx), torch.min(x + w, tx + tw)
    top, bottom = torch.max(y, ty), torch.min(y + h, ty + th)
    touches = (right > left) & (bottom > top)
    shared = torch.where(touches, (right - left) * (bottom - top), 0)
    union = w * h + tw * th - shared
    iou = shared / (union + EPS)
    hull_w = torch.max(x + w, tx + tw) - torch.min(x, tx)
    hull_h = torch.max(y + h, ty + th) - torch.min(y, ty)
    hull = hull_w * hull_h
    apart = (x + w / 2 - tx - tw / 2) ** 2 + (y + h / 2 - ty - th / 2) ** 2
    diou = 1 - iou + apart / (hull_w**2 + hull_h**2 + EPS)
    v = 4 / math.pi**2 * (torch.atan(tw / th) - torch.atan(w / h)) ** 2
    alpha = (v / (1 - iou + v + EPS)).detach()
    return {"giou": 1 - iou + (hull - union) / (hull + EPS), "diou": diou, "ciou": diou + alpha * v}


LOSSES = {
    "giou": losses.giou_loss,
    "diou": losses.diou_loss,
    "ciou": losses.ciou_loss,
    "smooth_l1": losses.smooth_l1_loss,
    "smooth_l1, beta 0.1": partial(losses.smooth_l1_loss, beta=0.1),
    "l1": losses.l1_loss,
}


@jax.jit
def every_loss(boxes, truth, counted):
    return {name: jax.value_and_grad(loss, argnums=(0, 1))(boxes, truth, counted) for name, loss in LOSSES.items()}


def in_torch(name: str, boxes, truth, counted) -> tuple[float, list[np.ndarray]]:
    a, b = (torch.tensor(np.asarray(each), dtype=torch.float64, requires_grad=True) for each in (boxes, truth))
    chosen = torch.tensor(np.asarray(counted))
    if name in ("giou", "diou", "ciou"):
        value = overlap_losses(a, b)[name][chosen].mean()
    elif name == "l1":
        value = F.l1_loss(a[chosen], b[chosen])
    else:
        value = F.smooth_l1_loss(a[chosen], b[chosen], beta=0.1 if "0.1" in name else 1.0)
    return value.item(), [gradient.numpy() for gradient in torch.autograd.grad(value, (a, b))]


def example(seed: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.uniform(-1, 4, (3, 4, 2)), rng.uniform(0.05, 4, (3, 4, 2))], -1)
    boxes = truth + rng.normal(size=truth.shape) * rng.choice([0.1, 2, 8], (3, 4, 1))
    boxes[..., 2:] = np.abs(boxes[..., 2:]) + 0.05
    boxes[0, 0] = truth[0, 0]
    counted = rng.random((3, 4)) < 0.8
    counted[0, 0] = True
    return (scale * boxes).astype(np.float32), (scale * truth).astype(np.float32), counted


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_values_and_gradients_are_those_of_torch(scale):
    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        boxes, truth, counted = example(seed, scale)
        for name, (value, gradients) in every_loss(boxes, truth, counted).items():
            expected, slopes = in_torch(name, boxes, truth, counted)
            np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=name)
            for gradient, slope in zip(gradients, slopes, strict=True):
                np.testing.assert_allclose(gradient, slope, rtol=2e-4, atol=1e-5 / scale, err_msg=name)

    check()


corner = st.sampled_from([0.0, -3.0, 1e-7, 5.0, 1e9, -1e9]) | st.floats(-100, 100, width=32)
length = st.sampled_from([0.0, 1e-30, 1e-7, 1.0, 1e5, 1e9, -1.0]) | st.floats(0, 100, width=32)
any_boxes = st.lists(st.tuples(corner, corner, length, length), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(any_boxes, any_boxes)
def test_any_boxes_have_finite_losses_and_gradients(boxes, truth):
    """Without area, inside out, equal and 1e9 pixels apart."""
    boxes, truth = (np.array(each, np.float32).reshape(3, 4, 4) for each in (boxes, truth))
    truth[0] = boxes[0]
    for name, (value, gradients) in every_loss(boxes, truth, np.ones((3, 4), bool)).items():
        assert np.isfinite(value), name
        assert np.all(np.isfinite(gradients)), name


def test_the_losses_of_points_are_those_of_torchvision_where_it_has_any():
    boxes = np.array([[[3, 3, 0, 0], [3, 3, 0, 0], [3, 3, 0, 2], [0, 0, 0, 0]]] * 3, np.float32)
    truth = np.array([[[3, 3, 0, 0], [5, 4, 0, 0], [2, 2, 6, 6], [1, 1, 2, 2]]] * 3, np.float32)
    ours = every_loss(boxes, truth, np.ones((3, 4), bool))
    expected = overlap_losses(torch.tensor(boxes).double(), torch.tensor(truth).double())
    for name in ("giou", "diou"):
        np.testing.assert_allclose(ours[name][0], expected[name].mean(), rtol=1e-6)
    assert torch.isnan(expected["ciou"]).any(), "torchvision's is NaN here"
    assert np.isfinite(ours["ciou"][0])


def test_what_is_not_counted_changes_nothing():
    boxes, truth, counted = example(1, 10)
    as_is = every_loss(boxes, truth, counted)
    boxes[~counted], truth[~counted] = np.nan, np.inf
    assert (~counted).any()
    for name, (value, gradients) in every_loss(boxes, truth, counted).items():
        assert value == as_is[name][0], name
        for gradient, before in zip(gradients, as_is[name][1], strict=True):
            np.testing.assert_array_equal(gradient, before)
            assert np.all(np.asarray(gradient)[~counted] == 0), name
    for name, (value, gradients) in every_loss(boxes, truth, 0 * counted > 0).items():
        assert value == 0, name
        assert np.all(np.asarray(gradients) == 0), name


def test_all_boxes_count_unless_said():
    boxes, truth, _ = example(3, 10)
    expected = every_loss(boxes, truth, np.ones((3, 4), bool))["l1"][0]
    np.testing.assert_allclose(losses.l1_loss(jnp.asarray(boxes), jnp.asarray(truth)), expected, rtol=1e-6)


def test_bfloat16_is_computed_in_float32():
    boxes, truth, _ = example(2, 10)
    boxes, truth = jnp.asarray(boxes, jnp.bfloat16), jnp.asarray(truth, jnp.bfloat16)
    wide = every_loss(boxes.astype(jnp.float32), truth.astype(jnp.float32), np.ones((3, 4), bool))
    for name, (value, gradients) in every_loss(boxes, truth, np.ones((3, 4), bool)).items():
        assert value.dtype == jnp.float32, name
        assert gradients[0].dtype == jnp.bfloat16, name
        np.testing.assert_allclose(value, wide[name][0], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_shapes_that_do_not_match_are_refused(loss):
    with pytest.raises(ValueError, match=r"shape \(3, 4\), the truth \(2, 4\) and counted \(3,\)"):
        loss(jnp.zeros((3, 4)), jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"counted \(2,\): expected"):
        loss(jnp.zeros((3, 4)), jnp.zeros((3, 4)), jnp.ones(2, bool))


def test_a_distance_of_none_is_refused():
    """Its gradient was NaN, of numbers far from each other, too."""
    with pytest.raises(ValueError, match=r"^beta is 0\.0: expected a distance above 0; at 0 it would be l1_loss\.$"):
        losses.smooth_l1_loss(jnp.ones((1, 4)), jnp.zeros((1, 4)), beta=0.0)


def test_what_is_counted_is_said_in_booleans():
    with pytest.raises(ValueError, match=r"^counted has dtype int32: expected booleans, True where a value counts\.$"):
        losses.l1_loss(jnp.ones((2, 4)), jnp.zeros((2, 4)), jnp.array([1, 0]))
