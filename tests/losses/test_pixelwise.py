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

CLASSES = 4
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25], np.float32)
seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15, deadline=None, derandomize=True)


def example(seed: int) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(2, 5, 7, CLASSES)) * rng.uniform(0.1, 20)).astype(np.float32)
    mask = rng.integers(0, CLASSES, (2, 5, 7))
    mask[rng.random(mask.shape) < rng.uniform(0, 0.9)] = 255
    mask[1, 2, 3] = 0
    return jnp.asarray(logits), jnp.asarray(mask)


def in_torch(loss, logits: jax.Array, mask: jax.Array) -> tuple[float, np.ndarray]:
    """Value and gradient in float64 of a loss of (n k h w) logits."""
    tensor = torch.tensor(np.asarray(logits), dtype=torch.float64).permute(0, 3, 1, 2).requires_grad_()
    value = loss(tensor, torch.tensor(np.asarray(mask, np.int64)))
    value.backward()
    assert tensor.grad is not None
    return value.item(), tensor.grad.permute(0, 2, 3, 1).numpy()


def assert_equals_torch(loss, reference, logits: jax.Array, mask: jax.Array) -> None:
    value, gradient = loss(logits, mask)
    expected, expected_gradient = in_torch(reference, logits, mask)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(weights, smoothing):
    loss = jax.jit(jax.value_and_grad(partial(losses.cross_entropy, class_weights=weights, label_smoothing=smoothing)))
    reference = partial(
        F.cross_entropy,
        ignore_index=255,
        label_smoothing=smoothing,
        weight=None if weights is None else torch.tensor(weights, dtype=torch.float64),
    )

    @quick
    @given(seeds)
    def check(seed):
        assert_equals_torch(loss, reference, *example(seed))

    check()


@pytest.mark.parametrize(("gamma", "weights"), [(2.0, None), (0.5, WEIGHTS)])
def test_focal_is_its_definition(gamma, weights):
    loss = jax.jit(jax.value_and_grad(partial(losses.focal, gamma=gamma, class_weights=weights)))

    def reference(logits, mask):
        counted = mask != 255
        true = mask[counted]
        p = logits.permute(0, 2, 3, 1)[counted].softmax(-1).gather(-1, true[:, None])[:, 0]
        weight = torch.ones_like(p) if weights is None else torch.tensor(weights, dtype=torch.float64)[true]
        # Saturated pixels have a loss of 0 and, in the limit, a gradient of 0.
        doubt = (1 - p).clamp_min(1e-300)
        return (weight * doubt**gamma * -p.log()).sum() / weight.sum()

    @quick
    @given(seeds)
    def check(seed):
        logits, mask = example(seed)
        assert_equals_torch(loss, reference, jnp.clip(logits, -8, 8), mask)

    check()


def test_focal_without_focus_is_cross_entropy():
    logits, mask = example(3)
    focal = jax.jit(partial(losses.focal, gamma=0.0, class_weights=WEIGHTS))
    cross_entropy = jax.jit(partial(losses.cross_entropy, class_weights=WEIGHTS))
    np.testing.assert_allclose(focal(logits, mask), cross_entropy(logits, mask), rtol=1e-6)


@pytest.mark.parametrize(("threshold", "fraction"), [(0.7, 0.0), (0.0, 0.25), (0.2, 0.5), (0.9, 0.125)])
def test_ohem_averages_over_the_hard_pixels(threshold, fraction):
    loss = jax.jit(
        jax.value_and_grad(
            partial(losses.ohem_cross_entropy, threshold=threshold, min_fraction=fraction, class_weights=WEIGHTS + 0.5)
        )
    )

    def reference(logits, mask):
        each = F.cross_entropy(logits, mask, ignore_index=255, reduction="none")[mask != 255]
        weight = torch.tensor(WEIGHTS + 0.5, dtype=torch.float64)[mask[mask != 255]]
        hardest = set(torch.argsort(-each, stable=True)[: int(np.ceil(fraction * len(each)))].tolist())
        kept = [i for i, one in enumerate(each.tolist()) if np.exp(-one) < threshold or i in hardest]
        return (each[kept] * weight[kept]).sum() / weight[kept].sum() if kept else 0 * logits.sum()

    @quick
    @given(seeds)
    def check(seed):
        assert_equals_torch(loss, reference, *example(seed))

    check()


