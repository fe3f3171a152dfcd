from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segjax import losses
from segjax.ops.resize import resize

WEIGHTS = np.array([1.0, 0.5, 2.0], np.float32)


def example(size: tuple[int, int], factors: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    logits = (3 * rng.normal(size=(2, *size, 3))).astype(np.float32)
    mask = rng.integers(0, 3, (2, size[0] * factors[0], size[1] * factors[1])).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.2] = 255
    return jnp.asarray(logits), jnp.asarray(mask)


@pytest.mark.parametrize(
    ("size", "factors", "rows"),
    [
        ((7, 5), (4, 4), 4),  # the last piece is short
        ((5, 6), (3, 3), 1),
        ((1, 4), (8, 8), 4),  # fewer rows than a piece holds
        ((6, 1), (2, 5), 2),
    ],
)
def test_pieces_give_what_the_whole_gives_in_torch(size, factors, rows):
    logits, mask = example(size, factors)
    loss = partial(losses.upsampled_cross_entropy, rows=rows, class_weights=WEIGHTS, label_smoothing=0.1)
    value, gradient = jax.jit(jax.value_and_grad(loss))(logits, mask)

    tensor = torch.tensor(np.asarray(logits), dtype=torch.float64).permute(0, 3, 1, 2).requires_grad_()
    full = F.interpolate(tensor, mask.shape[1:], mode="bilinear", align_corners=False)
    weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    true = torch.tensor(np.asarray(mask, np.int64))
    expected = F.cross_entropy(full, true, weight, ignore_index=255, label_smoothing=0.1)
    expected.backward()
    assert tensor.grad is not None
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, tensor.grad.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-6)


def test_other_losses_that_are_sums_over_pixels_go_in_pieces_too():
    logits, mask = example((5, 4), (4, 4))
    sums = partial(losses.focal_sums, gamma=1.5)
    total, weight = jax.jit(partial(losses.upsampled_sums, sums, rows=2))(logits, mask)
    expected = jax.jit(lambda logits: losses.focal(resize(logits, mask.shape[1:]), mask, gamma=1.5))(logits)
    np.testing.assert_allclose(total / weight, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 9, 8), (1, 8, 6), (2, 8, 8), (1, 3, 8), (8, 8)])
def test_a_mask_that_is_no_whole_multiple_is_refused(shape):
    with pytest.raises(ValueError, match="whole multiples"):
        losses.upsampled_cross_entropy(jnp.zeros((1, 4, 4, 3)), jnp.zeros(shape, int))


def test_150_classes_at_512x512_never_exist_at_once():
    logits = jax.ShapeDtypeStruct((2, 128, 128, 150), jnp.float32)
    mask = jax.ShapeDtypeStruct((2, 512, 512), jnp.int32)
    full = 2 * 512 * 512 * 150 * 4

    def whole(logits, mask):
        return losses.cross_entropy(resize(logits, mask.shape[1:]), mask)

    def temporaries(loss):
        memory = jax.jit(jax.value_and_grad(loss)).lower(logits, mask).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert temporaries(losses.upsampled_cross_entropy) < 0.4 * full
    assert temporaries(whole) > full


def test_pieces_of_no_rows_are_refused():
    with pytest.raises(ValueError, match=r"^rows must be at least 1 of the logits' at a time, got 0\.$"):
        losses.upsampled_cross_entropy(jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 4, 4), int), rows=0)
    with pytest.raises(ValueError, match="whole multiples"):
        losses.upsampled_cross_entropy(jnp.zeros((1, 0, 2, 3)), jnp.zeros((1, 0, 4), int))
