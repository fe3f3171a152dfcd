"""Training: experiments, tasks, the loop, run folders, scores and pictures."""

from segjax.errors import ExperimentError
from segjax.train.detection import Detection, Objects
from segjax.train.devices import Layout
from segjax.train.experiment import Experiment, Loss
from segjax.train.interruption import Interrupted
from segjax.train.localization import Localization, OneObject
from segjax.train.loop import train, train_together
from segjax.train.multitask import MultiTask
from segjax.train.optimizer import kernels, schedule
from segjax.train.run import Run
from segjax.train.segmentation import Scores, Segmentation
from segjax.train.task import Task

__all__ = [
    "Detection",
    "Experiment",
    "ExperimentError",
    "Interrupted",
    "Layout",
    "Localization",
    "Loss",
    "MultiTask",
    "Objects",
    "OneObject",
    "Run",
    "Scores",
    "Segmentation",
    "Task",
    "kernels",
    "schedule",
    "train",
    "train_together",
]
