"""Data sets by name: those that are fetched and built, those of TensorFlow Datasets, and any folder, checked first."""
