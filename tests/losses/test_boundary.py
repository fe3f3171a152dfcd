import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from segjax import losses

CLASSES = 4


def signed_distance(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Image by image and class by class, with SciPy."""
    out = np.zeros((*mask.shape, num_classes))
    for i, one in enumerate(mask):
        for c in range(num_classes):
            own, other = one == c, (one != c) & (one != 255)
            if own.any() and other.any():
                outside = np.asarray(distance_transform_edt(~own))
                inside = np.asarray(distance_transform_edt(~other))
                out[i, ..., c] = np.where(own, -(inside - 1), np.where(other, outside, 0))
    return out


@pytest.mark.parametrize("size", [(9, 13), (1, 1), (1, 7)])
def test_distances_are_exact(size):
    ours = jax.jit(losses.signed_distance, static_argnums=1)

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        mask = rng.integers(0, rng.integers(1, CLASSES + 1), (2, *size)).astype(np.uint8)
        mask[rng.random(mask.shape) < rng.choice([0, 0.1, 0.9])] = 255
        np.testing.assert_allclose(ours(mask, CLASSES), signed_distance(mask, CLASSES), rtol=1e-6, atol=1e-6)

    check()


def test_a_far_corner_is_measured_across_the_image():
    mask = jnp.zeros((1, 60, 80), jnp.uint8).at[0, 0, 0].set(1)
    distance = jax.jit(losses.signed_distance, static_argnums=1)(mask, 2)
    assert float(distance[0, -1, -1, 1]) == pytest.approx(np.hypot(59, 79))
    assert float(distance[0, -1, -1, 0]) == pytest.approx(1 - np.hypot(59, 79))


def test_it_is_the_mean_of_probability_times_distance():
    rng = np.random.default_rng(4)
    mask = rng.integers(0, 3, (2, 6, 7))
    mask[:, :2] = 255
    logits = rng.normal(size=(2, 6, 7, CLASSES)).astype(np.float32)

    tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    moment = tensor.softmax(-1) * torch.tensor(signed_distance(mask, CLASSES))
    expected = moment[torch.tensor(mask != 255)].mean()
    expected.backward()
    assert tensor.grad is not None
    value, gradient = jax.jit(jax.value_and_grad(losses.boundary_loss))(logits, mask)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-4, atol=1e-8)

    distances = jnp.asarray(signed_distance(mask, CLASSES))
    ready = jax.jit(losses.boundary_loss)(logits, mask, distances=distances)
    np.testing.assert_allclose(ready, value, rtol=1e-6)


def test_distances_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4, 2\): expected that of the logits, \(1, 4, 4, 3\)"):
        losses.boundary_loss(jnp.zeros((1, 4, 4, 3)), jnp.zeros((1, 4, 4), int), distances=jnp.zeros((1, 4, 4, 2)))


def test_a_mask_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"^the mask has shape \(4, 5\): expected \(n, h, w\)\.$"):
        losses.signed_distance(jnp.zeros((4, 5), int), 3)
