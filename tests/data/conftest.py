from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_folder(tmp_path):
    """A function that writes a folder of small images with masks of labels 0 to 2, every image another."""

    def make(names=("a", "b", "c", "d", "e"), images="images", masks="masks", root="set", suffix=".png", mask_end=""):
        top = tmp_path / root
        for number, name in enumerate(names):
            rng = np.random.default_rng(number)
            image = rng.integers(0, 256, (16 + 2 * (number % 2), 20, 3)).astype(np.uint8)
            mask = rng.integers(0, 3, image.shape[:2]).astype(np.uint8)
            save(top / images / f"{name}{suffix}", image)
            save(top / masks / f"{name}{mask_end}.png", mask)
        return top

    return make


def save(path: Path, pixels):
    """Write an array, or bytes, or text, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(pixels, bytes):
        path.write_bytes(pixels)
    elif isinstance(pixels, str):
        path.write_text(pixels, "utf-8")
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(name="save")
def save_fixture():
    """The function `save` of this file."""
    return save
