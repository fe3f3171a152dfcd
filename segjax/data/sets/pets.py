"""The Oxford-IIIT pets, by the builder of TensorFlow Datasets."""

import os
from dataclasses import replace

from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.formats.tfds import tfds_dataset
from segjax.data.photos import OF_PHOTOS


def oxford_iiit_pet(data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Cats and dogs with trimaps: pet, background, and the border between them.

    3312 images to train, 368 to validate and 3669 to test.
    800 MB are downloaded when it is opened first. Parkhi, Vedaldi, Zisserman and Jawahar, Cats and Dogs, 2012.
    """
    dataset = tfds_dataset(
        "oxford_iiit_pet",
        ("pet", "background", "border"),
        labels=(1, 2, 3),
        palette=((230, 120, 40), (30, 30, 60), (250, 230, 90)),
        data_dir=data_dir,
        download=download,
    )
    return replace(
        dataset,
        statistics=OF_PHOTOS,
        augment=Augment(
            crop=(224, 224), flip_horizontal=True, scale=(0.5, 1.5), rotate=10, brightness=0.3, contrast=0.3
        ),
    )
