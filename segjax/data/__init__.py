"""Data: where records come from, how they are augmented, and how they become batches. NumPy only, no jax."""

from segjax.data.augment import Augment
from segjax.data.batches import Batch, test_batches, train_batches
from segjax.data.land_cover import land_cover
from segjax.data.record import IGNORE, DataError, Dataset, Record, Source

__all__ = [
    "IGNORE",
    "Augment",
    "Batch",
    "DataError",
    "Dataset",
    "Record",
    "Source",
    "land_cover",
    "test_batches",
    "train_batches",
]
