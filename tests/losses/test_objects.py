# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses


def test_only_images_with_an_object_count():
    rng = np.random.default_rng(0)
    box, logits = rng.random((3, 4)) * 8 + 1, rng.standard_normal((3, 4))
    true, label = rng.random((3, 4)) * 8 + 1, np.array([1, -1, 3])
    counted = label >= 0
    of_class = -np.log(np.exp(logits[counted, label[counted]]) / np.exp(logits[counted]).sum(-1)).mean()
    of_box = jax.jit(losses.ciou_loss)(box[counted], true[counted])
    loss = jax.jit(losses.localization_loss, static_argnames="class_weight")
    found = loss(box, logits, true, label, class_weight=0.5)
    assert found == pytest.approx(float(of_box) + 0.5 * of_class, rel=1e-5)
    nothing = loss(box, logits, true, np.full(3, -1))
    assert nothing == 0
    gradient = jax.jit(jax.grad(losses.localization_loss))(box, logits, true, label)
    assert np.isfinite(gradient).all()
    assert not gradient[1].any()
    assert gradient[0].any()


def test_logits_that_are_not_one_row_an_image_are_refused():
    """The sentence spoke of a mask, and of resizing."""
    boxes = jnp.zeros((2, 4))
    with pytest.raises(
        ValueError, match=r"^logits have shape \(3, 2\) and the label \(2,\): expected \(n, classes\) and"
    ):
        losses.localization_loss(boxes, jnp.zeros((3, 2)), boxes, jnp.zeros(2, int))
