from pathlib import Path

import numpy as np
import pytest

from segjax.data import DataError, folder, folder_defaults
from segjax.data.formats.numberings import IDS, TRAIN_IDS

RNG = np.random.default_rng(0)


def image() -> np.ndarray:
    return RNG.integers(0, 256, (16, 20, 3)).astype(np.uint8)


@pytest.mark.parametrize("ends", [(TRAIN_IDS,), (IDS,), (IDS, TRAIN_IDS, "_gtFine_instanceIds", "_gtFine_color")])
def test_cityscapes_is_read_as_it_is(tmp_path: Path, save, ends: tuple[str, ...]):
    """Ids of a road, a car, and the car's own bonnet; the classes 0, 13 and none."""
    ids = np.repeat(np.array([7, 26, 1, 7], np.uint8), 5)[None].repeat(16, 0)
    train_ids = np.select([ids == 7, ids == 26], [0, 13], 255).astype(np.uint8)
    for split in ("train", "val"):
        for n in range(3):
            name = f"bonn_{n:06d}_000019"
            save(tmp_path / "leftImg8bit" / split / "bonn" / f"{name}_leftImg8bit.png", image())
            for end in ends:
                mask = train_ids if end == TRAIN_IDS else ids
                save(tmp_path / "gtFine" / split / "bonn" / f"{name}{end}.png", mask)
    data = folder(tmp_path)
    assert (len(data.class_names), data.class_names[0], data.class_names[13]) == (19, "road", "car")
    np.testing.assert_array_equal(data.open("test")[0]["mask"], train_ids)


def test_ade20k_is_read_as_it_is(tmp_path: Path, save):
    names = ["wall", "screen, silver screen", "screen, crt screen"]
    rows = [f"{n}\t0.1\t9\t9\t1\t{name}" for n, name in enumerate(names, 1)]
    save(tmp_path / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n" + "\n".join(rows))
    stored = RNG.integers(0, 4, (16, 20)).astype(np.uint8)
    for split in ("training", "validation"):
        for n in range(3):
            save(tmp_path / "images" / split / f"ADE_{n}.jpg", image())
            save(tmp_path / "annotations" / split / f"ADE_{n}.png", stored)
    data = folder(tmp_path, folder_defaults(tmp_path, classes=("wall", *names[1:])))
    assert data.class_names == ("wall", *names[1:])
    np.testing.assert_array_equal(data.open("test")[0]["mask"], stored - np.uint8(1))  # 0 becomes 255
    save(tmp_path / "objectInfo150.txt", "Idx\tName\n2\twall\n3\tsky")
    with pytest.raises(DataError, match=r"objectInfo150\.txt does not number its classes 1, 2, 3"):
        folder(tmp_path)


def test_a_split_without_truth_is_refused(make_folder, save):
    root = make_folder("abcdef")
    for name, lines in (("train", "a\nb\nc"), ("val", "d"), ("test", "e\nf")):
        save(root / "splits" / f"{name}.txt", lines)
    for name in "ef":
        save(root / "masks" / f"{name}.png", np.full((16 + 2 * ("abcdef".index(name) % 2), 20), 255, np.uint8))
    with pytest.raises(DataError, match="has not one pixel of a class in its test masks"):
        folder(root)
