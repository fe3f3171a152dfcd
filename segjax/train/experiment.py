"""An experiment: what joins a model, a loss, an optimizer and data."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from segjax.data import MAX_BOXES, Augment, Dataset
from segjax.errors import ExperimentError, counts
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.task import Task
from segjax.train.augmented import refuse_host_only
from segjax.train.state import Variables
from segjax.train.typed import refuse_other_types

Loss = Callable[[Any, Any], Float[Array, ""]]
"""Called as `loss(outputs, targets)`: for segmentation, logits (n h w k) and mask (n h w, 255 = ignore)."""
Which = Literal["last", "best"]
"""One of a run's checkpoints: the newest, or the one with the best headline score on the validation split."""


class Unfreezing(NamedTuple):
    """How a run goes on where something of the model was frozen at first."""

    step: int
    """After how many steps."""
    model: nn.Module
    """With the same variables as the frozen one."""
    optimizer: optax.GradientTransformation
    """With the same state as the one before."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that `train` needs; `train` itself names no model and no loss.

    `model` is called as `model.apply(variables, images, train=...)` on images as the data set stores them (uint8, n h w
    c). `loss` compares what it returns with the targets of the task: for segmentation, logits with a mask.

    Raises:
        ExperimentError: a value of another type than its field's, parts that cannot share the batch evenly, or an
            average that keeps a share that is not in 0..1.
    """

    model: nn.Module
    data: Dataset
    loss: Loss
    optimizer: optax.GradientTransformation
    steps: int
    batch_size: int = 16
    augment: Augment | None = None
    augment_on: Literal["host", "device"] = "host"
    """Where: a device takes whole images, all of one size, and knows neither JPEG, elastic, rare crops nor mixes."""
    evaluate_every: int = 100
    """Steps between two looks at the validation split; a checkpoint is saved before each."""
    patience: int | None = None
    """After how many looks without a better headline score the run stops, and predicts with its best checkpoint; None
    for a run that takes all its steps and predicts with the last one."""
    seed: int = 0
    """Decides the initial parameters, the order of the data, the augmentation and the dropout."""
    task: Callable[[Dataset], Task] = Segmentation
    """What is predicted, and so how outputs are scored and drawn."""
    accumulate: int = 1
    """In how many parts a batch is worked through, one after the other, to save memory; the gradient is their mean."""
    ema: float | None = None
    """How much of the averaged weights a step keeps, such as 0.999; None for no averaged weights. Where there are any,
    they are scored beside the last ones, and are the ones that a run chooses by and predicts with."""
    max_skipped: int = 10
    """After how many steps in a row without a finite loss and gradient the run stops; none of them is applied."""
    max_boxes: int = MAX_BOXES
    """How many boxes of an image a batch has room for, in training and in testing; an image with more is an error."""
    start: Callable[[Variables], Variables] | None = None
    """Makes the variables that training starts from of the model's initial ones, such as by putting trained weights in
    some of their places; called once, and never when a run goes on. None for the initial ones."""
    unfreezing: Unfreezing | None = None
    """What is trained later instead of `model`, and how; None for the same up to the end."""

    def __post_init__(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        refuse_other_types(typing.get_type_hints(type(self)), vars(self), defaults)
        from_one = ("steps", "batch_size", "evaluate_every", "patience", "accumulate", "max_skipped", "max_boxes")
        counts(1, **{name: getattr(self, name) for name in from_one})
        counts(0, seed=self.seed)
        if self.augment is not None and self.augment_on == "device":
            refuse_host_only(self.augment)
        if self.batch_size % self.accumulate:
            raise ExperimentError(
                f"batch_size is {self.batch_size}, which accumulate = {self.accumulate} parts cannot share evenly."
            )
        refuse_strange_average(self.ema)

    @functools.cached_property
    def task_of_data(self) -> Task:
        """The task, made from the data set; it is not opened for that."""
        return self.task(self.data)

    def after(self, step: int) -> "Experiment":
        """What is trained once that many steps are done."""
        if self.unfreezing is None or step < self.unfreezing.step:
            return self
        _, model, optimizer = self.unfreezing
        return dataclasses.replace(self, model=model, optimizer=optimizer)

    @property
    def predicts_with(self) -> Which:
        """Which checkpoint a run predicts with, and so is tested on."""
        return "last" if self.patience is None else "best"


def refuse_strange_average(ema: float | None) -> None:
    """Refuse what cannot be the share of averaged weights that a step keeps; None is for no averages.

    Raises:
        ExperimentError: it is not between 0 and 1.
    """
    if ema is not None and not 0 < ema < 1:
        raise ExperimentError(f"ema is {ema}; it is the share of the average that a step keeps, in 0..1.")


def parameter_count(params: Any) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
