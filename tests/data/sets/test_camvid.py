import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segjax.data.checked import checked
from segjax.data.sets.camvid import CLASSES, camvid
from segjax.errors import DataError

module = sys.modules["segjax.data.sets.camvid"]  # `segjax.data.camvid` is the function


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as the published one, with two photographs a split of 4 x 3 pixels."""
    monkeypatch.setattr(module, "COUNTS", dict.fromkeys(("train", "val", "test"), 2))
    for number, split in enumerate(("train", "val", "test")):
        for name in ("photo", "annot"):
            (tmp_path / (split if name == "photo" else f"{split}annot")).mkdir()
        (tmp_path / f"{split}.txt").write_text("")
        for i in range(2):
            image = np.full((3, 4, 3), (number, i, 9), np.uint8)
            Image.fromarray(image).save(tmp_path / split / f"{i}.png")
            mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
            Image.fromarray(np.roll(mask, i)).save(tmp_path / f"{split}annot" / f"{i}.png")
    return tmp_path


def test_records_are_photographs_with_their_masks_and_the_rest_is_ignored(clone: Path):
    for number, split in enumerate(("train", "val", "test")):
        source = camvid(clone).open(split)
        assert len(source) == 2
        assert checked(source).name_of(1) == "1"
        for i in range(2):
            record = source[i]
            assert (record["image"] == (number, i, 9)).all()
            expected = np.roll([*range(11), 255], i).reshape(3, 4)
            np.testing.assert_array_equal(record["mask"], expected)
            assert record["image"].dtype == record["mask"].dtype == np.uint8
    assert camvid().class_names == tuple(CLASSES)


def test_what_is_missing_is_said(clone: Path, monkeypatch: pytest.MonkeyPatch):
    (clone / "val" / "0.png").unlink()
    with pytest.raises(DataError, match=r"val holds 1 of the 2 photographs of CamVid's val split: git clone https"):
        camvid(clone).open("val")
    with pytest.raises(DataError, match=r"nowhere/test holds 0 of the 2"):
        camvid(clone / "nowhere").open("test")
    (clone / "testannot" / "1.png").unlink()
    source = camvid(clone).open("test")
    with pytest.raises(DataError, match=r"1\.png"):
        source[1]
    with pytest.raises(ValueError, match="camvid has the splits train, val and test, not 'all'"):
        camvid(clone).open("all")
    asked = []
    monkeypatch.setattr(module, "fetch_git", lambda *said: asked.append(said) or clone)
    assert len(camvid().open("train")) == 2
    (clone / "train" / "1.png").unlink()
    with pytest.raises(DataError, match=rf"delete {clone} and run again"):
        camvid().open("train")
    assert asked[0][:3] == (module.REPOSITORY, module.COMMIT, "CamVid")
