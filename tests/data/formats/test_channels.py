"""nnU-Net's cases: an image whose channels are files."""

import json
from pathlib import Path

import numpy as np
import pytest

from segjax.cli import main
from segjax.data import FolderDefaults, check, folder, folder_defaults
from segjax.data.formats.channels import read_channels
from segjax.errors import DataError

CHANNELS = ("_0000", "_0001")


@pytest.fixture
def root(tmp_path, save) -> Path:
    """Six cases of two channels of 16 bits."""
    for case in range(6):
        rng = np.random.default_rng(case)
        for channel in (0, 1):
            pixels = rng.integers(0, 4096, (20, 24)).astype(np.uint16) + 1000 * channel
            save(tmp_path / "set" / "imagesTr" / f"case_{case:03}_000{channel}.png", pixels)
        save(tmp_path / "set" / "labelsTr" / f"case_{case:03}.png", rng.integers(0, 2, (20, 24)).astype(np.uint8))
    labels = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".png"}
    save(tmp_path / "set" / "dataset.json", json.dumps(labels))
    return tmp_path / "set"


def test_channels_are_bands_at_their_depth(root):
    assert check(root).errors == []
    known = folder_defaults(root)
    assert (known.bands.depth, known.bands.count, known.bands.channels) == ("uint16", 2, CHANNELS)
    assert known.mean[1] - known.mean[0] == pytest.approx(1000 / 65535, abs=2e-4)
    kept = FolderDefaults.from_json(json.loads(json.dumps(known, default=vars)))
    record = folder(root, kept).open("test")[0]
    assert record["image"].shape == (20, 24, 2)
    assert record["image"].dtype == np.uint16
    one = folder(root, folder_defaults(root, ("2",))).open("test")[0]
    np.testing.assert_array_equal(one["image"], record["image"][..., 1:])


def test_a_run_predicts_cases_by_their_first_files(root, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    knobs = "--steps 2 --batch-size 2 --width 4 --depth 1 --evaluate-every 2"
    assert main(["train", "folder", "--root", str(root), "--out", str(run), *knobs.split()]) == 0
    assert main(["predict", str(run), str(root / "imagesTr"), "--out", str(out)]) == 0
    masks = [path.name for path in out.iterdir() if "overlay" not in path.name]
    assert sorted(masks) == [f"case_{case:03}_0000.png" for case in range(6)]
    (root / "imagesTr" / "case_003_0001.png").unlink()
    capsys.readouterr()
    assert main(["predict", str(run), str(root / "imagesTr" / "case_003_0000.png"), "--out", str(out / "b")]) == 1
    said = capsys.readouterr()
    assert said.out == ""  # no folder was made
    assert "case_003_0001.png is not there" in said.err


def test_what_is_missing_or_unlike_is_named(root, save):
    first = root / "imagesTr" / "case_000_0000.png"
    with pytest.raises(DataError, match=r"case_000\.png does not end in _0000"):
        read_channels(root / "labelsTr" / "case_000.png", CHANNELS, None)
    save(root / "imagesTr" / "case_000_0001.png", np.zeros((20, 23), np.uint16))
    with pytest.raises(DataError, match="has 23x20 pixels of uint16, and the first channel has 24x20 pixels of uint16"):
        read_channels(first, CHANNELS, None)
    (root / "imagesTr" / "case_000_0001.png").unlink()
    sentences = [problem.sentence for problem in check(root).errors]
    assert any("case_000_0001.png is not there" in sentence for sentence in sentences)
