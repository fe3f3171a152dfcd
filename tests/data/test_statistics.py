import numpy as np
import pytest

from segjax.data import Record, Statistics
from segjax.data.statistics import measure, median_frequency_weights, pooled, spread, training_crop
from segjax.errors import DataError


def source(sizes):
    rng = np.random.default_rng(0)
    return [
        Record(image=rng.integers(0, 256, (*size, 3)).astype(np.uint8), mask=rng.integers(0, 3, size).astype(np.uint8))
        for size in sizes
    ]


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_statistics_are_those_of_all_pixels(gamma):
    records = source([(40, 50), (33, 70), (64, 40)])
    records[1]["mask"][:] = 255
    records[2]["mask"][records[2]["mask"] == 2] = 0
    found = measure(records, 3, gamma=gamma)
    pixels = np.concatenate([record["image"].reshape(-1, 3) / 255 for record in records]) ** gamma
    np.testing.assert_allclose(found.images.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.images.std, pixels.std(0), rtol=1e-9)
    assert found.images.gamma == gamma
    assert found.crop == 32
    counts = np.array([np.bincount(record["mask"].ravel(), minlength=256)[:3] for record in records])
    assert found.class_weights == median_frequency_weights(counts)


def test_the_deviation_of_one_colour_is_not_zero():
    assert pooled(np.full((2, 1), 0.3), np.zeros((2, 1)), np.array([5, 5])) == Statistics((0.3,), (1 / 255,))


def test_weights_are_the_median_frequency_over_each():
    # By hand: the frequencies are 40 of 100, 60 of 100 and 60 of 60 pixels, and no mask has the last class.
    counts = np.array([[40, 60, 0, 0], [0, 0, 60, 0]])
    assert median_frequency_weights(counts) == (0.6 / 0.4, 1.0, 0.6, 1.0)
    assert max(median_frequency_weights(np.array([[1, 10**4, 10**4]]))) == 10


def test_records_are_spread_over_the_source():
    assert spread(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert spread(101, 3).tolist() == [0, 50, 100]


@pytest.mark.parametrize(("size", "crop"), [((31, 900), 32), ((100, 300), 96), ((512, 400), 256)])
def test_crops_fit_the_images(size, crop):
    assert training_crop(np.array([size] * 3)) == crop


def test_a_source_without_masks_is_refused():
    with pytest.raises(DataError, match="A record has no mask"):
        measure([Record(image=np.zeros((4, 4, 3), np.uint8))], 2)
