"""Tasks: what a model predicts, and how that is compared with a batch, counted, scored, drawn and written."""

from segjax.tasks.detection import Detection, Objects
from segjax.tasks.localization import Localization, OneObject
from segjax.tasks.multitask import MultiTask
from segjax.tasks.options import Options
from segjax.tasks.segmentation import Scores, Segmentation
from segjax.tasks.sigmoid import SigmoidSegmentation
from segjax.tasks.task import Task

__all__ = [
    "Detection",
    "Localization",
    "MultiTask",
    "Objects",
    "OneObject",
    "Options",
    "Scores",
    "Segmentation",
    "SigmoidSegmentation",
    "Task",
]
