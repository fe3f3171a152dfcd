"""A recipe: how a model is trained, whatever it is and whatever it learns."""

import dataclasses
import math
import typing
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
import optax
from flax import linen as nn

from segjax.data import MAX_BOXES, Augment, Dataset
from segjax.errors import ExperimentError, at_least, counts
from segjax.layers import ConvBlock, with_frozen_encoder
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.task import Task
from segjax.train.augmented import refuse_host_only
from segjax.train.experiment import Experiment, Loss, Unfreezing, refuse_strange_average
from segjax.train.freezing import frozen_parts, stages_of
from segjax.train.inputs import Start
from segjax.train.optimizer import Schedule, apart, kernels, rates_of_encoder, schedule, waiting
from segjax.train.typed import refuse_other_types


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The knobs that every experiment has; the command line takes each as a flag of its own.

    `dtype` and `remat` are for whoever makes the model, who takes `block`, and `start` for `segjax.runs.start_from`;
    `experiment` uses the others.

    Raises:
        ExperimentError: a knob that is out of its range.

    Examples:
        >>> train.Recipe(steps=300, learning_rate=1e-3, ema=0.99).schedule
        'one_cycle'
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
    freeze: str | None = None
    """What of the encoder stays as it starts, statistics too: all, its first stages by their number, such as 2, or
    parts by torch's names, such as conv1,bn1,layer1; None for nothing."""
    unfreeze_at: int | None = None
    """After how many steps what was frozen is trained as well; None for never."""
    encoder_rate: float = 1.0
    """The encoder's learning rate, as a factor of that of the rest."""
    layer_decay: float = 1.0
    """The learning rate in each of the encoder's stages, as a factor of that in the stage after it, and in its last
    stage of that of the rest."""
    augment: Literal["host", "device"] = "host"
    """Where images are augmented: a device takes whole images, all of one size, and knows neither JPEG, elastic, rare
    crops nor mixes."""
    flip_horizontal: bool | None = None
    """This and on: how images are augmented, as `segjax.data.Augment` says; None for the data set's own."""
    flip_vertical: bool | None = None
    """Whether up and down change places in half of the images."""
    quarter_turns: bool | None = None
    """Whether images are turned by 0, 90, 180 or 270 degrees."""
    scale: tuple[float, float] | None = None
    """The least and the greatest magnification."""
    rotate: float | None = None
    """The greatest rotation to either side, in degrees."""
    brightness: float | None = None
    """0.2 for a factor in 0.8 to 1.2."""
    contrast: float | None = None
    """The same about the image's mean grey."""
    saturation: float | None = None
    """The same about each pixel's own grey, of RGB."""
    gamma: float | None = None
    """0.5 for a power between 1/1.5 and 1.5."""
    blur: float | None = None
    """The greatest deviation of a Gaussian in pixels, in half of the images."""
    noise: float | None = None
    """The greatest deviation of noise, as a share of that of each band."""
    jpeg: int | None = None
    """The least quality that half of the images are brought to by JPEG."""
    elastic: float | None = None
    """How many pixels images are bent by at most, for masks."""
    rare_crops: float | None = None
    """The share of crops that are taken where a class is, each of the mask's classes as often."""
    mixup: float | None = None
    """a of Beta(a, a) by whose shares pairs of images are averaged, for masks."""
    cutmix: float | None = None
    """The share of images of which a rectangle is another's."""
    copy_paste: float | None = None
    """The share of images upon which objects of others are pasted."""
    mosaic: float | None = None
    """The share of images that are put together of four."""
    seed: int = 0
    """Decides initial parameters, order of the data, augmentation and dropout."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant, before data and models are made for it."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        refuse_other_types(typing.get_type_hints(type(self)), vars(self), defaults)
        from_one = ("steps", "batch_size", "accumulate", "evaluate_every", "patience", "unfreeze_at")
        counts(1, **{name: getattr(self, name) for name in from_one})
        counts(0, warmup=self.warmup, seed=self.seed)
        at_least(0, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        if self.warmup >= self.steps:
            raise ExperimentError(f"warmup is {self.warmup} steps of {self.steps}; give it fewer than there are.")
        if self.clip is not None and not self.clip > 0:
            raise ExperimentError(f"clip is {self.clip}; it is the largest norm of the gradient, above 0.")
        refuse_strange_average(self.ema)
        self._check_encoder_knobs()
        said = self.augmented(Augment(crop=(1, 1)))  # which rare crops want, and data sets and experiments give
        if said is not None and self.augment == "device":
            refuse_host_only(said)

    def block(self) -> Callable[..., nn.Module]:
        """The block of plain convolutions that encoders and decoders are made of, in the recipe's dtype and remat."""
        return partial(ConvBlock, dtype=jnp.dtype(self.dtype), remat=self.remat)

    def optimizer(self, model: nn.Module, *, unfrozen: bool = False) -> optax.GradientTransformation:
        """AdamW with the recipe's schedule, decay and clipping, and what it says of the model's encoder.

        `unfrozen` asks for the one from the step `unfreeze_at` on, whose state is the same.

        Raises:
            ExperimentError: a knob that is out of its range, or parts that the encoder has not.
        """
        rate = schedule(self.schedule, self.learning_rate, self.steps, self.warmup)
        adamw = partial(
            optax.adamw, weight_decay=self.weight_decay, mask=kernels if self.decayed == "kernels" else None
        )
        whole = adamw(rate)
        if self.freeze is not None:
            still = optax.set_to_zero()
            if self.unfreeze_at is not None:
                begins = self.unfreeze_at
                still = adamw(lambda count: rate(count + begins))
                still = still if unfrozen else waiting(still)
            whole = apart(whole, still, frozen_parts(self.freeze, model))
        if self.clip is not None:
            whole = optax.chain(optax.clip_by_global_norm(self.clip), whole)
        if (self.encoder_rate, self.layer_decay) == (1, 1):
            return whole
        parts = () if self.layer_decay == 1 else stages_of(model)
        return optax.chain(whole, rates_of_encoder(self.encoder_rate, self.layer_decay, parts))

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
        """
        if self.start is not None and start is None:
            raise ExperimentError(
                "This experiment begins with random numbers alone: leave --start out, or let it give "
                "`recipe.experiment` a start, `segjax.runs.start_from(recipe.start, encoder)`."
            )
        trained, unfreezing = model, None
        if self.freeze is not None:
            trained = with_frozen_encoder(model, frozen_parts(self.freeze, model))
        if self.unfreeze_at is not None:
            unfreezing = Unfreezing(self.unfreeze_at, model, self.optimizer(model, unfrozen=True))
        return Experiment(
            model=trained,
            data=data,
            loss=loss,
            optimizer=self.optimizer(model),
            steps=self.steps,
            batch_size=self.batch_size,
            augment=self.augmented(augment),
            augment_on=self.augment,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            seed=self.seed,
            task=task,
            accumulate=self.accumulate,
            ema=self.ema,
            max_boxes=max_boxes,
            start=None if start is None else partial(start.take, model),
            unfreezing=unfreezing,
        )

    def augmented(self, augment: Augment | None) -> Augment | None:
        """The data set's own augmentation, with what the recipe says instead.

        Raises:
            ExperimentError: what cannot be meant.
        """
        fields = {field.name for field in dataclasses.fields(Augment)} & vars(self).keys()
        said = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        try:
            return dataclasses.replace(augment or Augment(), **said) if said else augment
        except ValueError as error:
            raise ExperimentError(str(error)) from None

    def _check_encoder_knobs(self) -> None:
        if not 0 <= self.encoder_rate < math.inf:
            raise ExperimentError(f"encoder_rate is {self.encoder_rate}; it is a factor of the learning rate, from 0.")
        if not 0 < self.layer_decay <= 1:
            raise ExperimentError(
                f"layer_decay is {self.layer_decay}; it is a factor of learning rates, above 0 and up to 1."
            )
        if self.unfreeze_at is None:
            return
        if self.freeze is None:
            raise ExperimentError(
                f"unfreeze_at is {self.unfreeze_at}, and nothing is frozen: say what, such as freeze all."
            )
        if self.unfreeze_at >= self.steps:
            raise ExperimentError(
                f"unfreeze_at is {self.unfreeze_at}; of {self.steps} steps it is one from 1 to {self.steps - 1}."
            )
