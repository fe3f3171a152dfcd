from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from compiler import AS_USERS
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import losses

CLASSES = 4


def example(seed: int) -> tuple[jax.Array, jax.Array]:
    """Some classes absent, some pixels ignored, now and then a whole image."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(3, 5, 3, CLASSES)) * rng.uniform(0.1, 5)).astype(np.float32)
    mask = rng.integers(0, rng.integers(1, CLASSES + 1), (3, 5, 3))
    mask[rng.random(mask.shape) < rng.uniform(0, 0.7)] = 255
    mask[rng.integers(3)] = rng.choice([255, 1])
    return jnp.asarray(logits), jnp.asarray(mask)


def overlap_loss(name: str, tp, fp, fn, smooth: float):
    """Each loss of one class by its own textbook formula."""
    if name == "dice":
        return 1 - (2 * tp + 2 * smooth) / (2 * tp + fp + fn + 2 * smooth)
    if name == "jaccard":
        return 1 - (tp + smooth) / (tp + fp + fn + smooth)
    index = (tp + smooth) / (tp + 0.3 * fp + 0.7 * fn + smooth)
    return 1 - index if name == "tversky" else (1 - index) ** 0.75


def reference(name: str, logits, mask, per_image: bool, classes: str, smooth: float):
    """A plain double loop over images and classes, in float64."""
    probability = logits.softmax(-1)
    groups = [(probability[i], mask[i]) for i in range(len(mask))] if per_image else [(probability, mask)]
    means = []
    for p, y in groups:
        counted = y != 255
        scores = []
        for c in range(CLASSES):
            g, q = (y[counted] == c).double(), p[counted][:, c]
            if g.sum() > 0 or (classes == "all" and counted.any()):
                tp, fp, fn = (q * g).sum(), (q * (1 - g)).sum(), ((1 - q) * g).sum()
                scores.append(overlap_loss(name, tp, fp, fn, smooth))
        if scores:
            means.append(torch.stack(scores).mean())
    return torch.stack(means).mean() if means else 0 * logits.sum()


@pytest.mark.parametrize(
    ("per_image", "classes", "smooth"), [(False, "present", 0.0), (True, "present", 1.0), (True, "all", 0.5)]
)
def test_region_losses_are_their_definitions(per_image, classes, smooth):
    options = {"per_image": per_image, "classes": classes, "smooth": smooth}
    names = ("dice", "jaccard", "tversky", "focal_tversky")

    @jax.jit
    def ours(logits, mask):
        return {name: jax.value_and_grad(partial(getattr(losses, name), **options))(logits, mask) for name in names}

    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        logits, mask = example(seed)
        for name, (value, gradient) in ours(logits, mask).items():
            tensor = torch.tensor(np.asarray(logits), dtype=torch.float64, requires_grad=True)
            expected = reference(name, tensor, torch.tensor(np.asarray(mask)), **options)
            expected.backward()
            assert tensor.grad is not None
            np.testing.assert_allclose(value, expected.item(), rtol=2e-5, atol=2e-6, err_msg=name)
            np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-3, atol=2e-6, err_msg=name)

    check()


def test_a_perfect_class_leaves_focal_tversky_at_zero_and_flat():
    mask = jnp.array([[[0, 1], [2, 3]]])
    logits = 40 * jnp.eye(CLASSES)[mask]
    value, gradient = jax.jit(jax.value_and_grad(losses.focal_tversky))(logits, mask)
    assert value == 0
    assert np.all(gradient == 0)


def test_another_choice_of_classes_is_refused():
    with pytest.raises(ValueError, match='"present" or "all", got \'some\''):
        losses.dice(*example(0), classes="some")  # pyright: ignore[reportArgumentType]


def test_dice_makes_no_array_of_the_logits_size():
    logits = jax.ShapeDtypeStruct((2, 64, 64, 32), jnp.float32)
    mask = jax.ShapeDtypeStruct((2, 64, 64), jnp.int32)
    both = jax.jit(jax.value_and_grad(losses.dice), compiler_options=AS_USERS)
    memory = both.lower(logits, mask).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 0.25 * logits.size * 4
