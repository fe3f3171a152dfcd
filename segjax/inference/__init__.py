"""Inference: what a trained model says of one image of any size, of picture files, and of every frame of a video."""

from segjax.errors import InferenceError
from segjax.inference.box_files import predict_box_files
from segjax.inference.boxes import predict_boxes
from segjax.inference.files import Summary, predict_files
from segjax.inference.prediction import predict, predict_mask, predict_strips
from segjax.inference.receptive_field import receptive_radius
from segjax.inference.video import VideoSummary, predict_video

__all__ = [
    "InferenceError",
    "Summary",
    "VideoSummary",
    "predict",
    "predict_box_files",
    "predict_boxes",
    "predict_files",
    "predict_mask",
    "predict_strips",
    "predict_video",
    "receptive_radius",
]
