"""Inference: what a trained model says of one image of any size, and of picture files."""

from segjax.inference.context import receptive_radius
from segjax.inference.errors import InferenceError
from segjax.inference.files import Summary, predict_files
from segjax.inference.prediction import predict, predict_mask, predict_strips

__all__ = [
    "InferenceError",
    "Summary",
    "predict",
    "predict_files",
    "predict_mask",
    "predict_strips",
    "receptive_radius",
]
