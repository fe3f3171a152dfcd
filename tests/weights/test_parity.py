import importlib.util

import numpy as np
import pytest

from segjax.errors import DataError
from segjax.weights import RECORDS
from segjax.weights.parity import photo, references


@pytest.mark.parametrize("name", [name for name in RECORDS if references(name)])
def test_references_are_of_an_even_and_an_odd_size(name: str):
    for run, size in (("china_resized", RECORDS[name].size), ("china_halved", 213)):
        stages = references(name)[run]
        for stage, stride in zip(stages, (2, 4, 8, 16, 32, 32), strict=True):
            assert stage.shape[:2] == (-(-size // stride),) * 2
            assert all(0 <= i < n for *place, _ in stage.probes for i, n in zip(place, stage.shape, strict=True))
            assert max(abs(value) for *_, value in stage.probes) <= stage.largest


def test_an_error_is_a_share_of_the_largest():
    stage = references("mobilenet_v2.imagenet")["china_resized"][0]
    features = np.full(stage.shape, stage.mean)
    worst = max(abs(value - stage.mean) for *_, value in stage.probes)
    assert stage.error(features) == pytest.approx(max(worst, stage.std) / stage.largest)


def test_the_photos_are_what_the_reference_saw():
    """Their means and deviations, normalised, are those of the inputs that torch was given."""
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    for run, expected in {
        "china_resized": (0.51436753, 1.43985779),
        "china_halved": (0.51858271, 1.45299242),
        "chelsea_resized": (-0.04145469, 0.65375429),
        "coffee_resized": (-0.38628889, 1.26437161),
    }.items():
        seen = (photo(run, 224) / 255 - mean) / std
        assert (seen.mean(), seen.std()) == pytest.approx(expected, rel=1e-6)


def test_a_photo_of_a_library_that_is_not_there_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"The photo coffee is scikit-image's.*`pip install scikit-image pillow`"):
        photo("coffee_resized", 224)
