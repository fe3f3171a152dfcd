"""One island or lake in a picture: where it is, and which of both."""

from typing import Literal

import optax
from flax import linen as nn
from jaxtyping import Array, Float

from segjax import losses, models
from segjax.data import Augment, islands
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.layers import Normalized
from segjax.tasks import Localization, OneObject
from segjax.train import Experiment
from segjax.upsampling import Bilinear


def experiment(
    way: Literal["regress", "extreme_points", "mask"] = "extreme_points",
    width: int = 12,
    steps: int = 600,
    batch_size: int = 24,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    evaluate_every: int = 150,
    seed: int = 0,
) -> Experiment:
    """One box a picture, on Blue Marble: `segjax train experiments/islands.py`.

    Localization accuracy over seeds 0, 1 and 2: 0.805 ± 0.080 from extreme points, 0.762 ± 0.054 from a mask, 0.505 ±
    0.091 by regression; 75 s a seed on 2 CPU cores. Always to answer with the mean box has a mean IoU of 0.11.

    Args:
        way: How the box is read: by dense layers, from soft-argmaxes of its four extreme points, or from a mask.
        width: Channels at full resolution; every level doubles them, up to eight times.
        steps: Updates of the parameters.
        batch_size: Pictures a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        weight_decay: AdamW's.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = islands("one")
    num_classes = len(data.class_names)
    stages = tuple((width * times,) * 2 for times in (1, 2, 4, 8, 8))
    head: nn.Module
    if way == "regress":
        head = models.RegressedBox()
    elif way == "extreme_points":
        head = models.ExtremePointBox(UNetDecoder(stages[1:-1], Bilinear, finest_stride=2))
    else:
        head = models.MaskBox(1 + num_classes, UNetDecoder(stages[:-1], Bilinear))
    model = models.Localizer(num_classes, ConvEncoder(stages), head)

    def loss(found: models.Located, truth: OneObject) -> Float[Array, ""]:
        of_object = losses.localization_loss(found.box, found.logits, truth.box, truth.label)
        if found.mask is None or truth.mask is None:
            return of_object
        # A mask's box has no gradient. Dice, because most pixels are background, and a timid mask has a small box.
        return of_object + losses.cross_entropy(found.mask, truth.mask) + losses.dice(found.mask, truth.mask)

    return Experiment(
        model=Normalized(model, mean=(0.41, 0.49, 0.48), std=(0.20, 0.16, 0.20), gamma=0.5),
        data=data,
        task=lambda data: Localization(data, size=(64, 64)),
        loss=loss,
        optimizer=optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate), weight_decay=weight_decay),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(
            flip_horizontal=True,
            flip_vertical=True,
            quarter_turns=True,
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ),
        evaluate_every=evaluate_every,
        seed=seed,
    )
