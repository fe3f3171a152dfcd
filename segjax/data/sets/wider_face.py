"""WIDER FACE, by the builder of TensorFlow Datasets."""

import os
from dataclasses import replace

from segjax.data.dataset import Dataset
from segjax.data.formats.tfds_boxes import tfds_boxes
from segjax.data.photos import FOR_PHOTOS, OF_PHOTOS


def wider_face(data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Faces in photos of crowds: 11592 images to train, 1288 to validate and 3226 to test, one class.

    The images for testing are those that its authors call validation, because they keep the boxes of theirs for testing
    to themselves. 3.7 GB are downloaded from Google Drive when it is opened first; where that refuses, lay the archives
    where the message says. Faces marked invalid are crowd. An image has up to almost 2000 faces, many of them of few
    pixels: raise `max_boxes`, or train on crops. Yang, Luo, Loy and Tang, WIDER FACE: A Face Detection Benchmark, 2016.
    """
    dataset = tfds_boxes("wider_face", ("face",), test="validation", data_dir=data_dir, download=download)
    return replace(
        dataset,
        statistics=OF_PHOTOS,
        augment=replace(FOR_PHOTOS, crop=(512, 512)),
    )
