"""Data: where records come from, how they are augmented, and how they become batches. NumPy only, no jax."""

from segjax.data.record import IGNORE, DataError, Dataset, Record, Source

__all__ = ["IGNORE", "DataError", "Dataset", "Record", "Source"]
