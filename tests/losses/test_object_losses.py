"""The losses of heatmaps and attributes, and the weights of several tasks."""

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

from segjax import losses, ops

quick = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
heatmap_loss = jax.jit(jax.value_and_grad(losses.heatmap_focal))
attribute_loss = jax.jit(jax.value_and_grad(losses.attribute_cross_entropy))


def heatmap_focal_by_torch(logits, heatmap, counted):
    """As the papers write it, over the counted cells, with the logarithms of torch."""
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    y, counts = torch.tensor(heatmap, dtype=torch.float64), torch.tensor(counted)
    p, centre = torch.sigmoid(z), y == 1
    at_centres = (1 - p) ** 2 * F.logsigmoid(z)
    elsewhere = (1 - y) ** 4 * p**2 * F.logsigmoid(-z)
    value = -at_centres[centre & counts].sum() - elsewhere[~centre & counts].sum()
    objects = int((centre & counts).sum())
    value = value / objects if objects else value
    return value.item(), torch.autograd.grad(value, z)[0].numpy()


@quick
@given(seeds)
def test_the_heatmap_loss_and_its_gradient_are_those_of_the_papers(seed):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(2, 6, 5, 3)) * rng.uniform(0.1, 10)).astype(np.float32)
    heatmap = rng.uniform(0, 0.99, logits.shape).astype(np.float32)
    heatmap[rng.random(logits.shape) < 0.05] = 1
    counted = rng.random(logits.shape) < 0.8
    value, gradient = heatmap_loss(logits, heatmap, counted)
    expected, slope = heatmap_focal_by_torch(logits, heatmap, counted)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6 * np.abs(slope).max())
    everything, _ = heatmap_loss(logits, heatmap, None)
    np.testing.assert_allclose(everything, heatmap_focal_by_torch(logits, heatmap, counted | True)[0], rtol=1e-5)


def test_an_empty_image_is_not_divided():
    logits = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    empty = np.zeros_like(logits)
    value, gradient = heatmap_loss(logits, empty, None)
    expected, slope = heatmap_focal_by_torch(logits, empty, empty == 0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("alpha", [2.0, 0.5])
def test_extreme_logits_have_finite_heatmap_losses(alpha, dtype):
    slope = jax.jit(jax.value_and_grad(partial(losses.heatmap_focal, alpha=alpha)))
    boxes = np.array([[[4, 4, 12, 20], [30, 20, 5, 5]]], np.float32)
    heatmap = ops.center_targets(boxes, np.array([[0, 1]]), size=10, stride=4, num_classes=2).heatmap
    for height in (1e4, -1e4, 90.0, -90.0, 0.0):
        for logits in (jnp.full(heatmap.shape, height, dtype), jnp.asarray(height * (2 * heatmap - 1), dtype)):
            value, gradient = slope(logits, heatmap)
            assert value.dtype == jnp.float32
            assert gradient.dtype == dtype
            assert np.isfinite(value)
            assert np.all(np.isfinite(np.asarray(gradient, np.float32)))


def test_cells_that_are_not_counted_change_nothing():
    rng = np.random.default_rng(0)
    logits, heatmap = rng.normal(size=(1, 4, 4, 2)).astype(np.float32), np.zeros((1, 4, 4, 2), np.float32)
    heatmap[0, 1, 1] = 1
    counted = rng.random(logits.shape) < 0.5
    value, gradient = heatmap_loss(logits, heatmap, counted)
    again, same = heatmap_loss(np.where(counted, logits, np.nan), np.where(counted, heatmap, np.nan), counted)
    assert value == again > 0
    np.testing.assert_array_equal(gradient, same)
    assert np.all(np.asarray(gradient)[~counted] == 0)
    assert heatmap_loss(logits, heatmap, 0 * counted > 0)[0] == 0


@quick
@given(seeds)
def test_the_attribute_loss_is_that_of_torch_over_what_is_annotated(seed):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(2, 5, 8)) * rng.uniform(0.1, 30)).astype(np.float32)
    attributes = rng.choice([0, 1, 0.25, 0.9], logits.shape).astype(np.float32)
    attributes[rng.random(logits.shape) < 0.4] = np.nan
    known = torch.tensor(~np.isnan(attributes))
    tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    expected = F.binary_cross_entropy_with_logits(tensor[known], torch.tensor(attributes).double()[known])
    value, gradient = attribute_loss(logits, attributes)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    slope = torch.autograd.grad(expected, tensor)[0].numpy()
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_attributes_at_their_edges(dtype):
    nothing = np.full((2, 3), np.nan, np.float32)
    value, gradient = attribute_loss(jnp.full((2, 3), jnp.nan, dtype), nothing)
    assert value == 0
    assert np.all(np.asarray(gradient) == 0)
    for height in (1e4, -1e4):
        value, gradient = attribute_loss(jnp.full((2, 3), height, dtype), np.eye(2, 3, dtype=np.float32))
        assert value.dtype == jnp.float32
        share = 2 / 6 if height < 0 else 4 / 6
        assert float(value) == pytest.approx(share * abs(float(jnp.asarray(height, dtype))))
        assert np.all(np.isfinite(np.asarray(gradient, np.float32)))


def test_uncertainty_weights_are_those_of_the_paper_and_settle_at_twice_the_loss():
    values = {"mask": jnp.float32(0.7), "box": jnp.float32(12.0)}
    log_variances = {"box": jnp.float32(0.5), "mask": jnp.float32(-1.0)}
    total = jax.jit(losses.uncertainty_weighted_sum)(values, log_variances)
    expected = 0.7 * math.exp(1) - 0.5 + 12 * math.exp(-0.5) + 0.25
    assert float(total) == pytest.approx(expected, rel=1e-6)
    settled = {task: jnp.log(2 * value) for task, value in values.items()}
    slopes = jax.grad(losses.uncertainty_weighted_sum, argnums=1)(values, settled)
    assert {task: float(slope) for task, slope in slopes.items()} == pytest.approx({"box": 0, "mask": 0}, abs=1e-6)
    weights = jax.grad(losses.uncertainty_weighted_sum)(values, log_variances)
    assert float(weights["mask"]) == pytest.approx(math.e)


def test_log_variances_of_16_bits_are_weighed_with_in_32():
    values, narrow = {"box": jnp.float32(12.0)}, {"box": jnp.bfloat16(0.3)}
    total = losses.uncertainty_weighted_sum(values, narrow)
    assert total.dtype == jnp.float32
    assert float(total) == pytest.approx(12 * math.exp(-float(narrow["box"])) + float(narrow["box"]) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: losses.heatmap_focal(jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 1))), r"heatmap \(1, 2, 2, 1\)"),
        (lambda: losses.heatmap_focal(jnp.zeros((2, 2)), jnp.zeros((2, 2))), r"logits have shape \(2, 2\)"),
        (lambda: losses.attribute_cross_entropy(jnp.zeros((2, 3)), jnp.zeros((2, 1))), r"attributes \(2, 1\)"),
        (
            lambda: losses.uncertainty_weighted_sum({"box": jnp.ones(())}, {"mask": jnp.ones(())}),
            "of box and the log variances of mask: expected the same tasks",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
