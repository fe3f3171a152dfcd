"""Prediction of one image: tiles against a whole pass, test-time augmentation against averaging by hand."""

import math
import tracemalloc
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.data.padding import padded
from segjax.inference import (
    InferenceError,
    Labels,
    Objects,
    Tiling,
    predict,
    predict_each,
    predict_labels,
    predict_mask,
    predict_strips,
    prediction,
    receptive_radius,
    tiling,
)
from segjax.layers import ConvBlock, Normalized

Trained = tuple[nn.Module, Any]
NOISE = np.random.default_rng(0).integers(0, 256, (261, 325, 3), np.uint8)


class PixelClassifier(nn.Module):
    """Logits from the pixel alone."""

    num_classes: int = 4

    @nn.compact
    def __call__(self, image, *, train: bool):
        return nn.Conv(self.num_classes, (1, 1))(jnp.asarray(image, jnp.float32) / 64)


class Slopes(nn.Module):
    """Logits from a pixel and its neighbours: not the same when flipped."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        return nn.Conv(3, (3, 3))(jnp.asarray(image, jnp.float32) / 64)


class Brightness(nn.Module):
    """A model with global context: its only evidence is how bright all that it sees is."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        mean = jnp.asarray(image, jnp.float32).mean((1, 2, 3), keepdims=True) / 255
        return jnp.concatenate([mean, 1 - mean], -1) * jnp.ones((*image.shape[:3], 2))


def initialised(model: nn.Module) -> Trained:
    """The model with random weights that no compiler has to make."""
    generator = np.random.default_rng(0)

    def weights(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.2
        return (generator.normal(len(leaf.shape) == 1, scale, leaf.shape)).astype(np.float32)

    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), NOISE[None].astype(np.float32))
    return model, jax.tree.map(weights, shapes)


@pytest.fixture(scope="module")
def unet() -> Trained:
    model = models.unet(3, 4, depth=2, convs=1, block=ConvBlock)
    return initialised(Normalized(model, mean=(0.5,) * 3, std=(0.25,) * 3))


@pytest.fixture(scope="module")
def pixels() -> Trained:
    return initialised(PixelClassifier())


apply: Any = jax.jit(lambda model, variables, images: model.apply(variables, images, train=False), static_argnums=0)


def one_pass(model: nn.Module, variables: Any, image: np.ndarray) -> np.ndarray:
    exponents = np.exp(np.asarray(apply(model, variables, image[None])[0], np.float64))
    return exponents / exponents.sum(-1, keepdims=True)


def by_hand(model: nn.Module, variables: Any, image: np.ndarray) -> np.ndarray:
    """One pass over the image with the room around it that makes its sides those of few sizes."""
    return one_pass(model, variables, padded(image))[: image.shape[0], : image.shape[1]]


@pytest.fixture(scope="module")
def whole(unet: Trained) -> np.ndarray:
    return by_hand(*unet, NOISE)


def test_a_small_image_is_one_pass(unet: Trained, whole: np.ndarray):
    probabilities = predict(*unet, NOISE)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, whole, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_tiles_equal_a_whole_pass_at_odd_sizes(unet: Trained, whole: np.ndarray):
    assert 0 < receptive_radius(unet[0]) < 32
    np.testing.assert_allclose(predict(*unet, NOISE, tiling=Tiling(tile=192)), whole, atol=1e-4)
    np.testing.assert_allclose(predict(*unet, NOISE, tiling=Tiling(tile=200)), whole, atol=1e-4)  # rounded down


def test_without_the_margin_tiles_differ(unet: Trained, whole: np.ndarray):
    assert np.abs(predict(*unet, NOISE, tiling=Tiling(tile=192, margin=0)) - whole).max() > 1e-2


def test_off_the_pooling_grid_tiles_differ(unet: Trained, whole: np.ndarray, monkeypatch):
    monkeypatch.setattr(tiling, "ALIGNMENT", 63)
    monkeypatch.setattr(tiling, "SMALLEST", 189)
    assert [tile.start % 4 for tile in tiling.spans(325, 192, 30)][1] != 0
    assert np.abs(predict(*unet, NOISE, tiling=Tiling(tile=192, margin=30)) - whole).max() > 1e-2


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 7), (192, 193)])
def test_any_size(pixels: Trained, shape: tuple[int, int]):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    expected = by_hand(*pixels, image)
    np.testing.assert_allclose(predict(*pixels, image, tiling=Tiling(tile=192)), expected, atol=1e-5)
    mask = predict_mask(*pixels, image, tiling=Tiling(tile=192))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected.argmax(-1))


