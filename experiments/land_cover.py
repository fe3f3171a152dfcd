"""Land cover from satellite imagery: the first thing to run."""

from typing import Literal

import optax

from segjax import losses, upsampling
from segjax.data import Augment, land_cover
from segjax.layers import Normalized
from segjax.models import UNet
from segjax.train import Experiment


def experiment(
    steps: int = 600,
    batch_size: int = 32,
    learning_rate: float = 4e-3,
    weight_decay: float = 1e-4,
    width: int = 16,
    depth: int = 3,
    skips: bool = True,
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    groups: Literal[4, 7] = 4,
    evaluate_every: int = 100,
    seed: int = 0,
) -> Experiment:
    """U-Net on Blue Marble land cover.

    Args:
        steps: Updates of the parameters.
        batch_size: Tiles a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        weight_decay: AdamW's.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        skips: Whether the decoder sees the encoder's features.
        upsample: The upsampler of the decoder.
        groups: Land cover classes: 4, or the finer 7.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = land_cover(groups=groups)
    model = UNet(
        num_classes=len(data.class_names),
        widths=tuple(width * 2**level for level in range(depth + 1)),
        skips=skips,
        upsample=upsampling.BY_NAME[upsample],
    )
    schedule = optax.cosine_onecycle_schedule(steps, learning_rate)
    return Experiment(
        model=Normalized(model, mean=(0.39, 0.40, 0.40), std=(0.20, 0.17, 0.17), gamma=0.5),
        data=data,
        loss=losses.cross_entropy,
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(flip_horizontal=True, flip_vertical=True),
        evaluate_every=evaluate_every,
        seed=seed,
    )
