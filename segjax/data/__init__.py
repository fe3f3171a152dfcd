"""Data: where records come from, how they are augmented, and how they become batches. NumPy only, no jax."""

from segjax.data.augment import Augment
from segjax.data.batch import MAX_BOXES, Batch
from segjax.data.batches import test_batches, train_batches
from segjax.data.box_defaults import BoxDefaults, box_defaults
from segjax.data.check import check
from segjax.data.dataset import Dataset
from segjax.data.formats.coco import coco
from segjax.data.formats.tfds import tfds_dataset
from segjax.data.formats.tfds_boxes import tfds_boxes
from segjax.data.formats.voc import voc
from segjax.data.kept import Room, kept
from segjax.data.pack import pack
from segjax.data.record import IGNORE, Record, Source
from segjax.data.sets.camvid import camvid
from segjax.data.sets.faces import faces
from segjax.data.sets.folder import FolderDefaults, folder, folder_defaults
from segjax.data.sets.islands import islands
from segjax.data.sets.labelled import LabelledDefaults, labelled, labelled_defaults
from segjax.data.sets.land_cover import land_cover
from segjax.data.sets.nuclei import nuclei
from segjax.data.sets.packed import packed
from segjax.data.sets.pets import oxford_iiit_pet
from segjax.data.sets.trees import trees
from segjax.data.sets.wider_face import wider_face
from segjax.data.statistics import Statistics
from segjax.errors import DataError
from segjax.mask_numbers import ignored, mask_type

__all__ = [
    "IGNORE",
    "MAX_BOXES",
    "Augment",
    "Batch",
    "BoxDefaults",
    "DataError",
    "Dataset",
    "FolderDefaults",
    "LabelledDefaults",
    "Record",
    "Room",
    "Source",
    "Statistics",
    "box_defaults",
    "camvid",
    "check",
    "coco",
    "faces",
    "folder",
    "folder_defaults",
    "ignored",
    "islands",
    "kept",
    "labelled",
    "labelled_defaults",
    "land_cover",
    "mask_type",
    "nuclei",
    "oxford_iiit_pet",
    "pack",
    "packed",
    "test_batches",
    "tfds_boxes",
    "tfds_dataset",
    "train_batches",
    "trees",
    "voc",
    "wider_face",
]