def test_strips_follow_each_other_from_the_top(pixels: Trained):
    next_row = 0
    for row, strip in predict_strips(*pixels, np.repeat(NOISE, 3, axis=0), tiling=Tiling(tile=192)):
        assert row == next_row
        assert strip.shape[1:] == (325, 4)
        assert len(strip) < 192
        next_row += len(strip)
    assert next_row == 3 * 261


def test_a_model_that_needs_the_whole_image_leaves_no_seams():
    ramp = np.broadcast_to(np.linspace(0, 255, 900)[None, :, None], (20, 900, 3)).astype(np.uint8)
    probabilities = predict(*initialised(Brightness()), ramp, tiling=Tiling(tile=192))[..., 0]
    assert np.ptp(probabilities) > 0.2
    # A hard seam would step by the difference of two tiles at once.
    assert np.abs(np.diff(probabilities)).max() < np.ptp(probabilities) / 30
    np.testing.assert_allclose(probabilities - probabilities[:1], 0, atol=1e-6)


def test_tiles_take_one_shape_and_compile_once():
    shapes = []

    class Watched(PixelClassifier):
        def __call__(self, image, *, train: bool):
            shapes.append(image.shape)
            return super().__call__(image, train=train)

    model, variables = initialised(Watched())
    shapes.clear()
    image = np.zeros((500, 700, 3), np.uint8)
    for _ in range(2):
        predict_mask(model, variables, image, tiling=Tiling(tile=192, margin=20))
    assert len(shapes) == 1


def test_larger_images_are_tiled_unasked(pixels: Trained, monkeypatch):
    image = np.repeat(NOISE, 3, axis=0)
    assert len(list(predict_strips(*pixels, image))) == 1
    monkeypatch.setattr(tiling, "WHOLE", 200 * 1000)
    monkeypatch.setattr(tiling, "TILE", 192)
    assert len(list(predict_strips(*pixels, image))) > 3


