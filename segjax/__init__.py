"""A functional JAX/Flax model zoo for semantic segmentation and object localization."""

__version__ = "0.1.0"
