"""Your own pictures: any folder of images and masks."""

from dataclasses import asdict

import numpy as np
import optax

from segjax import losses, upsampling
from segjax.data import Augment, FolderDefaults, folder, folder_defaults
from segjax.layers import ConvBlock, Normalized
from segjax.models import unet
from segjax.runs import remember
from segjax.train import Experiment


def experiment(
    root: str,
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    width: int = 16,
    depth: int = 4,
    crop: int | None = None,
    class_balance: bool = True,
    steps: int = 1000,
    batch_size: int = 8,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-4,
    evaluate_every: int = 250,
    seed: int = 0,
) -> Experiment:
    """U-Net on a folder with images/ and masks/: `segjax train experiments/folder.py --root PATH`.

    Classes, crop, normalisation and class weights are worked out from the folder, and kept in the run.

    Args:
        root: The folder; `segjax data check` says whether it is fit to train on.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        crop: Height and width of training crops in pixels; worked out from the images where none is given.
        class_balance: Whether rare classes weigh more, by median frequency.
        steps: Updates of the parameters.
        batch_size: Crops a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        weight_decay: AdamW's.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    facts = FolderDefaults.from_json(remember("folder", lambda: asdict(folder_defaults(root))))
    for note in facts.notes:
        print(note)
    weights = np.array(facts.class_weights) if class_balance else None
    model = unet(len(facts.class_names), width, depth=depth, upsample=upsampling.BY_NAME[upsample], block=ConvBlock)
    side = crop or facts.crop
    return Experiment(
        model=Normalized(model, mean=facts.mean, std=facts.std),
        data=folder(root, facts),
        loss=lambda logits, mask: losses.cross_entropy(logits, mask, class_weights=weights),
        optimizer=optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate), weight_decay=weight_decay),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(
            crop=(side, side),
            flip_horizontal=True,
            scale=(0.75, 1.5),
            rotate=10,
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ),
        evaluate_every=evaluate_every,
        seed=seed,
    )
