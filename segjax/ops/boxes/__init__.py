"""Boxes: their forms, overlaps, non-maximum suppression, letterboxes, and the boxes of masks.

A box is (x, y, w, h): its upper left corner and its size in pixels, where the first pixel is the square from (0, 0) to
(1, 1); only `convert` knows others. A size below 0 counts as 0. Everything works under jit, vmap and grad, takes boxes
of any real type, and computes and returns float32 or wider: bfloat16 cannot tell pixel 257 from 258.
"""

from segjax.ops.boxes.detections import Detections
from segjax.ops.boxes.forms import Form, area, clip, convert
from segjax.ops.boxes.letterbox import Letterbox, letterbox
from segjax.ops.boxes.masks import from_mask, from_probabilities
from segjax.ops.boxes.nms import nms
from segjax.ops.boxes.overlap import Overlap, ciou, diou, giou, iou, pairwise
from segjax.ops.boxes.soft_nms import SoftNMS, soft_nms

__all__ = [
    "Detections",
    "Form",
    "Letterbox",
    "Overlap",
    "SoftNMS",
    "area",
    "ciou",
    "clip",
    "convert",
    "diou",
    "from_mask",
    "from_probabilities",
    "giou",
    "iou",
    "letterbox",
    "nms",
    "pairwise",
    "soft_nms",
]
