"""Images with a side that OpenCV's remap does not take."""

import cv2
import numpy as np

from segjax.data import Augment, Record
from segjax.data.remap import LIMIT, remapped


def test_parts_are_what_the_whole_is(monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    places = rng.uniform(-20, 70, (33, 37, 2)).astype(np.float32)
    ways = [(cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), (cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)]
    smooth = (np.indices((33, 37)).transpose(1, 2, 0)[..., ::-1] * 2.3 - 9.7).astype(np.float32)
    for at in (places, smooth):
        for flags, border in ways:
            whole = remapped(image, at, flags, border, (9, 9, 9))
            with monkeypatch.context() as small:
                small.setattr("segjax.data.remap.LIMIT", 1)
                small.setattr("segjax.data.remap._PART", 8)
                np.testing.assert_array_equal(remapped(image, at, flags, border, (9, 9, 9)), whole)


def test_a_side_longer_than_opencv_takes_is_bent():
    width = LIMIT + 3000
    mask = np.broadcast_to(np.arange(width) // 200, (8, width)).astype(np.uint16)
    image = np.stack([mask // 256, mask % 256, 0 * mask], axis=-1).astype(np.uint8)
    moved = Augment(elastic=1.0)(Record(image=image, mask=mask), np.random.default_rng(0))
    assert "mask" in moved
    assert moved["mask"].shape == (8, width)
    assert moved["mask"][4, [100, LIMIT, -100]].tolist() == [0, LIMIT // 200, (width - 100) // 200]
    seen = moved["image"].astype(int) @ [256, 1, 0]
    assert (seen == moved["mask"])[1:-1].mean() > 0.99  # but where classes meet, or what is beyond is ignored
