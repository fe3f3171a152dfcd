"""Data: where records come from, how they are augmented, and how they become batches. NumPy only, no jax."""

from segjax.data.augment import Augment
from segjax.data.batches import MAX_BOXES, Batch, test_batches, train_batches
from segjax.data.check import check
from segjax.data.coco import coco
from segjax.data.folder import FolderDefaults, folder, folder_defaults
from segjax.data.islands import islands
from segjax.data.land_cover import land_cover
from segjax.data.nuclei import nuclei
from segjax.data.record import IGNORE, Dataset, Record, Source
from segjax.data.tfds import oxford_iiit_pet, tfds_dataset
from segjax.data.tfds_boxes import tfds_boxes, wider_face
from segjax.data.trees import trees
from segjax.data.voc import voc
from segjax.errors import DataError

__all__ = [
    "IGNORE",
    "MAX_BOXES",
    "Augment",
    "Batch",
    "DataError",
    "Dataset",
    "FolderDefaults",
    "Record",
    "Source",
    "check",
    "coco",
    "folder",
    "folder_defaults",
    "islands",
    "land_cover",
    "nuclei",
    "oxford_iiit_pet",
    "test_batches",
    "tfds_boxes",
    "tfds_dataset",
    "train_batches",
    "trees",
    "voc",
    "wider_face",
]
