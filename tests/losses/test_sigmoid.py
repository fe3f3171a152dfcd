"""Losses of labels that may overlap, and of one logit, beside segmentation_models.pytorch's of the same modes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from smp import smp

from segjax import losses
from segjax.losses.sigmoid import label_bands

Loss = smp.losses
OURS = {
    "binary_cross_entropy": losses.binary_cross_entropy,
    "binary_cross_entropy, weighted": lambda logits, mask: losses.binary_cross_entropy(
        logits, mask, positive_weights=(3.0,) * logits.shape[-1]
    ),
    "sigmoid_focal": losses.sigmoid_focal,
    "sigmoid_focal, alpha": partial(losses.sigmoid_focal, gamma=1.5, alpha=0.25),
    "sigmoid_dice": losses.sigmoid_dice,
    "sigmoid_dice, smooth": partial(losses.sigmoid_dice, smooth=2.0),
    "sigmoid_jaccard": losses.sigmoid_jaccard,
    "sigmoid_tversky": partial(losses.sigmoid_tversky, smooth=0.5),
    "lovasz_hinge": losses.lovasz_hinge,
    "lovasz_hinge, per image": partial(losses.lovasz_hinge, per_image=True),
    "sigmoid_boundary": losses.sigmoid_boundary,
}


def theirs(mode: str) -> dict:
    return {
        "binary_cross_entropy": Loss.SoftBCEWithLogitsLoss(ignore_index=255),
        "binary_cross_entropy, weighted": Loss.SoftBCEWithLogitsLoss(ignore_index=255, pos_weight=torch.tensor(3.0)),
        "sigmoid_focal": Loss.FocalLoss(mode, ignore_index=255),
        "sigmoid_focal, alpha": Loss.FocalLoss(mode, gamma=1.5, alpha=0.25, ignore_index=255),
        "sigmoid_dice": Loss.DiceLoss(mode, ignore_index=255),
        "sigmoid_dice, smooth": Loss.DiceLoss(mode, smooth=2.0, ignore_index=255),
        "sigmoid_jaccard": Loss.JaccardLoss(mode),
        "sigmoid_tversky": Loss.TverskyLoss(mode, alpha=0.3, beta=0.7, smooth=0.5, ignore_index=255),
        "lovasz_hinge": Loss.LovaszLoss(mode, ignore_index=255),
        "lovasz_hinge, per image": Loss.LovaszLoss(mode, per_image=True, ignore_index=255),
    }


@jax.jit
def every_loss(logits, mask):
    return {name: jax.value_and_grad(loss)(logits, mask) for name, loss in OURS.items()}


def masks(labels: int) -> dict[str, np.ndarray]:
    mixed = np.random.default_rng(0).integers(0, 2, (2, 5, 3, labels)).astype(np.int32)
    partly = mixed.copy()
    partly[0, :, :2] = 255
    partly[1, 2, 1, 0] = 255
    one_label = mixed.copy()
    one_label[..., 1:] = 0
    alone = np.full_like(mixed, 255)
    alone[1, 4, 2] = 1
    return {
        "mixed": mixed,
        "partly ignored": partly,
        "empty": np.zeros_like(mixed),
        "full": np.ones_like(mixed),
        "one label": one_label,
        "one pixel": alone,
    }


def differentiated(loss, logits: np.ndarray, mask: np.ndarray) -> tuple[float, np.ndarray]:
    kind = torch.float32 if isinstance(loss, Loss.LovaszLoss) else torch.float64  # which is all that it takes
    at = torch.tensor(np.moveaxis(logits, -1, 1), dtype=kind, requires_grad=True)
    value = loss(at, torch.tensor(np.moveaxis(mask, -1, 1), dtype=kind))
    value.backward()
    gradient = np.zeros_like(logits) if at.grad is None else np.moveaxis(at.grad.numpy(), 1, -1)
    return value.item(), gradient


def expected(mode: str, name: str, logits: np.ndarray, mask: np.ndarray) -> tuple[float, np.ndarray]:
    loss = theirs(mode)[name]
    if "focal" in name and mode == "multilabel":
        # With pixels to ignore it raises in SMP: the mean of its labels, one by one.
        one_by_one = [expected("binary", name, logits[..., i : i + 1], mask[..., i : i + 1]) for i in (0, 1, 2)]
        values, gradients = zip(*one_by_one, strict=True)
        return float(np.mean(values)), np.concatenate(gradients, -1) / 3
    if "jaccard" in name:  # SMP's takes no value to ignore: the logits of such pixels are no, as their mask is then
        ignored = mask == 255
        value, gradient = differentiated(loss, np.where(ignored, -1e3, logits), np.where(ignored, 0, mask))
        return value, np.where(ignored, 0, gradient)
    value, gradient = differentiated(loss, logits, mask)
    # SMP divides by all pixels, ignored ones too.
    share = (mask != 255).mean() if "cross_entropy" in name else 1.0
    return value / share, gradient / share


@pytest.mark.parametrize(("mode", "labels"), [("binary", 1), ("multilabel", 3)])
def test_values_and_gradients_are_those_of_smp(mode, labels):
    rng = np.random.default_rng(1)
    for case, mask in masks(labels).items():
        logits = 2 * rng.normal(size=mask.shape)
        found = every_loss(jnp.asarray(logits, jnp.float32), mask)
        for name in theirs(mode):
            value, gradient = expected(mode, name, logits, mask)
            np.testing.assert_allclose(found[name][0], value, rtol=2e-5, atol=1e-6, err_msg=f"{name}, {case}")
            np.testing.assert_allclose(found[name][1], gradient, rtol=1e-4, atol=1e-6, err_msg=f"{name}, {case}")


def test_boundary_is_the_mean_over_labels_by_themselves():
    mask = masks(3)["partly ignored"]
    logits = np.random.default_rng(2).normal(size=mask.shape).astype(np.float32)
    total = 0.0
    for i in range(3):
        label = mask[..., i]
        distance = losses.signed_distance(jnp.asarray(label), 2)[..., 1]
        total += float(jnp.sum(jax.nn.sigmoid(logits[..., i]) * distance, where=label != 255))
    found = every_loss(jnp.asarray(logits), mask)["sigmoid_boundary"][0]
    np.testing.assert_allclose(found, total / (mask != 255).sum(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits_and_ignored_pixels(dtype):
    """Finite everywhere, and nothing comes of a pixel that does not count, whatever its logit is."""
    for case, mask in (masks(3) | {"ignored": np.full((2, 5, 3, 3), 255, np.int32)}).items():
        for logits in (2e4 * mask - 1e4, 1e4 - 2e4 * mask, 0.0 * mask):
            for name, (value, gradient) in every_loss(jnp.asarray(logits, dtype), mask).items():
                gradient = np.asarray(gradient, np.float32)
                assert value.dtype == jnp.float32, name
                assert np.isfinite(value), (name, case)
                assert np.isfinite(gradient).all(), (name, case)
                assert not gradient[mask == 255].any(), (name, case)
                if case == "ignored":
                    assert value == 0, name
    mask = masks(3)["partly ignored"]
    logits = jnp.asarray(np.random.default_rng(3).normal(size=mask.shape), dtype)
    as_is, changed = every_loss(logits, mask), every_loss(jnp.where(mask == 255, jnp.nan, logits), mask)
    for name in OURS:
        assert changed[name][0] == as_is[name][0], name
        np.testing.assert_array_equal(np.asarray(changed[name][1], np.float32), np.asarray(as_is[name][1], np.float32))


@pytest.mark.parametrize("name", OURS)
def test_a_batch_of_no_images_is_no_loss(name):
    value, gradient = jax.value_and_grad(OURS[name])(jnp.zeros((0, 5, 3, 2)), np.zeros((0, 5, 3, 2), np.uint8))
    assert value == 0
    assert gradient.shape == (0, 5, 3, 2)


def test_one_logit_takes_a_mask_of_two_classes():
    mask = masks(1)["partly ignored"]
    found = label_bands(jnp.zeros(mask.shape), jnp.asarray(mask[..., 0]), 255)
    np.testing.assert_array_equal(found, np.where(mask == 255, -1, mask))


def test_weights_are_as_many_as_labels():
    logits, mask = jnp.zeros((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1), int)
    with pytest.raises(ValueError, match=r"positive_weights have shape \(2,\): expected one for each of 1"):
        losses.binary_cross_entropy(logits, mask, positive_weights=(1.0, 2.0))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "lovasz_hinge"])
def test_shapes_that_do_not_match_are_refused(name):
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\) and the mask \(2, 4, 4\): expected \(n, h, w, labels\)"):
        jax.eval_shape(OURS[name], jnp.zeros((2, 4, 4, 3)), jnp.zeros((2, 4, 4), np.int32))
    with pytest.raises(ValueError, match="dtype float32: expected an integer"):
        OURS[name](jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3)))
