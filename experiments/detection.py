"""A box around every object of an image: any data set, encoder and upsampler."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from flax import linen as nn
from jaxtyping import Array, Float

from segjax import decoders, encoders, losses, models, upsampling
from segjax.data import MAX_BOXES, Dataset, Source
from segjax.data import coco as coco_format
from segjax.data.sets.faces import EMOTIONS
from segjax.encoders import ConvEncoder
from segjax.errors import ExperimentError, at_least, counts
from segjax.inference import FittedSource
from segjax.runs import Preset, known_boxes, known_data, start_from
from segjax.tasks import Detection, Objects
from segjax.train import Experiment, Recipe, cropped, normalized


def experiment(
    data: str | Dataset = "trees",
    root: str | None = None,
    train: str | None = None,
    test: str | None = None,
    coco: str | None = None,
    images: str | None = None,
    bands: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    attributes: tuple[str, ...] = (),
    model: Literal["centernet"] | nn.Module = "centernet",
    encoder: str | nn.Module | None = None,
    decoder: str | nn.Module | None = None,
    upsample: upsampling.Upsampler | Callable[..., nn.Module] = "bilinear",
    width: int = 16,
    stride: Literal[2, 4, 8] | None = None,
    hidden: int | None = None,
    crop: int | None = None,
    fit: int | None = None,
    max_boxes: int | None = None,
    attribute_weight: float = 1.0,
    recipe: Recipe = Recipe(steps=2000, weight_decay=1e-2, decayed="all", clip=10.0, evaluate_every=500),
) -> Experiment:
    """Detection: `segjax train detection --data NAME`, one of the presets by its name, or --coco FILE --images DIR.

    A model of your own returns `models.Centers`.

    Args:
        data: The data set by its name, as `segjax data list` has it.
        root: The folder of your images, for labelled, coco and voc, or where a set of TFDS is kept.
        train: The annotations to train on: coco's JSON file, or voc's list.
        test: Those to score on; a fifth of the training images where none are given.
        coco: Annotations of yours in COCO's format, instead of `data`; fit, crop, stride, max_boxes and mosaic are
            worked out from them, and said aloud, where they are not given.
        images: The folder that the file names of `coco` start from; root is where it is now.
        bands: Of labelled: which bands of its images, by number from 1 or by the names of its bands.txt; all without
            opacity where none is named.
        classes: The classes to keep; all where none are named. Of labelled also "vehicle=car+truck" for two as one.
        attributes: The scores of an object to learn, by their names in coco's `attributes`.
        model: The family of the model.
        encoder: Another encoder, by its name in `segjax.encoders.BY_NAME`, instead of plain convolutions;
            `width` is theirs, and the heads'.
        decoder: Another decoder, by its name in `segjax.decoders.BY_NAME`, instead of U-Net's.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them, up to eight times.
        stride: Pixels of the image in a cell of the heatmap, along each axis, where the decoder ends; 4 where nothing
            is worked out.
        hidden: Channels of each head; twice the width where none are given.
        crop: Height and width of training crops in pixels; the data set's own where none is given.
        fit: Side in pixels of the square that every image is fitted into whole, its edge repeated around it.
        max_boxes: How many boxes of an image there is room for, and how many are found at most.
        attribute_weight: How much the loss of the attributes, the mean of theirs, counts beside that of the boxes.
        recipe: How it is trained.
    """
    counts(1, width=width, hidden=hidden, crop=crop, fit=fit, max_boxes=max_boxes)
    at_least(0, attribute_weight=attribute_weight)
    if images is not None and coco is None:
        raise ExperimentError("--images is the folder of the annotations that --coco names: give both, or --root.")
    if coco is not None:
        if train is not None or bands:
            raise ExperimentError("--coco names what is trained on, as photos are: leave --train and --bands out.")
        given = {"crop": crop, "fit": fit, "stride": stride, "max_boxes": max_boxes, "mosaic": recipe.mosaic}
        found = known_boxes(coco, root or images, test=test, given=given)
        names = classes or found.class_names
        data = coco_format(root or images or "", coco, test, class_names=names, attribute_names=attributes)
        fit, crop = fit or (None if crop else found.fit), crop or fit or found.crop
        stride, max_boxes = stride or found.stride, max_boxes or found.max_boxes
        if recipe.mosaic is None:
            recipe = replace(recipe, mosaic=found.mosaic)
    else:
        said = {"train": train, "test": test, "bands": bands, "classes": classes, "attributes": attributes}
        data, found_crop, _ = known_data(data, root, **said)
        crop = crop or found_crop
    stride = stride or 4
    start = start_from(recipe.start, encoder)
    by_stride = not any(isinstance(made, nn.Module) for made in (model, decoder))
    if not isinstance(model, nn.Module):
        block = recipe.block()
        climb = upsampling.named(upsample)
        plain = ConvEncoder(((width,), *((width * times,) * 2 for times in (2, 4, 8, 8))), block)
        model = models.CenterNet(
            len(data.class_names),
            encoders.named(encoder or plain, dtype=recipe.dtype, remat=recipe.remat),
            decoders.named(decoder or "unet", upsample=climb, block=block, finest_stride=stride),
            num_attributes=len(data.attribute_names),
            block=partial(block, norm=None),
            hidden=hidden or 2 * width,
        )

    def loss(found: models.Centers, truth: Objects) -> Float[Array, ""]:
        if by_stride and found.stride != stride:
            raise ExperimentError(
                f"The heatmap has a stride of {found.stride}, not of {stride}, since the encoder has no level that the "
                f"decoder could climb to: give --stride {found.stride}, or another encoder or decoder."
            )
        targets = found.targets(truth.boxes, truth.labels, truth.crowd)
        of_boxes = losses.center_loss(found.heatmap, found.size, found.offset, targets)
        if found.attributes is None or truth.attributes is None:
            return of_boxes
        of_attributes = losses.attribute_cross_entropy(found.attributes, targets.attributes(truth.attributes))
        return of_boxes + attribute_weight * of_attributes

    kept: dict[str, Any] = {} if max_boxes is None else {"max_boxes": max_boxes}
    trained = data
    if fit is not None:
        kept["size"] = (fit, fit)
        trained = replace(data, open=partial(_fitted, data, (fit, fit)))
    return recipe.experiment(
        normalized(model, data, start),
        trained,
        loss,
        augment=cropped(data, crop or fit),
        start=start,
        task=partial(Detection, **kept),
        max_boxes=max_boxes or MAX_BOXES,
    )


def _fitted(data: Dataset, size: tuple[int, int], split: str) -> Source:
    """A split whose training images are fitted; the task fits what it scores, and draws it as it was."""
    source = data.open(split)
    return FittedSource(source, size) if split == "train" else source


PRESETS = {
    "trees": Preset(
        "CenterNet on three photos of forests, scored on a fourth: `segjax train trees`: AP50 0.393 with seed 0.",
    ),
    "islands_many": Preset(
        "CenterNet on tiles of Blue Marble: `segjax train islands_many`: AP50 0.209 on 38 test boxes with seed 0, "
        "which is few to score on and to learn from.",
        data="islands_many",
        stride=2,
        recipe=Recipe(weight_decay=1e-2, decayed="all", clip=10.0, evaluate_every=200),
    ),
    "faces": Preset(
        "CenterNet with eight emotions a face on drawings of OpenMoji, scored on drawings that it was not trained on, "
        "from MobileNetV2's ImageNet weights: `segjax train faces`: AP50 0.975 ± 0.003, and the likeliest emotion is "
        "right for 0.410 ± 0.029 of the faces that were found, over 3 seeds.",
        data="faces",
        encoder="mobilenet_v2",
        decoder="fpn",
        attribute_weight=10.0,
        recipe=Recipe(steps=600, start="imagenet", weight_decay=1e-2, decayed="all", clip=10.0, evaluate_every=400),
    ),
    "wider_face": Preset(
        "CenterNet on WIDER FACE: `segjax train wider_face`. It has not been trained: no package registry has the set, "
        "and its 3.7 GB could not be fetched. No accuracy on faces was measured, and the knobs are guesses; it has "
        "only been run for two steps, on a few made-up images in archives like the published ones. It scores all faces "
        "of the validation images that are not marked invalid, which is none of the benchmark's own subsets "
        "(easy, medium, hard).",
        data="wider_face",
        width=32,
        max_boxes=2000,  # an image has up to 1968
        recipe=Recipe(
            steps=50_000,
            batch_size=16,
            learning_rate=1e-3,
            weight_decay=1e-2,
            decayed="all",
            clip=10.0,
            evaluate_every=5000,
        ),
    ),
    "faces_emotions": Preset(
        "CenterNet with eight scores a face, in coco's format: `segjax train faces_emotions --root DIR --train FILE`. "
        'The annotations\' `attributes` have the scores, of 0 to 1: {"happiness": 0.9, "surprise": 0.2}; a face may '
        'lack any. Its category is "face". No accuracy on photographs of faces was measured, because no package '
        "registry has a set of them; a test takes one gradient on a few made-up images. The knobs are guesses.",
        data="coco",
        classes=("face",),
        attributes=EMOTIONS,
        hidden=64,
        crop=256,
        recipe=Recipe(steps=5000, learning_rate=1e-3, weight_decay=1e-2, decayed="all", clip=10.0, evaluate_every=500),
    ),
}
