"""A class for every pixel: any data set, model, encoder, upsampler and loss."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import numpy as np
from flax import linen as nn

from segjax import decoders, encoders, losses, models, upsampling
from segjax.data import Dataset
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.errors import ExperimentError, counts
from segjax.runs import Preset, known_data, start_from
from segjax.tasks import Segmentation, SigmoidSegmentation
from segjax.train import Experiment, Loss, Recipe, cropped, normalized

Model = Literal["unet", "segnet", "fcn", "full_resolution"]
SoftmaxLoss = Literal[
    "cross_entropy",
    "focal",
    "ohem_cross_entropy",
    "dice",
    "jaccard",
    "tversky",
    "focal_tversky",
    "lovasz_softmax",
]
SigmoidLoss = Literal[
    "binary_cross_entropy",
    "sigmoid_focal",
    "sigmoid_dice",
    "sigmoid_jaccard",
    "sigmoid_tversky",
    "lovasz_hinge",
    "sigmoid_boundary",
]
MaskLoss = Literal[SoftmaxLoss, SigmoidLoss]
OWN_UPSAMPLER = {"unet": "conv_transpose_2x2", "fcn": "conv_transpose_3x3", "segnet": "max_unpool"}
WEIGHTED = {"cross_entropy": "class_weights", "focal": "class_weights", "binary_cross_entropy": "positive_weights"}
"""Losses that take a weight for every class or label, and as what."""
OF_SIGMOIDS = get_args(SigmoidLoss)
"""Losses of labels that may overlap, and of two classes by one logit."""


def experiment(
    data: str | Dataset = "land_cover",
    root: str | None = None,
    bands: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    fold: int | None = None,
    labels: Literal["exclusive", "overlapping"] = "exclusive",
    groups: Literal[4, 7] | None = None,
    model: Model | nn.Module = "unet",
    encoder: str | nn.Module | None = None,
    decoder: str | nn.Module | None = None,
    upsample: upsampling.Upsampler | Callable[..., nn.Module] | None = None,
    skips: bool = True,
    width: int = 16,
    depth: int = 3,
    loss: tuple[MaskLoss, ...] | Loss | None = None,
    class_balance: bool = False,
    crop: int | None = None,
    recipe: Recipe = Recipe(),
) -> Experiment:
    """Segmentation: `segjax train segmentation --data NAME`, or one of the presets by its name.

    Args:
        data: The data set by its name, as `segjax data list` has it.
        root: The folder of your images and masks, or where a set of TFDS is kept.
        bands: Of a folder or of labelled: which bands of its images, by number from 1 or by the names of its
            bands.txt; all without opacity where none is named.
        classes: Of a folder or of labelled: the classes to keep, "car" or "vehicle=car+truck" for two as one; all where
            none is named. What else is in the masks of a folder is ignored.
        fold: Of a folder: which of the folds that `segjax data split PATH --folds K` wrote.
        labels: Of labelled: whether a pixel has one class, that of the smallest object, or each class whose objects are
            there.
        groups: Of land cover: 4 classes, or the finer 7.
        model: The family of the model.
        encoder: Another encoder, by its name in `segjax.encoders.BY_NAME`, instead of plain convolutions;
            `width` and `depth` are theirs alone, and `segnet` and `full_resolution` take none.
        decoder: Another decoder, by its name in `segjax.decoders.BY_NAME`, instead of `unet`'s; `skips` is theirs.
        upsample: The upsampler of the decoder; its own where none is named.
        skips: Whether U-Net's decoder sees the encoder's features.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        loss: What is minimised; the sum of those that are named, cross_entropy or, of labels that may overlap,
            binary_cross_entropy where none is. Losses of a sigmoid give a data set of two classes one logit.
        class_balance: Whether rare classes weigh more, by median frequency, or rare labels that may overlap; for a
            folder.
        crop: Height and width of training crops in pixels; the data set's own where none is given.
        recipe: How it is trained.
    """
    counts(1, width=width, crop=crop)
    counts(0, depth=depth, fold=fold)
    if labels == "overlapping" and data != "labelled":
        raise ExperimentError(
            "A folder says by its masks whether labels overlap, and other sets do, too: leave --labels out."
        )
    drawn = ("multilabel" if labels == "overlapping" else True) if data == "labelled" else None
    said = {"bands": bands, "classes": classes, "fold": fold, "groups": groups, "masks": drawn}
    data, found_crop, found_weights = known_data(data, root, **said)
    if class_balance and not found_weights:
        raise ExperimentError(
            f"Class weights are worked out of a folder of masks, and {data.name} has none: leave --class-balance out."
        )
    weights = np.array(found_weights) if class_balance else None
    start = start_from(recipe.start, encoder)
    loss = loss or (("binary_cross_entropy",) if data.multilabel else ("cross_entropy",))
    sigmoids = data.multilabel if callable(loss) else of_sigmoids(loss, data)
    if weights is not None and sigmoids and not data.multilabel:
        weights = weights[1:] / weights[0]  # of the one logit
    if not isinstance(model, nn.Module):
        logits = 1 if sigmoids and not data.multilabel else len(data.class_names)
        model = network(logits, model, encoder, decoder, upsample, skips, width, depth, recipe)
    loss = loss if callable(loss) else sum_of(loss, weights)
    task = SigmoidSegmentation if sigmoids else Segmentation
    model = normalized(model, data, start)
    return recipe.experiment(model, data, loss, augment=cropped(data, crop or found_crop), task=task, start=start)


def of_sigmoids(names: tuple[MaskLoss, ...], data: Dataset) -> bool:
    """Whether losses are of sigmoids, as those of labels that may overlap must be."""
    others = [name for name in names if name not in OF_SIGMOIDS]
    if data.multilabel and others:
        raise ExperimentError(
            f"The labels of {data.name} may overlap, and {others[0]} is for classes of which a pixel has one: take "
            f"--loss {' '.join(OF_SIGMOIDS[:3])}, or another of a sigmoid."
        )
    if others and len(others) < len(names):
        of_one = next(name for name in names if name in OF_SIGMOIDS)
        raise ExperimentError(f"{of_one} is of a sigmoid and {others[0]} of a softmax: take losses of one of the two.")
    return not others


def network(
    num_classes: int,
    family: Model,
    encoder: str | nn.Module | None,
    decoder: str | nn.Module | None,
    upsample: upsampling.Upsampler | Callable[..., nn.Module] | None,
    skips: bool,
    width: int,
    depth: int,
    recipe: Recipe,
) -> nn.Module:
    """A model of one of the families."""
    block = recipe.block()
    climb = upsampling.named(upsample or OWN_UPSAMPLER.get(family, "bilinear"))
    widths = tuple(width * 2**level for level in range(depth + 1))
    if encoder is not None and family in ("segnet", "full_resolution"):
        raise ExperimentError(f"{family} is made of plain convolutions: leave --encoder out, or take unet or fcn.")
    if decoder is not None and family != "unet":
        raise ExperimentError(f"{family} has a decoder of its own: leave --decoder out, or --model {family}.")
    if decoder is not None and not skips:
        raise ExperimentError(f"The decoder {decoder} says itself what it sees: leave --no-skips out, or --decoder.")
    if upsample is not None and family == "full_resolution":
        raise ExperimentError("full_resolution keeps all its pixels: leave --upsample out, or take another model.")
    if family == "segnet":
        # The decoder mirrors the encoder; each of its stages ends at the width that the level above unpools with.
        stages = tuple((w, w) for w in widths[:-1])
        decoder = UNetDecoder(models.mirrored(stages), climb, block, skips=False)
        head = partial(nn.Conv, kernel_size=(3, 3))
        return models.Segmenter(num_classes, ConvEncoder((*stages, ()), block), decoder, head)
    if family == "full_resolution":
        return models.FullResolutionCNN(num_classes, (2 * width,) * (depth + 1), block)
    plain = ConvEncoder(tuple((w, w) for w in widths), block)
    levels = encoders.named(encoder or plain, dtype=recipe.dtype, remat=recipe.remat)
    if decoder is None:
        decoder = UNetDecoder(upsample=climb, block=block, skips=skips and family == "unet")
        return models.Segmenter(num_classes, levels, decoder, places=upsampling.places(climb))
    if upsample is None:
        return models.Segmenter(num_classes, levels, decoders.named(decoder, block=block))
    decoder, last = decoders.named(decoder, block=block, upsample=climb), upsampling.to_image(climb)
    return models.Segmenter(num_classes, levels, decoder, to_image=last, places=upsampling.places(climb))


def sum_of(names: tuple[MaskLoss, ...], class_weights: np.ndarray | None) -> Loss:
    """The sum of losses by name."""
    weighted = class_weights is not None
    parts: list[Loss] = [
        partial(getattr(losses, name), **({WEIGHTED[name]: class_weights} if name in WEIGHTED and weighted else {}))
        for name in names
    ]
    return losses.weighted_sum(*((1.0, loss) for loss in parts)) if len(parts) > 1 else parts[0]


PRESETS = {
    "land_cover": Preset(
        "Land cover on Blue Marble: `segjax train land_cover`: test mIoU 0.778 with seed 0.",
        recipe=Recipe(steps=300, batch_size=32, learning_rate=4e-3, evaluate_every=50),
    ),
    "nuclei": Preset(
        "U-Net on slices of a fluorescence volume: `segjax train nuclei`: Dice 0.975 and 0.976 with seeds 0 and 1, in "
        "3 min on 2 cores.",
        data="nuclei",
        loss=("cross_entropy", "dice"),
        recipe=Recipe(steps=150, decayed="all", evaluate_every=50),
    ),
    "pets": Preset(
        "U-Net on the Oxford-IIIT pets' trimaps, of which 800 MB are downloaded once: `segjax train pets`. "
        "Not measured.",
        data="oxford_iiit_pet",
        width=32,
        depth=4,
        recipe=Recipe(steps=5000, batch_size=16, decayed="all", evaluate_every=1000),
    ),
    "camvid": Preset(
        "U-Net on photographs of roads, from MobileNetV2's ImageNet weights: `segjax train camvid`: test mIoU 0.328 ± "
        "0.073 over 3 seeds, 17 min for all three on 2 CPU cores. Thin and rare classes want more steps.",
        data="camvid",
        encoder="mobilenet_v2",
        crop=128,
        recipe=Recipe(steps=300, batch_size=16, start="imagenet", evaluate_every=100),
    ),
    "folder": Preset(
        "U-Net on a folder with images/ and masks/: `segjax train folder --root PATH`. Classes, crop, normalisation "
        "and class weights are worked out from the folder, and kept in the run.",
        data="folder",
        depth=4,
        class_balance=True,
        recipe=Recipe(decayed="all"),
    ),
}
