"""Inference: what a trained model says of one image of any size, of image files, and of every frame of a video."""

from segjax.errors import InferenceError
from segjax.inference.box_files import BoxResults, predict_box_files
from segjax.inference.boxes import (
    FittedSource,
    predict_boxes,
    predict_boxes_and_mask,
    predict_boxes_and_mask_of_each,
    predict_boxes_of_each,
)
from segjax.inference.files import Summary, for_each_image
from segjax.inference.found import Found, Labels, Objects, Tells, where_there_is_data
from segjax.inference.mask_files import MaskResults, Probabilities, predict_mask_files
from segjax.inference.prediction import (
    Variables,
    predict,
    predict_each,
    predict_labels,
    predict_mask,
    predict_strips,
)
from segjax.inference.receptive_field import receptive_radius
from segjax.inference.refined import Refined, refined
from segjax.inference.tiling import Tiling
from segjax.inference.video import VideoSummary, predict_video

__all__ = [
    "BoxResults",
    "FittedSource",
    "Found",
    "InferenceError",
    "Labels",
    "MaskResults",
    "Objects",
    "Probabilities",
    "Refined",
    "Summary",
    "Tells",
    "Tiling",
    "Variables",
    "VideoSummary",
    "for_each_image",
    "predict",
    "predict_box_files",
    "predict_boxes",
    "predict_boxes_and_mask",
    "predict_boxes_and_mask_of_each",
    "predict_boxes_of_each",
    "predict_each",
    "predict_labels",
    "predict_mask",
    "predict_mask_files",
    "predict_strips",
    "predict_video",
    "receptive_radius",
    "refined",
    "where_there_is_data",
]
