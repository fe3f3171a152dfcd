"""Faces in photos of crowds, each with its box."""

import optax
from jaxtyping import Array, Float

from segjax import losses, models, upsampling
from segjax.data import Augment, wider_face
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.layers import Normalized
from segjax.tasks import Detection, Objects
from segjax.train import Experiment

MAX_FACES = 2000
"""A picture has up to 1968."""


def experiment(
    upsample: upsampling.Upsampler = "bilinear",
    width: int = 32,
    crop: int = 512,
    steps: int = 50_000,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    evaluate_every: int = 5000,
    seed: int = 0,
) -> Experiment:
    """CenterNet on WIDER FACE: `segjax train experiments/wider_face.py`.

    It has not been trained: no package registry has the set, and its 3.7 GB could not be fetched. No accuracy on faces
    was measured, and the knobs are guesses; it has only been run for two steps, on a few made-up pictures in archives
    like the published ones. It scores all faces of the validation pictures that are not marked invalid, which is none
    of the benchmark's own subsets (easy, medium, hard).

    Args:
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them, up to eight times.
        crop: Height and width of training crops in pixels; photos have 1024 columns.
        steps: Updates of the parameters.
        batch_size: Crops a step, and photos at a time while scoring.
        learning_rate: The highest of a one-cycle cosine schedule.
        weight_decay: AdamW's.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = wider_face()
    stages = ((width,), *((width * times,) * 2 for times in (2, 4, 8, 8)))
    model = models.CenterNet(
        len(data.class_names),
        ConvEncoder(stages),
        UNetDecoder(
            stages[2:-1], upsampling.BY_NAME[upsample], finest_stride=4
        ),  # the heatmap has a quarter of the image's rows and columns
        hidden=2 * width,
    )

    def loss(found: models.Centers, truth: Objects) -> Float[Array, ""]:
        targets = found.targets(truth.boxes, truth.labels, truth.crowd)
        return losses.center_loss(found.heatmap, found.size, found.offset, targets)

    return Experiment(
        model=Normalized(model, mean=(0.48, 0.45, 0.40), std=(0.27, 0.26, 0.27)),
        data=data,
        task=lambda data: Detection(data, max_boxes=MAX_FACES),
        max_boxes=MAX_FACES,
        loss=loss,
        optimizer=optax.chain(
            optax.clip_by_global_norm(10.0),
            optax.adamw(optax.cosine_onecycle_schedule(steps, learning_rate), weight_decay=weight_decay),
        ),
        steps=steps,
        batch_size=batch_size,
        augment=Augment(
            crop=(crop, crop),
            flip_horizontal=True,
            scale=(0.5, 1.5),
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ),
        evaluate_every=evaluate_every,
        seed=seed,
    )
