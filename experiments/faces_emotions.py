"""Faces and their emotions, in any data set of COCO's format."""

from pathlib import Path

import optax
from jaxtyping import Array, Float

from segjax import losses, models, upsampling
from segjax.data import Augment, coco
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.layers import Normalized
from segjax.tasks import Detection, Objects
from segjax.train import Experiment

EMOTIONS = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def experiment(
    images: str,
    train: str,
    test: str | None = None,
    upsample: upsampling.Upsampler = "bilinear",
    width: int = 16,
    crop: int = 256,
    steps: int = 5000,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    evaluate_every: int = 500,
    seed: int = 0,
) -> Experiment:
    """CenterNet with eight scores a face: `segjax train experiments/faces_emotions.py --images DIR --train FILE`.

    The annotations' `attributes` have the scores, of 0 to 1: {"happy": 0.9, "surprise": 0.2}; a face may lack any.
    Its category is "face". No accuracy on faces was measured, because no package registry has a set of faces; a test
    takes one gradient on a few made-up pictures. The knobs are guesses.

    Args:
        images: The folder of the pictures.
        train: The JSON file of annotations to train on.
        test: The one to score on; a fifth of the training pictures where none is given.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them, up to eight times.
        crop: Height and width of training crops in pixels.
        steps: Updates of the parameters.
        batch_size: Crops a step.
        learning_rate: The highest of a one-cycle cosine schedule.
        weight_decay: AdamW's.
        evaluate_every: Steps between two looks at the test split.
        seed: Decides initial parameters, order of the data and augmentation.
    """
    data = coco(
        Path(images).absolute(),
        Path(train).absolute(),
        Path(test).absolute() if test else None,
        class_names=("face",),
        attribute_names=EMOTIONS,
    )
    stages = ((width,), *((width * times,) * 2 for times in (2, 4, 8, 8)))
    model = models.CenterNet(
        len(data.class_names),
        ConvEncoder(stages),
        UNetDecoder(
            stages[2:-1], upsampling.BY_NAME[upsample], finest_stride=4
        ),  # the heatmap has a quarter of the image's rows and columns
        num_attributes=len(EMOTIONS),
        hidden=4 * width,
    )

    def loss(found: models.Centers, truth: Objects) -> Float[Array, ""]:
        assert found.attributes is not None
        assert truth.attributes is not None
        targets = found.targets(truth.boxes, truth.labels, truth.crowd)
        of_emotions = losses.attribute_cross_entropy(found.attributes, targets.attributes(truth.attributes))
        return losses.center_loss(found.heatmap, found.size, found.offset, targets) + of_emotions

    return Experiment(
        model=Normalized(model, mean=(0.48, 0.45, 0.40), std=(0.27, 0.26, 0.27)),
        data=data,
        task=Detection,
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
