"""A recipe: how a model is trained, whatever it is and whatever it learns."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
import optax
from flax import linen as nn

from segjax.data import MAX_BOXES, Augment, Dataset
from segjax.errors import ExperimentError
from segjax.layers import ConvBlock, with_frozen_encoder
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.task import Task
from segjax.train.experiment import Experiment, Loss
from segjax.train.inputs import Start
from segjax.train.optimizer import Schedule, kernels, schedule, with_encoder_rate, with_still_encoder


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The knobs that every experiment has; the command line takes each as a flag of its own.

    `dtype` and `remat` are for whoever makes the model, who takes `block`, and `start` for `segjax.runs.start_from`;
    `experiment` uses the others.
    """

    steps: int = 1000
    """Updates of the parameters."""
    batch_size: int = 8
    """Images a step, or crops of them."""
    learning_rate: float = 2e-3
    """The highest of the schedule."""
    schedule: Schedule = "one_cycle"
    """How the learning rate changes."""
    warmup: int = 0
    """Steps of linear rise before the schedule; one_cycle has its own."""
    weight_decay: float = 1e-4
    """AdamW's."""
    decayed: Literal["kernels", "all"] = "kernels"
    """What decays: kernels, or also biases and the scales of normalisation."""
    clip: float | None = None
    """The largest norm of the gradient; None for any."""
    ema: float | None = None
    """How much of the averaged weights a step keeps, such as 0.99; None for no averages."""
    accumulate: int = 1
    """In how many parts a batch is worked through."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What is computed in; parameters, statistics and loss stay float32."""
    remat: bool = False
    """Whether stages are computed again in the backward pass, to save memory."""
    evaluate_every: int = 250
    """Steps between two scores on the validation split."""
    patience: int | None = None
    """After how many scores without a better one it stops, and takes its best checkpoint; None for all steps."""
    start: str | None = None
    """What it starts from: imagenet for the encoder's own weights, others that `segjax weights` lists, a file of
    weights, hub:OWNER/NAME@REVISION, or another run; None for random numbers."""
    freeze: bool = False
    """Whether the encoder stays as it starts, its statistics too."""
    encoder_rate: float = 1.0
    """The encoder's learning rate, as a factor of that of the rest."""
    seed: int = 0
    """Decides initial parameters, order of the data, augmentation and dropout."""

    def block(self) -> Callable[..., nn.Module]:
        """The block of plain convolutions that encoders and decoders are made of, in the recipe's dtype and remat."""
        return partial(ConvBlock, dtype=jnp.dtype(self.dtype), remat=self.remat)

    def optimizer(self) -> optax.GradientTransformation:
        """AdamW with the recipe's schedule, decay and clipping, and what it says of the encoder.

        Raises:
            ExperimentError: an encoder's rate below 0.
            ValueError: a warm-up that is not shorter than the training.
        """
        rate = schedule(self.schedule, self.learning_rate, self.steps, self.warmup)
        decayed = kernels if self.decayed == "kernels" else None
        adamw = optax.adamw(rate, weight_decay=self.weight_decay, mask=decayed)
        whole = adamw if self.clip is None else optax.chain(optax.clip_by_global_norm(self.clip), adamw)
        if self.encoder_rate < 0:
            raise ExperimentError(f"encoder_rate is {self.encoder_rate}; it is a factor of the learning rate, from 0.")
        if self.freeze:
            return with_still_encoder(whole)
        return whole if self.encoder_rate == 1 else with_encoder_rate(whole, self.encoder_rate)

    def experiment(
        self,
        model: nn.Module,
        data: Dataset,
        loss: Loss,
        *,
        augment: Augment | None = None,
        task: Callable[[Dataset], Task] = Segmentation,
        max_boxes: int = MAX_BOXES,
        start: Start | None = None,
    ) -> Experiment:
        """The experiment that trains this model on this data by this recipe; the arguments are `Experiment`'s.

        `start` is what `segjax.runs.start_from(recipe.start, encoder)` makes of the recipe's.

        Raises:
            ExperimentError: a knob that is out of its range, or one that the experiment does not look at.
            ValueError: a warm-up that is not shorter than the training.
        """
        if self.start is not None and start is None:
            raise ExperimentError(
                "This experiment begins with random numbers alone: leave --start out, or let it give "
                "`recipe.experiment` a start, `segjax.runs.start_from(recipe.start, encoder)`."
            )
        return Experiment(
            model=with_frozen_encoder(model) if self.freeze else model,
            data=data,
            loss=loss,
            optimizer=self.optimizer(),
            steps=self.steps,
            batch_size=self.batch_size,
            augment=augment,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            seed=self.seed,
            task=task,
            accumulate=self.accumulate,
            ema=self.ema,
            max_boxes=max_boxes,
            start=None if start is None else partial(start.take, model),
        )
