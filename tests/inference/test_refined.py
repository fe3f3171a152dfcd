"""Boxes averaged over flips, and suppressed softly."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from read_off import OBJECTS, Bright, Marked, bright, marked

from segjax import decoders, encoders, layers, models
from segjax.inference import InferenceError, predict_boxes, refined
from segjax.ops import boxes
from segjax.ops.boxes import Detections

FLIPS = ("hflip", "vflip")


@pytest.mark.parametrize("tta", [("hflip",), ("vflip",), FLIPS])
def test_what_a_model_reads_off_the_pixels_is_the_same_in_every_view(tta: Any):
    image = marked(31, 47, *OBJECTS)
    once, several = (predict_boxes(model, {}, image) for model in (Marked(), refined(Marked(), tta)))
    np.testing.assert_allclose(several.boxes, once.boxes, atol=1e-4)
    np.testing.assert_allclose(several.scores, once.scores, rtol=1e-4)
    assert several.attributes is not None
    assert once.attributes is not None
    np.testing.assert_allclose(several.attributes, once.attributes, rtol=1e-4)
    one = predict_boxes(refined(Bright(), tta), {}, bright(48, 32, (3, 7, 9, 20)))
    np.testing.assert_allclose(one.boxes, [[3, 7, 9, 20]], atol=1e-4)


def test_a_trained_models_maps_are_averaged_with_its_own_variables():
    encoder = encoders.ConvEncoder(((4,), (4,)))
    net = models.CenterNet(2, encoder, decoders.UNetDecoder(finest_stride=2), num_attributes=1, hidden=4)
    model = layers.Normalized(net, (0.5,) * 3, (0.25,) * 3)
    image = np.random.default_rng(0).integers(0, 255, (1, 16, 24, 3), np.uint8)
    variables = jax.jit(lambda: model.init(jax.random.key(0), image, train=False))()
    one, other = (jax.jit(lambda x: model.apply(variables, x, train=False))(x) for x in (image, image[:, :, ::-1]))
    both: Any = jax.jit(lambda x: refined(model, ("hflip",)).apply(variables, x, train=False))(image)

    def probability(logits):
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))

    for name in ("heatmap", "attributes"):
        mean = (probability(getattr(one, name)) + probability(getattr(other, name))[:, :, ::-1]) / 2
        np.testing.assert_allclose(probability(getattr(both, name)), mean, atol=1e-5)
    np.testing.assert_allclose(both.size, (one.size + other.size[:, :, ::-1]) / 2, atol=1e-5)
    there = np.asarray(other.offset)[:, :, ::-1]
    np.testing.assert_allclose(both.offset[..., 0], (one.offset[..., 0] + 1 - there[..., 0]) / 2, atol=1e-5)
    np.testing.assert_allclose(both.offset[..., 1], (one.offset[..., 1] + there[..., 1]) / 2, atol=1e-5)
    assert refined(model, ("hflip",)).stored == "uint8"  # so that images of other numbers are refused
    with pytest.raises(ValueError, match=r"\(15, 24\) is no multiple of the stride 2"):
        one.averaged([other], ((1,),), (15, 24))


def test_boxes_are_suppressed_softly_class_by_class():
    class Three(nn.Module):
        @nn.compact
        def __call__(self, image, *, train: bool):
            return Fixed(
                Detections(
                    jnp.array([[[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 8], [0, 0, 0, 0]]], jnp.float32),
                    jnp.array([[0, 0, 1, -1]]),
                    jnp.array([[0.9, 0.8, 0.5, 0.0]]),
                    jnp.array([[[0.9, 0.1], [0.8, 0.3], [0.2, 0.5], [0, 0]]]),
                )
            )

    image = np.zeros((16, 16, 3), np.uint8)
    found = predict_boxes(refined(Three(), soft_nms="linear"), {}, image)
    assert found.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.5, 0.8 * 0.2], rtol=1e-5)  # an IoU of 0.8
    np.testing.assert_allclose(found.class_scores, [[0.9, 0.1], [0.2, 0.5], [0.16, 0.3]], rtol=1e-5)
    assert np.asarray(boxes.area(found.boxes)).tolist() == [100, 80, 80]


class Fixed:
    def __init__(self, found: Detections) -> None:
        self._found = found

    def detections(self, max_boxes: int) -> Detections:
        return self._found


def test_what_boxes_are_not_averaged_over_is_refused():
    model = Marked()
    assert refined(model) is model
    with pytest.raises(
        InferenceError, match=r"tta has 0\.75: boxes are averaged over hflip and vflip, not over scales"
    ):
        refined(model, ("hflip", 0.75))
    with pytest.raises(InferenceError, match="it takes hflip, vflip, and scales"):
        refined(model, ("sideways",))
