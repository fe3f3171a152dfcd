from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.upsampling import scoring
from benchmarks.upsampling.corruptions import CORRUPTIONS
from benchmarks.upsampling.data import Data


def of(run, batch_size=4):
    """Something that scoring takes as a trained network."""
    return SimpleNamespace(
        apply=lambda variables, images: run(images), experiment=SimpleNamespace(batch_size=batch_size)
    )


@pytest.fixture(scope="module")
def squares() -> Data:
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 32, 32), np.uint8)
    for mask in masks:
        top, left = rng.integers(2, 16, 2)
        mask[top : top + 12, left : left + 12] = 1
    images = (np.repeat(masks[..., None], 3, -1) * 60 + 80).astype(np.uint8)
    records = [{"image": image, "mask": mask} for image, mask in zip(images, masks, strict=True)]
    dataset = SimpleNamespace(class_names=("ground", "square"))
    parts = {"train": records, "test": records, "side": 32, "flip_vertical": True, "gamma": 1.0}
    numbers = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "class_weights": (1.0, 1.0)}
    return Data("squares", dataset, **parts, **numbers, probes=images, probe_masks=masks, shown=(0,))  # type: ignore[arg-type]


def by_brightness(images):
    bright = images.mean(-1, keepdims=True).astype(np.float32) / 255 - 0.43
    return 50 * np.concatenate([-bright, bright], -1)


def test_a_network_that_is_right_has_every_score_and_loses_under_corruption(squares):
    scores = scoring.score(of(by_brightness), {}, squares)  # type: ignore[arg-type]
    assert scores["miou"] == scores["boundary_f1"] == 1
    assert scores["boundary_f1_within"] == {"1": 1, "2": 1, "4": 1}
    assert 0 <= scores["calibration_error"] < 0.01
    assert scores["spoiled"].keys() == CORRUPTIONS.keys()
    assert scores["spoiled"]["blur_3"] < scores["spoiled"]["blur_1"] <= 1
    assert scores["spoiled"]["noise_3"] < scores["spoiled"]["noise_1"] < 1


@pytest.mark.parametrize(("off", "within"), [(1, (1, 1, 1)), (3, (0, 0, 1))])
def test_contours_are_met_within_so_many_pixels(squares, off, within):
    """Predictions that are the truth moved to the right: rows of the contour stay, columns are `off` away."""
    scores = scoring.score(of(lambda images: np.roll(by_brightness(images), off, 2)), {}, squares)  # type: ignore[arg-type]
    found = scores["boundary_f1_within"]
    assert tuple(found[pixels] == 1 for pixels in "124") == tuple(map(bool, within))
    assert found["1"] <= found["2"] <= found["4"]


def test_what_each_pixel_says_by_itself_moves_with_the_image_and_what_pools_does_not(squares):
    assert scoring.shifted(of(by_brightness), {}, squares) == {"classes": 0, "logits": 0}  # type: ignore[arg-type]

    def pooled(images):
        coarse = by_brightness(images).reshape(-1, 8, 4, 8, 4, 2).mean((2, 4))
        return coarse.repeat(4, 1).repeat(4, 2)

    moved = scoring.shifted(of(pooled), {}, squares)  # type: ignore[arg-type]
    assert 0.01 < moved["classes"] < 0.5
    assert 0.1 < moved["logits"] < 1


def test_corruptions_are_what_they_say():
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    noise = CORRUPTIONS["noise_1"](grey).astype(float) - 128
    assert noise.std() == pytest.approx(0.08 * 255, rel=0.05)
    assert np.array_equal(CORRUPTIONS["noise_1"](grey), CORRUPTIONS["noise_1"](grey))
    point = np.zeros((1, 33, 33, 3), np.uint8)
    point[0, 16, 16] = 255
    blurred = CORRUPTIONS["blur_1"](point)
    assert blurred[0, 16, 16, 0] == pytest.approx(255 / (2 * np.pi), abs=2)
    for name in ("blur_1", "blur_3", "jpeg_1", "jpeg_3"):
        assert abs(CORRUPTIONS[name](grey).astype(int) - 128).max() <= 2
    edge = np.zeros((1, 32, 32, 3), np.uint8)
    edge[:, :, 13:] = 200
    off = {name: abs(CORRUPTIONS[name](edge).astype(int) - edge).mean() for name in ("jpeg_1", "jpeg_3")}
    assert 0 < off["jpeg_1"] < off["jpeg_3"]
