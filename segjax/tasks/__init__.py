"""Tasks: what a model predicts, and how that is compared with a batch, counted, scored, drawn and written."""

from collections.abc import Callable, Mapping

from segjax.data import Dataset
from segjax.tasks.detection import Detection, Objects
from segjax.tasks.localization import Localization, OneObject
from segjax.tasks.multitask import MultiTask
from segjax.tasks.options import Options
from segjax.tasks.segmentation import Scores, Segmentation
from segjax.tasks.sigmoid import SigmoidSegmentation
from segjax.tasks.task import Task

TASKS: Mapping[str, Callable[[Dataset], Task]] = {
    "segmentation": Segmentation,
    "sigmoid_segmentation": SigmoidSegmentation,
    "localization": Localization,
    "detection": Detection,
    "multitask": MultiTask,
}
"""Every task by name, each made from a data set."""

__all__ = [
    "TASKS",
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
