"""WIDER FACE, by the builder of TensorFlow Datasets."""

import os

from segjax.data.formats.tfds_boxes import tfds_boxes
from segjax.data.record import Dataset


def wider_face(data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Faces in photos of crowds: 12880 pictures to train, 3226 (those for validation) to test, one class.

    3.7 GB are downloaded from Google Drive when it is opened first; where that refuses, lay the archives where the
    message says. Faces marked invalid are crowd. A picture has up to almost 2000 faces, many of them of few pixels:
    raise `max_boxes`, or train on crops. Yang, Luo, Loy and Tang, WIDER FACE: A Face Detection Benchmark, 2016.
    """
    return tfds_boxes("wider_face", ("face",), test="validation", data_dir=data_dir, download=download)
