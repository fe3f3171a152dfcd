"""What holds for every loss: no NaN at the edges, and nothing from ignored pixels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

CLASSES = 3
LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "cross_entropy, weighted and smooth": partial(
        losses.cross_entropy, class_weights=np.array([1.0, 2.0, 0.5]), label_smoothing=0.1
    ),
    "focal": losses.focal,
    "focal, gamma 0.5": partial(losses.focal, gamma=0.5),
    "ohem_cross_entropy": losses.ohem_cross_entropy,
    "dice": losses.dice,
    "dice, per image, not smooth, all classes": partial(losses.dice, per_image=True, smooth=0.0, classes="all"),
    "jaccard": losses.jaccard,
    "tversky": losses.tversky,
    "focal_tversky": partial(losses.focal_tversky, per_image=True),
    "lovasz_softmax": losses.lovasz_softmax,
    "lovasz_softmax, per image, all classes": partial(losses.lovasz_softmax, per_image=True, classes="all"),
    "boundary_loss": losses.boundary_loss,
    "upsampled_cross_entropy": losses.upsampled_cross_entropy,
    "weighted_sum": losses.weighted_sum((1.0, losses.cross_entropy), (0.5, losses.dice)),
}

ELSEWHERE = {  # tests of their own: of boxes, heatmaps and attributes, of sigmoids, parts of others, and sums of them
    "Loss", "attribute_cross_entropy", "binary_cross_entropy", "center_loss", "ciou_loss", "cross_entropy_sums",
    "deep_supervision", "diou_loss", "focal_sums", "giou_loss", "heatmap_focal", "l1_loss", "localization_loss",
    "lovasz_hinge", "sigmoid_boundary", "sigmoid_dice", "sigmoid_focal", "sigmoid_jaccard", "sigmoid_tversky",
    "signed_distance", "smooth_l1_loss", "uncertainty_weighted_sum", "upsampled_sums",
}  # fmt: skip


def test_no_loss_is_forgotten():
    here = {name.partition(",")[0] for name in LOSSES}
    assert here | ELSEWHERE == set(losses.__all__)
    assert not here & ELSEWHERE


@jax.jit
def every_loss(logits, mask):
    """Value and gradient of each, compiled together."""
    return {name: jax.value_and_grad(loss)(logits, mask) for name, loss in LOSSES.items()}


def masks() -> dict[str, np.ndarray]:
    mixed = np.random.default_rng(0).integers(0, CLASSES, (2, 5, 3))
    partly = mixed.copy()
    partly[0] = 255
    partly[1, :2] = 255
    alone = np.full_like(mixed, 255)
    alone[1, 4, 2] = 1
    return {
        "mixed": mixed,
        "partly ignored": partly,
        "empty": np.zeros_like(mixed),
        "one class": np.full_like(mixed, 2),
        "one pixel": alone,
        "ignored": np.full_like(mixed, 255),
    }


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits_have_finite_losses_and_gradients(dtype):
    rng = np.random.default_rng(1)
    for case, mask in masks().items():
        right = 2e4 * (mask[..., None] == np.arange(CLASSES)) - 1e4
        for logits in (right, -right, rng.choice([-1e4, 1e4], right.shape), np.full(right.shape, -1e4), 0 * right):
            for name, (value, gradient) in every_loss(jnp.asarray(logits, dtype), mask).items():
                assert value.dtype == jnp.float32, name
                assert gradient.dtype == dtype, name
                assert np.isfinite(value), (name, case)
                assert np.all(np.isfinite(np.asarray(gradient, np.float32))), (name, case)
                if case == "ignored":
                    assert value == 0, name
                    assert np.all(np.asarray(gradient) == 0), name


def test_where_there_are_64_bits_losses_keep_to_those_of_the_logits():
    logits, mask = np.random.default_rng(4).normal(size=(2, 5, 3, CLASSES)), masks()["mixed"]
    as_is = every_loss(logits.astype(np.float32), mask)
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            for name, (value, gradient) in every_loss(logits.astype(dtype), mask).items():
                assert value.dtype == gradient.dtype == dtype, name
                np.testing.assert_allclose(value, as_is[name][0], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_no_images_is_no_loss(name):
    value, gradient = jax.value_and_grad(LOSSES[name])(jnp.zeros((0, 5, 3, CLASSES)), np.zeros((0, 5, 3), np.uint8))
    assert value == 0
    assert gradient.shape == (0, 5, 3, CLASSES)


def test_a_logit_of_nan_is_a_loss_of_nan():
    logits = np.zeros((2, 5, 3, CLASSES), np.float32)
    logits[1, 2, 1, 0] = np.nan
    for name, (value, gradient) in every_loss(logits, masks()["mixed"]).items():
        assert np.isnan(value), name
        assert np.isnan(gradient).any(), name


def test_ignored_pixels_and_padding_change_nothing():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 5, 3, CLASSES)).astype(np.float32)
    mask = masks()["mixed"]
    mask[0, 1:3] = 255
    mask[1, 0, 0] = 255
    other = np.where(mask[..., None] == 255, 9 * rng.normal(size=logits.shape).astype(np.float32), logits)
    padding = rng.normal(size=(1, 5, 3, CLASSES)).astype(np.float32)
    padded_mask = np.concatenate([mask, np.full((1, 5, 3), 255)])

    as_is, changed = every_loss(logits, mask), every_loss(other, mask)
    padded = every_loss(np.concatenate([logits, padding]), padded_mask)
    for name, (value, gradient) in as_is.items():
        assert np.all(np.asarray(gradient)[mask == 255] == 0), name
        assert np.abs(gradient).max() > 1e-4, name
        np.testing.assert_allclose(changed[name][0], value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(padded[name][0], value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(padded[name][1][:2], gradient, rtol=1e-4, atol=1e-7, err_msg=name)


def test_sums_over_logits_are_of_all_bits():
    """As products GPUs and TPUs would take them of fewer, unless they are told to."""
    with jax.default_matmul_precision("default"):  # as users have it
        said = str(jax.make_jaxpr(every_loss)(np.zeros((2, 5, 3, CLASSES), np.float32), masks()["mixed"]))
    assert said.count("dot_general[") == said.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") > 0


def test_a_model_of_one_class_and_an_image_of_one_pixel():
    logits, mask = jnp.full((1, 1, 1, 1), 7.0), np.zeros((1, 1, 1), np.uint8)
    unweighted = {name: loss for name, loss in LOSSES.items() if "weighted and" not in name}
    scored = jax.jit(lambda logits: {name: jax.value_and_grad(loss)(logits, mask) for name, loss in unweighted.items()})
    for name, (value, gradient) in scored(logits).items():
        assert float(value) == pytest.approx(0, abs=1e-6), name
        assert np.all(np.asarray(gradient) == 0), name


def test_beyond_255_classes_65535_is_ignored_and_255_is_one():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(1, 2, 4, 256)).astype(np.float32)
    # Class 8 would be nearer to another, were what is ignored one.
    mask = np.array([[[8, 8, 65535, 254], [65535, 65535, 255, 7]]], np.uint16)
    signed = np.where(mask == 65535, -1, mask.astype(np.int32))
    ways = {name: LOSSES[name] for name in ("cross_entropy", "boundary_loss", "upsampled_cross_entropy")}
    both = jax.jit(lambda masks: {name: jax.lax.map(partial(loss, logits), masks) for name, loss in ways.items()})
    for name, (found, expected) in both(np.stack([mask, signed])).items():
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)
    without = jnp.where(jnp.asarray(mask) == 255, 65535, jnp.asarray(mask))
    assert losses.cross_entropy(jnp.asarray(logits), jnp.asarray(mask)) != losses.cross_entropy(
        jnp.asarray(logits), without
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if "upsampled" not in name])
def test_shapes_that_do_not_match_are_refused(name):
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\) and the mask \(2, 8, 8\)"):
        jax.eval_shape(LOSSES[name], jnp.zeros((2, 4, 4, 3)), np.zeros((2, 8, 8), np.int32))


@pytest.mark.parametrize("name", LOSSES)
def test_a_mask_of_real_numbers_is_refused(name):
    with pytest.raises(ValueError, match=r"the mask has dtype float32: expected an integer class for each pixel\."):
        jax.eval_shape(LOSSES[name], jnp.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2), np.float32))


def test_a_weighted_sum_adds_up():
    rng = np.random.default_rng(5)
    logits, mask = rng.normal(size=(2, 5, 3, CLASSES)).astype(np.float32), masks()["mixed"]
    parts = every_loss(logits, mask)
    expected = 1.0 * parts["cross_entropy"][0] + 0.5 * parts["dice"][0]
    np.testing.assert_allclose(parts["weighted_sum"][0], expected, rtol=1e-6)
