"""Training: experiments, the loop, run folders, scores and pictures."""

from segjax.train.evaluate import Scores
from segjax.train.experiment import Experiment, ExperimentError, Loss, remember
from segjax.train.interruption import Interrupted
from segjax.train.loop import train
from segjax.train.run import Run

__all__ = ["Experiment", "ExperimentError", "Interrupted", "Loss", "Run", "Scores", "remember", "train"]
