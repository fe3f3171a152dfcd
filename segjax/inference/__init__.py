"""Inference: what a trained model says of one image of any size, of image files, and of every frame of a video."""

from segjax.errors import InferenceError
from segjax.inference.box_files import BoxResults, predict_box_files
from segjax.inference.boxes import FittedSource, predict_boxes, predict_boxes_and_mask
from segjax.inference.files import Summary, for_each_image
from segjax.inference.mask_files import MaskResults, Probabilities, predict_mask_files
from segjax.inference.prediction import Variables, predict, predict_labels, predict_mask, predict_strips
from segjax.inference.receptive_field import receptive_radius
from segjax.inference.tiling import Tiling
from segjax.inference.video import VideoSummary, predict_video

__all__ = [
    "BoxResults",
    "FittedSource",
    "InferenceError",
    "MaskResults",
    "Probabilities",
    "Summary",
    "Tiling",
    "Variables",
    "VideoSummary",
    "for_each_image",
    "predict",
    "predict_box_files",
    "predict_boxes",
    "predict_boxes_and_mask",
    "predict_labels",
    "predict_mask",
    "predict_mask_files",
    "predict_strips",
    "predict_video",
    "receptive_radius",
]