def test_memory_is_that_of_a_strip():
    model, variables = initialised(PixelClassifier(num_classes=32))
    image = np.random.default_rng(0).integers(0, 256, (2000, 400, 3), np.uint8)
    predict_mask(model, variables, image, tiling=Tiling(tile=192, margin=0))  # compiles
    tracemalloc.start()
    predict_mask(model, variables, image, tiling=Tiling(tile=192, margin=0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    everything = 2000 * 400 * 32 * 4
    assert peak < everything / 4


def test_augmentation_is_the_mean_over_flips_and_scales():
    model = initialised(Slopes())
    image = NOISE[:64, :96].astype(np.float32)
    views = []
    for scale in (1, 0.75, 1.25):
        size = round(64 * scale), round(96 * scale)
        scaled = np.asarray(jax.image.resize(image, (*size, 3), "bilinear"))
        for flip in ((), (1,)):
            probabilities = np.flip(one_pass(*model, np.flip(scaled, flip)), flip)
            views.append(jax.image.resize(probabilities, (64, 96, 3), "bilinear"))
    augmented = predict(*model, image, tiling=Tiling(tta=("hflip", 0.75, "1.25")))
    np.testing.assert_allclose(augmented, np.mean(views, axis=0), atol=1e-5)
    np.testing.assert_allclose(augmented.sum(-1), 1, atol=1e-5)


def test_the_margin_grows_where_the_image_is_scaled_down(unet: Trained, monkeypatch):
    margins = []
    monkeypatch.setattr(prediction, "spans", lambda *given: margins.append(given[2]) or tiling.spans(*given))
    nothing = lambda *arguments: np.zeros((*(len(span.weights) for span in arguments[3:5]), 3))  # noqa: E731
    monkeypatch.setattr(prediction, "_tile", nothing)
    for tta in ((), (1.5,), (0.75, 0.8)):
        next(predict_strips(*unet, NOISE, tiling=Tiling(tile=192, tta=tta)))
    radius = receptive_radius(unet[0])
    assert margins == [radius] * 4 + [math.ceil(radius / 0.75)] * 2


def test_flips_make_every_combination_in_tiles_too(unet: Trained):
    image = NOISE[:256, :320]  # where tiles, flipped, still lie on the pooling grid of the flipped whole
    views = [np.flip(by_hand(*unet, np.flip(image, flip)), flip) for flip in ((), (0,), (1,), (0, 1))]
    augmented = predict(*unet, image, tiling=Tiling(tile=192, tta=("vflip", "hflip", "vflip")))
    np.testing.assert_allclose(augmented, np.mean(views, axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("image", "arguments", "sentence"),
    [
        (NOISE[None], {}, r"one image \(h, w, c\) with pixels in it, but got shape \(1, 261, 325, 3\)"),
        (NOISE[:0], {}, r"got shape \(0, 325, 3\)"),
        (NOISE, {"tile": 100}, "tile is 100, but a tile has at least 192 pixels"),
        (NOISE, {"tile": 192, "margin": 80}, "too small for a margin of 80: take at least 256"),
        (NOISE, {"margin": -1}, "margin is -1, but a margin has at least 0 pixels"),
        (NOISE, {"tta": ["mirror"]}, "tta has 'mirror'; it takes hflip, vflip, and scales from 0.1 to 10"),
        (NOISE, {"tta": [0.0]}, "tta has 0.0"),
        (NOISE, {"tta": ["nan"]}, "tta has 'nan'"),
    ],
)
def test_bad_arguments(pixels: Trained, image: np.ndarray, arguments: dict[str, Any], sentence: str):
    with pytest.raises(InferenceError, match=sentence):
        predict(*pixels, image, tiling=Tiling(**arguments))


@pytest.mark.parametrize("image", [NOISE[None], NOISE[..., 0], NOISE[:0], NOISE[:, :, :0]])
def test_what_is_no_image_is_refused_among_several(pixels: Trained, image: np.ndarray):
    with pytest.raises(InferenceError, match=r"one image \(h, w, c\) with pixels in it, but got shape \("):
        predict_each(*pixels, [NOISE[:8, :8], image])


@pytest.mark.parametrize(("labels", "thresholds"), [(1, (0.5, 0.5)), (3, (0.5,)), (3, (0.5, 0.5))])
def test_every_label_has_a_threshold(labels: int, thresholds: tuple[float, ...]):
    trained = initialised(PixelClassifier(num_classes=labels))
    with pytest.raises(InferenceError, match=f"{len(thresholds)} thresholds are given, .* gives {labels} labels"):
        predict_labels(*trained, NOISE[:8, :8], thresholds)
    with pytest.raises(InferenceError, match=f"{len(thresholds)} thresholds are given for {labels} labels"):
        Labels(("a", "b", "c")[:labels], ((0, 0, 0),) * labels, thresholds)


@pytest.mark.parametrize("colours", [0, 1])
@pytest.mark.parametrize("kind", [Labels, Objects])
def test_every_class_has_a_colour(kind: Any, colours: int):
    with pytest.raises(InferenceError, match=f"palette has {colours} colours for 2 classes: give one for each"):
        kind(("a", "b"), ((0, 0, 0),) * colours)


def test_more_classes_than_a_mask_can_hold():
    model, variables = initialised(PixelClassifier(num_classes=65536))
    assert predict(model, variables, NOISE[:2, :2]).shape == (2, 2, 65536)
    with pytest.raises(InferenceError, match="at most 65535 classes, but the model gives 65536"):
        predict_mask(model, variables, NOISE[:2, :2])


def test_a_device_without_the_memory_says_what_to_do(pixels: Trained, monkeypatch):
    def exhausted(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")

    monkeypatch.setattr(prediction, "_compiled", lambda *_: exhausted)
    with pytest.raises(InferenceError, match=r"288x352 pixels at once are too many .* take a smaller tile"):
        predict(*pixels, NOISE)


@pytest.mark.parametrize("stored", ["uint8", "uint16", "float32"])
def test_images_in_other_numbers_than_the_model_was_trained_on_are_refused(stored: Any):
    model = Normalized(PixelClassifier(), (0.5,) * 3, (0.25,) * 3, stored=stored)
    trained = initialised(model)
    for dtype in ("uint8", "uint16", "float32", "float64", "int32"):
        image = (NOISE[:8, :8] / 255).astype(dtype)
        if dtype == stored:
            assert predict_mask(*trained, image).shape == (8, 8)
            continue
        with pytest.raises(InferenceError, match=f"trained on images of {stored}, and this one is of {dtype} with val"):
            predict_mask(*trained, image)


def test_images_of_other_bands_or_with_gaps_are_refused():
    trained = initialised(Normalized(PixelClassifier(), (0.5,) * 3, (0.25,) * 3, stored="float32"))
    with pytest.raises(InferenceError, match="images of 3 bands, and this one has 4"):
        predict(*trained, np.zeros((8, 8, 4), np.float32))
    with pytest.raises(InferenceError, match="has NaN or infinity"):
        predict(*trained, np.full((8, 8, 3), np.nan, np.float32))


@pytest.mark.parametrize("stored", ["uint8", "uint16", "float32"])
def test_the_receptive_radius_does_not_depend_on_the_numbers_of_images(stored: Any):
    model: Any = Normalized(Slopes(), (0.5,) * 13, (0.25,) * 13, stored=stored)
    assert receptive_radius(model, 13) == 1
