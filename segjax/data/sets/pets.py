"""The Oxford-IIIT pets, by the builder of TensorFlow Datasets."""

import os

from segjax.data.formats.tfds import tfds_dataset
from segjax.data.record import Dataset


def oxford_iiit_pet(data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Cats and dogs with trimaps: pet, background, and the border between them; 3680 pictures to train, 3669 to test.

    800 MB are downloaded when it is opened first. Parkhi, Vedaldi, Zisserman and Jawahar, Cats and Dogs, 2012.
    """
    return tfds_dataset(
        "oxford_iiit_pet",
        ("pet", "background", "border"),
        labels=(1, 2, 3),
        palette=((230, 120, 40), (30, 30, 60), (250, 230, 90)),
        data_dir=data_dir,
        download=download,
    )
