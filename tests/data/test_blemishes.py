import numpy as np
import pytest

from segjax.data import Augment, DataError, Record
from segjax.data.blemishes import as_jpeg, blurred, noisy, smooth_displacement, with_gamma


def images(height: int = 40, width: int = 56) -> list[np.ndarray]:
    """One of each depth, of one, three and seven bands, all with the numbers 0 to 200 times a factor."""
    rng = np.random.default_rng(0)
    kinds = ((np.uint8, 1, 3), (np.uint16, 200, 7), (np.float32, 0.01, 1))
    return [(rng.integers(0, 201, (height, width, bands)) * by).astype(dtype) for dtype, by, bands in kinds]


@pytest.mark.parametrize("image", images(), ids=lambda one: str(one.dtype))
def test_every_depth_and_number_of_bands_stays_what_it_is(image: np.ndarray):
    rng = np.random.default_rng(1)
    darker, soft, grainy = with_gamma(image, 2.0), blurred(image, 2.0), noisy(image, 0.5, rng)
    for changed in (darker, soft, grainy):
        assert (changed.dtype, changed.shape) == (image.dtype, image.shape)
    high = float(image.max())
    np.testing.assert_allclose(darker, (image / high) ** 2 * high, atol=0.51 if image.dtype.kind == "u" else 1e-5)
    np.testing.assert_allclose(soft.mean(axis=(0, 1)), image.mean(axis=(0, 1)), rtol=0.1)
    assert soft.std() < image.std() / 4
    inner = (image > 0.3 * high) & (image < 0.7 * high)  # what is not clipped
    added = (grainy.astype(np.float64) - image)[inner]
    assert added.std() == pytest.approx(0.5 * image.std(), rel=0.1)


def test_gamma_leaves_each_band_of_floating_point_in_its_own_range():
    """Kelvin beside an index of -1 to 1, as bands of one image."""
    rng = np.random.default_rng(0)
    bands = (
        rng.normal(300, 5, (32, 32)),
        rng.uniform(-1, 1, (32, 32)),
        rng.normal(-20, 3, (32, 32)),
        np.full((32, 32), -7),
    )
    image = np.stack(bands, axis=-1).astype(np.float32)
    for exponent in (0.5, 2.0):
        changed = with_gamma(image, exponent)
        assert changed.dtype == np.float32
        np.testing.assert_allclose(changed.max(axis=(0, 1)), image.max(axis=(0, 1)), rtol=1e-5)
        assert (changed.min(axis=(0, 1)) >= np.minimum(image.min(axis=(0, 1)), 0) - 1e-4).all()
        alone = np.concatenate([with_gamma(image[..., [band]], exponent) for band in range(4)], axis=-1)
        np.testing.assert_array_equal(changed, alone)
        assert (np.argsort(changed[..., 1], axis=None) == np.argsort(image[..., 1], axis=None)).all()


def test_a_jpeg_is_of_8_bits_and_keeps_the_order_of_colours():
    image = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    np.testing.assert_allclose(as_jpeg(image, 90), image, atol=4)
    assert as_jpeg(image[..., :1], 90).shape == (32, 32, 1)
    with pytest.raises(DataError, match="of uint16 and 3 bands cannot be a JPEG"):
        as_jpeg(image.astype(np.uint16), 90)


def test_what_is_bent_is_bent_alike_in_image_and_mask():
    rng = np.random.default_rng(0)
    mask = np.zeros((96, 96), np.uint8)
    mask[30:60, 30:60] = 1
    record = Record(image=np.repeat(mask[..., None] * np.uint8(200), 5, axis=2), mask=mask)
    bent = Augment(elastic=6.0)(record, rng)
    assert bent["image"].shape == record["image"].shape
    assert (bent["mask"] != mask).any()
    half = np.abs(bent["image"][..., 4] - 100.0) < 10  # of two pixels that are as near, within OpenCV's 1/32
    counted = (bent["mask"] != 255) & ~half
    assert counted.mean() > 0.8
    np.testing.assert_array_equal((bent["image"][..., 4] >= 100)[counted], (bent["mask"] == 1)[counted])
    boxes = Record(image=record["image"], boxes=np.ones((1, 4), np.float32), labels=np.zeros(1, np.int32))
    with pytest.raises(DataError, match="leave elastic out where there are boxes"):
        Augment(elastic=1.0)(boxes, rng)


@pytest.mark.parametrize("side", [8, 40, 200])
def test_a_bend_is_as_smooth_in_small_crops_and_no_greater_than_it_is_said(side: int):
    steps = []
    for seed in range(20):
        bent = smooth_displacement((side, side), 6.0, np.random.default_rng(seed))
        assert bent.shape == (side, side, 2)
        assert np.abs(bent).max() <= 6
        steps.append(np.abs(np.diff(bent, axis=0)).max())
    assert max(steps) < 0.8  # so that no pixel passes its neighbour


def test_noise_is_a_share_of_the_deviation_of_a_large_band_far_from_0():
    rng = np.random.default_rng(0)
    image = (30000 + 100 * rng.standard_normal((512, 512, 5))).astype(np.uint16)
    added = noisy(image, 1.0, rng).astype(np.float64) - image
    np.testing.assert_allclose(added.std(axis=(0, 1)), image.std(axis=(0, 1), dtype=np.float64), rtol=0.02)


def test_a_knob_leaves_what_others_draw_as_it_is():
    record = Record(image=images(64, 64)[0], mask=np.zeros((64, 64), np.uint8))
    record["mask"][10:20, 40:] = 1
    plain, more = Augment(crop=(32, 32), rotate=20), Augment(crop=(32, 32), rotate=20, noise=0.1, blur=2.0, gamma=0.5)
    for seed in range(3):
        one, other = (augment(record, np.random.default_rng(seed)) for augment in (plain, more))
        np.testing.assert_array_equal(one["mask"], other["mask"])
        assert (one["image"] != other["image"]).any()


@pytest.mark.parametrize("scale", [1.0, 0.8, 1.6])
@pytest.mark.parametrize("overlapping", [False, True])
def test_crops_are_taken_where_a_rare_class_is(scale: float, overlapping: bool):
    """One pixel of ten thousand is in half of the crops."""
    mask = np.zeros((100, 120), np.uint8)
    mask[97:99, 1:3] = 2
    mask[0] = 255
    if overlapping:
        mask = (mask[..., None] == (0, 2)).astype(np.uint8)
    record = Record(image=np.full((100, 120, 3), 9, np.uint8), mask=mask)
    augment = Augment(crop=(24, 32), rare_crops=1.0, flip_horizontal=True, flip_vertical=True, scale=(scale, scale))
    crops = [augment(record, np.random.default_rng(seed))["mask"] for seed in range(100)]
    rare = [(crop[..., 1] == 1).any() if overlapping else (crop == 2).any() for crop in crops]
    assert 35 <= sum(rare) <= 65
    if not overlapping:
        assert all((crop[2:-2] != 255).any(axis=1).all() for crop in crops)  # nothing of them lies outside
