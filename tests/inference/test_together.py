"""Several images in few passes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.errors import InferenceError
from segjax.inference import predict, predict_each
from segjax.inference import prediction as module
from segjax.inference.together import together


class Conv(nn.Module):
    @nn.compact
    def __call__(self, image, *, train: bool):
        return nn.Conv(3, (3, 3))(jnp.asarray(image, jnp.float32) / 255)


def test_batches_are_of_one_shape_and_of_powers_of_two():
    shapes = [(8, 8), (8, 16), (8, 8), (8, 8)]
    assert together(shapes) == [[0, 2], [3], [1]]
    assert [len(batch) for batch in together("a" * 7)] == [4, 2, 1]
    assert together([]) == []


def test_each_of_several_images_is_predicted_as_if_it_were_alone(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    sizes = [(20, 30), (17, 25), (300, 200), (24, 32), (20, 30)]
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    variables = Conv().init(jax.random.key(0), images[0][None], train=False)
    passes = []
    compiled = module._compiled
    monkeypatch.setattr(
        module, "_compiled", lambda model, shape, *rest: passes.append(shape) or compiled(model, shape, *rest)
    )
    found = predict_each(Conv(), variables, images)
    assert passes == [(4, 24, 32, 3), (1, 320, 224, 3)]
    for image, probabilities in zip(images, found, strict=True):
        np.testing.assert_array_equal(probabilities, predict(Conv(), variables, image))


def test_an_image_that_cannot_be_predicted_is_one_sentence():
    with pytest.raises(InferenceError, match="NaN"):
        predict_each(Conv(), {}, [np.full((8, 8, 3), np.nan, np.float32)])
