"""Cats and dogs: a set that TFDS has, by name."""

import optax

from segjax import losses, upsampling
from segjax.data import Augment, oxford_iiit_pet
from segjax.layers import ConvBlock, Normalized
from segjax.models import unet
from segjax.train import Experiment


def experiment(
    data_dir: str | None = None,
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    width: int = 32,
    depth: int = 4,
    crop: int = 224,
    steps: int = 5000,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    evaluate_every: int = 1000,
    seed: int = 0,
) -> Experiment:
    """U-Net on the Oxford-IIIT pets' trimaps: `segjax train experiments/pets_unet.py`.  Not measured.

    Args:
        data_dir: Where TFDS keeps its data; its own folder where none is given. 800 MB are downloaded once.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        crop: Height and width of training crops in pixels.
        steps: Updates of the parameters.
        batch_size: Crops a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = oxford_iiit_pet(data_dir)
    model = unet(len(data.class_names), width, depth=depth, upsample=upsampling.BY_NAME[upsample], block=ConvBlock)
    return Experiment(
        model=Normalized(model, mean=(0.48, 0.45, 0.40), std=(0.27, 0.26, 0.27)),
        data=data,
        loss=losses.cross_entropy,
        optimizer=optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate)),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(
            crop=(crop, crop), flip_horizontal=True, scale=(0.5, 1.5), rotate=10, brightness=0.3, contrast=0.3
        ),
        evaluate_every=evaluate_every,
        seed=seed,
    )
