"""Training: experiments, the loop, run folders and scores."""

from segjax.errors import ExperimentError
from segjax.train.devices import Layout
from segjax.train.experiment import Experiment, Loss
from segjax.train.interruption import Interrupted
from segjax.train.loop import train, train_together
from segjax.train.optimizer import kernels, schedule
from segjax.train.run import Run

__all__ = [
    "Experiment",
    "ExperimentError",
    "Interrupted",
    "Layout",
    "Loss",
    "Run",
    "kernels",
    "schedule",
    "train",
    "train_together",
]
