"""Objects of one image, found by models that read them off the pixels."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from read_off import EXPECTED, OBJECTS, Bright, Marked, bright, marked

from segjax.inference import FittedSource, InferenceError, predict_boxes, predict_boxes_and_mask, refined


@pytest.mark.parametrize("least", [0.5, 0.3])
def test_all_objects_of_an_odd_size_best_first_and_inside(least: float):
    found = predict_boxes(Marked(), {}, marked(31, 47, *OBJECTS), least=least)
    expected = [one for one in EXPECTED if one[2] >= least]
    assert isinstance(found.boxes, np.ndarray)
    np.testing.assert_allclose(found.boxes, [box for box, _, _ in expected], atol=1e-4)
    np.testing.assert_array_equal(found.labels, [label for _, label, _ in expected])
    np.testing.assert_allclose(found.scores, [score for *_, score in expected], rtol=1e-5)
    assert found.class_scores.shape == (len(expected), 2)
    assert found.attributes is not None
    np.testing.assert_allclose(found.attributes[0], 1 / (1 + np.exp([-2 / 16, 2 / 16])), rtol=1e-5)
    few = predict_boxes(Marked(), {}, marked(31, 47, *OBJECTS), max_boxes=2)
    assert len(few.boxes) == 2


@pytest.mark.parametrize(
    ("own", "box", "size"),
    [
        ((20, 40), (7, 3, 11, 9), (40, 40)),  # only a border above and below
        ((40, 20), (3, 7, 9, 11), (40, 40)),  # and to the left and right
        ((60, 120), (21, 9, 33, 27), (40, 40)),  # a third of the size
        ((10, 20), (3, 2, 11, 5), (40, 40)),  # twice the size
        ((41, 23), (4, 30, 9, 7), (41, 23)),
    ],
)
def test_boxes_come_back_exactly_from_the_size_that_the_model_sees(own: Any, box: Any, size: Any):
    found = predict_boxes(Bright(), {}, bright(own[0], own[1], box), size=size)
    np.testing.assert_allclose(found.boxes, [box], atol=1e-4)
    np.testing.assert_array_equal(found.labels, [0])


def test_boxes_come_back_to_a_pixel_where_the_size_is_no_multiple():
    for own, box in (((33, 47), (5, 9, 21, 13)), ((101, 57), (17, 30, 25, 44)), ((3, 200), (60, 0, 80, 3))):
        found = predict_boxes(Bright(), {}, bright(*own, box), size=(64, 64))
        scale = max(1, max(own) / 64)
        np.testing.assert_allclose(found.boxes, [box], atol=1.01 * scale)


class Seen(Bright):
    """Whose mask is the redder the surer, and which takes images alone whose sides are multiples of 8."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        assert not np.any(np.array(image.shape[1:3]) % 8), image.shape
        red = jnp.asarray(image, jnp.float32)[..., :1] / 64
        return super().__call__(image, train=train)._replace(mask=jnp.concatenate([red, 0 * red], -1))


@pytest.mark.parametrize("tta", [(), ("hflip", "vflip")])
def test_an_image_that_is_fitted_is_seen_as_it_is_scored(tta: Any):
    image = bright(60, 40, (5, 9, 21, 30))
    image[..., 0] = np.random.default_rng(0).integers(0, 20, (60, 40))
    image[9:39, 5:26] = 230
    found, mask = predict_boxes_and_mask(refined(Seen(), tta), {}, image, size=(60, 51))
    np.testing.assert_allclose(found.boxes, [[5, 9, 21, 30]], atol=1e-4)
    np.testing.assert_allclose(mask[..., 0], 1 / (1 + np.exp(image[..., 0] / -64)), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_of_many_bands_are_fitted_as_their_bands_are(dtype: Any):
    image = np.random.default_rng(0).integers(0, 200, (33, 47, 7)).astype(dtype)
    bands: Any = [{"image": image}, *({"image": image[..., band, None]} for band in range(7))]
    fitted = FittedSource(bands, (20, 24))
    assert fitted[0]["image"].shape == (20, 24, 7)
    for band in range(7):
        np.testing.assert_array_equal(fitted[0]["image"][..., band], fitted[1 + band]["image"][..., 0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (2, 3)])
@pytest.mark.parametrize("size", [None, (16, 16)])
def test_pictures_of_a_single_row_or_pixel(shape: tuple[int, int], size: Any):
    image = np.full((*shape, 3), 230, np.uint8)
    found = predict_boxes(Bright(), {}, image, size=size)
    np.testing.assert_allclose(found.boxes, [[0, 0, shape[1], shape[0]]], atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 5), (1, 5, 5, 3)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]):
    with pytest.raises(InferenceError, match=r"one image \(h, w, c\) with pixels in it, but got \("):
        predict_boxes(Marked(), {}, np.zeros(shape, np.uint8))