def test_ohem_keeps_all_that_tie_with_the_hardest():
    # Four equally hard pixels, of which a fraction of 1/8 asks for one.
    logits = jnp.zeros((1, 2, 4, 3)).at[0, 0, :, 1].set(-5)
    mask = jnp.ones((1, 2, 4), int)
    mined = partial(losses.ohem_cross_entropy, threshold=0.0, min_fraction=0.125)
    value, gradient = jax.jit(jax.value_and_grad(mined))(logits, mask)
    np.testing.assert_allclose(value, np.log(2 + np.exp(-5)) + 5, rtol=1e-6)
    assert np.any(gradient != 0, -1).tolist() == [[[True] * 4, [False] * 4]]


@pytest.mark.parametrize("sums", [losses.cross_entropy_sums, losses.focal_sums])
def test_sums_add_up_over_pieces(sums):
    logits, mask = example(11)
    sums = jax.jit(partial(sums, class_weights=WEIGHTS))
    whole = sums(logits, mask)
    parts = [sums(logits[:, rows], mask[:, rows]) for rows in (slice(2), slice(2, 5))]
    np.testing.assert_allclose(whole, np.sum(parts, axis=0), rtol=1e-6)


def test_a_label_without_a_logit_is_not_scored_in_silence():
    logits, mask = example(5)
    assert np.isnan(jax.jit(losses.cross_entropy)(logits, mask.at[0, 0, 0].set(CLASSES)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_what_ignored_pixels_hold_changes_nothing(dtype):
    logits, mask = example(13)
    logits = logits.astype(dtype)
    bad = jnp.array([jnp.nan, jnp.inf, -jnp.inf], dtype)[jnp.arange(mask.size) % 3].reshape(*mask.shape, 1)

    @jax.jit
    def with_derivatives(logits):
        found = {}
        for name in ("cross_entropy", "focal", "ohem_cross_entropy"):
            weighted = partial(getattr(losses, name), class_weights=WEIGHTS)
            for loss in (weighted, partial(losses.cross_entropy, label_smoothing=0.1)):
                of_logits = partial(loss, mask=mask)
                forward = jax.jvp(of_logits, (logits,), (jnp.ones_like(logits).at[0].set(2),))
                found[name, loss is weighted] = jax.value_and_grad(of_logits)(logits), forward
        return found

    expected = with_derivatives(jnp.where((mask == 255)[..., None], 0, logits))
    assert bool((mask == 255).any())
    for case, found in with_derivatives(jnp.where((mask == 255)[..., None], bad, logits)).items():
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected[case]), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=str(case))


def test_another_label_may_be_ignored():
    logits, mask = example(8)
    ignored, zero = mask == 255, mask == 0

    @jax.jit
    def pairs(logits):
        usual = losses.cross_entropy(logits, mask)
        minus = losses.cross_entropy(logits, jnp.where(ignored, -1, mask), ignore=-1)
        without_zero = losses.cross_entropy(logits, jnp.where(zero, 255, mask))
        ignoring_zero = losses.cross_entropy(logits, jnp.where(ignored, 0, mask), ignore=0)
        return (usual, minus), (without_zero, ignoring_zero)

    for one, other in pairs(logits):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "ohem_cross_entropy", "upsampled_cross_entropy"])
@pytest.mark.parametrize("number", [1, CLASSES - 1, CLASSES + 1])
def test_class_weights_are_one_for_each_class(name, number):
    """Of too few the last one stood for all that had none."""
    loss = partial(getattr(losses, name), class_weights=[1.0] * number)
    with pytest.raises(
        ValueError, match=rf"class_weights have shape \({number},\): expected one for each of {CLASSES}\."
    ):
        jax.eval_shape(loss, *example(0))


def test_fractions_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"^label_smoothing must lie in 0\.\.1, got 1\.5\.$"):
        losses.cross_entropy(*example(0), label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"0\.\.1, got 70 and 0\.1"):
        losses.ohem_cross_entropy(*example(0), threshold=70, min_fraction=0.1)


def test_cross_entropy_makes_no_array_of_the_logits_size():
    logits = jax.ShapeDtypeStruct((2, 64, 64, 32), jnp.float32)
    mask = jax.ShapeDtypeStruct((2, 64, 64), jnp.int32)
    memory = jax.jit(jax.value_and_grad(losses.cross_entropy)).lower(logits, mask).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < logits.size * 4 / 4
