"""Nuclei under a confocal microscope."""

import optax

from segjax import losses, upsampling
from segjax.data import Augment, nuclei
from segjax.layers import ConvBlock, Normalized
from segjax.models import unet
from segjax.train import Experiment


def experiment(
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    width: int = 16,
    depth: int = 3,
    steps: int = 150,
    batch_size: int = 8,
    learning_rate: float = 2e-3,
    evaluate_every: int = 50,
    seed: int = 0,
) -> Experiment:
    """U-Net on slices of a fluorescence volume: `segjax train experiments/nuclei.py`: Dice 0.953 in 4 min on 2 cores.

    Args:
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        steps: Updates of the parameters.
        batch_size: Crops of 128x128 a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = nuclei()
    model = unet(len(data.class_names), width, depth=depth, upsample=upsampling.BY_NAME[upsample], block=ConvBlock)
    return Experiment(
        model=Normalized(model, mean=(0.15,) * 3, std=(0.2,) * 3),
        data=data,
        loss=losses.weighted_sum((1.0, losses.cross_entropy), (1.0, losses.dice)),
        optimizer=optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate)),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(
            crop=(128, 128),
            flip_horizontal=True,
            flip_vertical=True,
            scale=(0.8, 1.25),
            rotate=180,
            brightness=0.3,
            contrast=0.3,
        ),
        evaluate_every=evaluate_every,
        seed=seed,
    )
