"""Training: experiments, recipes, the loop, run folders and scores.

The room can be called, too: `segjax.train(experiment, out="runs/mine")`.
"""

import inspect
import sys
from types import ModuleType

from segjax.errors import ExperimentError
from segjax.train.devices import Layout
from segjax.train.experiment import Experiment, Loss
from segjax.train.inputs import Start, cropped, normalized
from segjax.train.interruption import Interrupted
from segjax.train.loop import train, train_together
from segjax.train.optimizer import kernels, schedule
from segjax.train.recipe import Recipe
from segjax.train.run import Run
from segjax.train.start import train_in

__all__ = [
    "Experiment",
    "ExperimentError",
    "Interrupted",
    "Layout",
    "Loss",
    "Recipe",
    "Run",
    "Start",
    "cropped",
    "kernels",
    "normalized",
    "schedule",
    "train",
    "train_together",
]


class _Room(ModuleType):
    __call__ = staticmethod(train_in)
    __signature__ = inspect.signature(train_in)  # or editors take the experiment for a method's self


sys.modules[__name__].__class__ = _Room
