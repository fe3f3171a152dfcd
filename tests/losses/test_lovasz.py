from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import losses

CLASSES = 3


def jaccard_loss(wrong: set[int], own: set[int]) -> float:
    """1 - IoU of a prediction that is wrong at those pixels: |wrong| / |own or wrong|."""
    return len(wrong) / len(own | wrong) if wrong else 0.0


def extension(errors, own: set[int]):
    """The Lovász extension by its definition: each error, the largest first, times what its pixel adds to the loss."""
    total, wrong = 0, set()
    for pixel in np.argsort(-errors.detach().numpy(), kind="stable"):
        grown = wrong | {int(pixel)}
        total = total + errors[pixel] * (jaccard_loss(grown, own) - jaccard_loss(wrong, own))
        wrong = grown
    return total


def reference(logits, mask, per_image: bool, classes: str):
    probability = logits.softmax(-1)
    groups = [(probability[i], mask[i]) for i in range(len(mask))] if per_image else [(probability, mask)]
    means = []
    for p, y in groups:
        counted = y != 255
        p, y = p[counted], y[counted]
        scores = []
        for c in range(CLASSES):
            own = {i for i, label in enumerate(y.tolist()) if label == c}
            if own or (classes == "all" and len(y)):
                scores.append(extension(((y == c).double() - p[:, c]).abs(), own))
        if scores:
            means.append(torch.stack(scores).mean())
    return torch.stack(means).mean() if means else 0 * logits.sum()


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("classes", ["present", "all"])
def test_it_is_the_lovasz_extension_of_the_jaccard_loss(per_image, classes):
    loss = jax.jit(jax.value_and_grad(partial(losses.lovasz_softmax, per_image=per_image, classes=classes)))

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        logits = (rng.normal(size=(2, 3, 5, CLASSES)) * rng.uniform(0.1, 4)).astype(np.float32)
        mask = rng.integers(0, rng.integers(1, CLASSES + 1), (2, 3, 5))
        mask[rng.random(mask.shape) < rng.uniform(0, 0.8)] = 255
        tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        expected = reference(tensor, torch.tensor(mask), per_image, classes)
        expected.backward()
        assert tensor.grad is not None
        value, gradient = loss(logits, mask)
        np.testing.assert_allclose(value, expected.item(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-4, atol=1e-6)

    check()


def test_the_order_of_tied_errors_does_not_matter():
    loss = jax.jit(losses.lovasz_softmax)
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.integers(0, 2, (1, 4, 6, CLASSES)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, CLASSES, (1, 4, 6)))
    tensor = torch.tensor(np.asarray(logits), dtype=torch.float64)
    expected = reference(tensor, torch.tensor(np.asarray(mask)), False, "present")
    assert float(loss(logits, mask)) == pytest.approx(expected.item(), abs=1e-6)
    turned = loss(logits[:, ::-1, ::-1], mask[:, ::-1, ::-1])
    assert float(turned) == pytest.approx(expected.item(), abs=1e-6)


def test_slopes_hold_where_a_difference_of_two_losses_would_cancel():
    """With one pixel of the class among 2^20, float32 cannot tell one Jaccard loss from the next."""
    logits = jnp.zeros((1, 1024, 1024, 2))
    mask = jnp.zeros((1, 1024, 1024), jnp.uint8).at[0, 512, 512].set(1)
    # All errors are 1/2, so each class scores half of its complete loss of 1.
    assert float(jax.jit(losses.lovasz_softmax)(logits, mask)) == pytest.approx(0.5, abs=1e-5)
