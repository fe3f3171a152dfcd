"""What the experiments that come with segjax are, by name and by object."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import segjax
from segjax import encoders, losses, models, upsampling
from segjax.data import Augment, Dataset
from segjax.errors import ExperimentError
from segjax.layers import Normalized, Standardized
from segjax.models import summary
from segjax.runs import read_experiment
from segjax.tasks import Objects, Segmentation, SigmoidSegmentation
from segjax.train import Recipe
from segjax.train.experiment import parameter_count

COLOUR: dict[str, Any] = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
FLIPS: dict[str, Any] = {"flip_horizontal": True, "flip_vertical": True}
ISLANDS = Augment(**FLIPS, **COLOUR, quarter_turns=True)
PHOTO = ((0.48, 0.45, 0.40), (0.27, 0.26, 0.27), 1.0)
BLUE_MARBLE = ((0.41, 0.49, 0.48), (0.20, 0.16, 0.20), 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0)
MEASURED: dict[str, tuple[int, int, int, Augment, tuple[Any, ...] | None, int]] = {
    # steps, batch size, steps between scores, changes, mean, std and gamma, parameters
    "land_cover": (300, 32, 50, Augment(**FLIPS), ((0.39, 0.40, 0.40), (0.20, 0.17, 0.17), 0.5), 482_788),
    "nuclei": (
        150,
        8,
        50,
        Augment(crop=(128, 128), **FLIPS, scale=(0.8, 1.25), rotate=180),
        ((0.15,) * 3, (0.2,) * 3, 1.0),
        482_754,
    ),
    "pets": (
        5000,
        16,
        1000,
        Augment(crop=(224, 224), flip_horizontal=True, scale=(0.5, 1.5), rotate=10, brightness=0.3, contrast=0.3),
        PHOTO,
        7_763_107,
    ),
    "camvid": (
        300,
        16,
        100,
        Augment(crop=(128, 128), flip_horizontal=True, **COLOUR, scale=(0.5, 1.5)),
        IMAGENET,
        2_879_143,
    ),
    "islands": (600, 24, 150, ISLANDS, BLUE_MARBLE, 665_490),
    "islands_multitask": (600, 24, 150, ISLANDS, BLUE_MARBLE, 1_002_864),
    "islands_many": (
        1000,
        8,
        200,
        dataclasses.replace(ISLANDS, crop=(128, 128), scale=(0.8, 1.25)),
        BLUE_MARBLE,
        1_206_870,
    ),
    "trees": (2000, 8, 500, Augment(crop=(128, 128), **FLIPS, **COLOUR, scale=(0.8, 1.25)), None, 1_204_629),
    "faces": (600, 8, 400, Augment(crop=(128, 128), flip_horizontal=True), IMAGENET, 3_705_389),
    "wider_face": (
        50_000,
        16,
        5000,
        Augment(crop=(512, 512), flip_horizontal=True, scale=(0.5, 1.5), **COLOUR),
        PHOTO,
        4_812_581,
    ),
}


def variables_of(model: nn.Module) -> Any:
    image = jax.ShapeDtypeStruct((1, 32, 48, 3), np.uint8)
    return jax.eval_shape(lambda image: model.init(jax.random.key(0), image, train=False), image)


def outputs_of(found: Any) -> Any:
    image = jax.ShapeDtypeStruct((1, 32, 48, 3), np.uint8)
    return jax.eval_shape(lambda image: found.model.init_with_output(jax.random.key(0), image, train=False)[0], image)


@pytest.mark.parametrize("name", MEASURED)
def test_a_preset_is_what_was_measured(name: str):
    file = read_experiment(name)
    found = file.build(file.knobs())
    steps, batch_size, evaluate_every, augment, statistics, parameters = MEASURED[name]
    assert (found.steps, found.batch_size, found.evaluate_every) == (steps, batch_size, evaluate_every)
    assert (found.seed, found.accumulate, found.ema) == (0, 1, None)
    assert found.augment == augment
    assert parameter_count(variables_of(found.model)["params"]) == parameters
    if statistics is None:
        assert isinstance(found.model, Standardized)
    else:
        assert isinstance(found.model, Normalized)
        assert (found.model.mean, found.model.std, found.model.gamma) == statistics


def squares() -> Dataset:
    return Dataset("squares", ("a", "b"), ((0, 0, 0), (9, 9, 9)), open={}.__getitem__)


def test_every_part_can_be_an_object():
    def loss(logits: Any, mask: Any) -> Any:
        return losses.jaccard(logits, mask)

    encoder = encoders.ConvEncoder(((2,), (3,)))
    found = segjax.experiment(
        "segmentation", data=squares(), encoder=encoder, upsample=upsampling.DySample, loss=loss, steps=3
    )
    assert (found.data.name, found.steps, found.loss) == ("squares", 3, loss)
    assert isinstance(found.model, Standardized)  # the data set says nothing of its images
    assert isinstance(found.model.model, models.Segmenter)
    assert found.model.model.encoder is encoder
    params = variables_of(found.model)["params"]["model"]
    assert params["encoder"]["stage1"]["conv1"]["kernel"].shape == (3, 3, 3, 2)
    own = Normalized(models.FullResolutionCNN(2, (4,)), (0.5,) * 3, (0.5,) * 3)
    assert segjax.experiment("land_cover", data=squares(), model=own).model is own


@pytest.mark.parametrize("name", ["segmentation", "detection", "localization", "multitask"])
def test_every_task_takes_an_encoder_by_name(name: str):
    found: Any = segjax.experiment(name, data=squares(), encoder="vgg16")
    assert variables_of(found.model)["params"]["model"]["encoder"]["features_28"]["kernel"].shape[-1] == 512


@pytest.mark.parametrize("name", ["segmentation", "detection"])
def test_a_decoder_by_name_and_its_upsampler(name: str):
    found: Any = segjax.experiment(name, data=squares(), decoder="fpn", upsample="pixel_shuffle")
    params = variables_of(found.model)["params"]["model"]["decoder"]
    assert params["lateral1"]["conv1"]["kernel"].shape[-1] == 256
    assert params["up1"]  # which a climb by Nearest, the decoder's own, has no parameters for


@pytest.mark.parametrize(
    ("upsample", "decoder"), [("max_unpool_of_skip", "deeplabv3plus"), ("fade", "unetplusplus"), ("sapa", None)]
)
def test_what_reads_the_level_that_it_climbs_to_leaves_the_image_to_bilinear(upsample: str, decoder: str | None):
    parts: dict[str, Any] = {"encoder": "mobilenet_v2", "decoder": decoder}
    found: Any = segjax.experiment("segmentation", data=squares(), **parts, upsample=upsample)
    listed = summary.combination(decoder or "unet", "mobilenet_v2", upsample)
    for model, classes in ((found.model, 2), (listed, summary.NUM_CLASSES)):
        run = partial(model.init_with_output, train=False)
        logits, _ = jax.eval_shape(run, jax.random.key(0), jnp.zeros((1, 33, 47, 3)))
        assert logits.shape == (1, 33, 47, classes)


@pytest.mark.parametrize("decoder", ["unet", "dpt"])
def test_a_decoder_by_name_ends_at_the_stride_that_is_asked_for(decoder: str):
    found: Any = segjax.experiment("detection", data=squares(), decoder=decoder, stride=8)
    assert outputs_of(found).heatmap.shape[1:3] == (4, 6)


def test_a_stride_that_no_level_has_gets_one_sentence():
    found: Any = segjax.experiment("detection", data=squares(), encoder="mit_b0", decoder="fpn", stride=2)
    truth = Objects(jnp.zeros((1, 1, 4)), jnp.zeros((1, 1), int), jnp.zeros((1, 1), bool), None)
    with pytest.raises(ExperimentError, match=r"stride of 4, not of 2, .* give --stride 4"):
        found.loss(outputs_of(found), truth)


def test_a_detector_follows_its_annotations_and_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Images of two sizes, each with one box of 12 pixels a side."""
    sizes = [(40, 60), (50, 30)] * 6
    for number, size in enumerate(sizes):
        Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(tmp_path / f"{number}.png")
    images = [{"id": i, "file_name": f"{i}.png", "height": h, "width": w} for i, (h, w) in enumerate(sizes)]
    boxes = [{"id": i + 1, "image_id": i, "category_id": 7, "bbox": [5, 8, 12, 12]} for i in range(len(sizes))]
    parsed = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "cup"}]}
    (tmp_path / "a.json").write_text(json.dumps(parsed))
    mine: dict[str, Any] = {"coco": str(tmp_path / "a.json"), "images": str(tmp_path)}
    found = segjax.experiment("detection", **mine)
    assert found.augment is not None
    assert (found.augment.crop, found.augment.mosaic, found.data.class_names) == ((64, 64), 0.5, ("cup",))
    assert "--fit 64 --stride 2 --max-boxes 100 --mosaic 0.5" in capsys.readouterr().err
    assert found.model.model.decoder.finest_stride == 2  # type: ignore[attr-defined]
    record = found.data.open("train")[0]
    assert record["image"].shape == (64, 64, 3)
    sides = record["boxes"][0, 2:] / 12
    assert np.abs(sides - 64 / 60).max() < 0.03 or np.abs(sides - 64 / 50).max() < 0.03  # of either size
    whole = found.data.open("test")[0]["image"].shape  # which the task fits, and draws as it was
    assert whole[:2] in sizes
    assert found.task_of_data.seen(found.data.open("test"))[0]["image"].shape == (64, 64, 3)
    other = segjax.experiment("detection", **mine, crop=32, stride=4, recipe=Recipe(mosaic=0.0))
    assert other.augment is not None
    assert (other.augment.crop, other.augment.mosaic) == ((32, 32), 0.0)
    assert other.model.model.decoder.finest_stride == 4  # type: ignore[attr-defined]
    assert capsys.readouterr().err.endswith("unless you say otherwise: --max-boxes 100\n")
    assert other.task_of_data.seen([record])[0] is record


@pytest.mark.parametrize(
    ("name", "knobs", "sentence"),
    [
        ("land_cover", {"encoder": "vgg61"}, "vgg61 is no encoder; name one, such as .*vgg16"),
        ("land_cover", {"encoder": "vgg16", "model": "segnet"}, "segnet is made of plain convolutions"),
        ("land_cover", {"decoder": "deeplab"}, "deeplab is no decoder; name one, such as deeplabv3"),
        ("land_cover", {"decoder": "fpn", "model": "fcn"}, "fcn has a decoder of its own: leave --decoder out"),
        (
            "land_cover",
            {"decoder": "fpn", "skips": False},
            "fpn says itself what it sees: leave --no-skips out",
        ),
        ("land_cover", {"model": "full_resolution", "upsample": "nearest"}, "keeps all its pixels: leave --upsample"),
        ("land_cover", {"class_balance": True}, "leave --class-balance out"),
        ("folder", {}, "give it by --root PATH"),
        ("land_cover", {"width": 0}, "width is 0; it must be a whole number, at least 1"),
        ("land_cover", {"depth": -1}, "depth is -1; it must be a whole number, at least 0"),
        ("land_cover", {"crop": 0}, "crop is 0; it must be a whole number, at least 1"),
        ("detection", {"coco": "a.json"}, "the folder that their file names start from: give it by --images"),
        ("detection", {"images": "photos"}, "the annotations that --coco names: give both"),
        ("detection", {"coco": "a.json", "images": "photos", "train": "b.json"}, "leave --train and --bands out"),
        ("trees", {"fit": 0}, "fit is 0; it must be a whole number, at least 1"),
        ("trees", {"hidden": 0}, "hidden is 0; it must be a whole number, at least 1"),
        ("trees", {"max_boxes": 0}, "max_boxes is 0; it must be a whole number, at least 1"),
        ("trees", {"attribute_weight": -0.5}, "attribute_weight is -0.5; it must be a number, at least 0"),
        ("islands", {"size": 0}, "size is 0; it must be a whole number, at least 1"),
        ("multitask", {"size": -1}, "size is -1; it must be a whole number, at least 1"),
        ("nuclei", {"warmup": 5, "schedule": "poly", "steps": 5}, "warmup is 5 steps of 5"),
    ],
)
def test_what_does_not_go_together_gets_one_sentence(name: str, knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        segjax.experiment(name, **knobs)


def test_losses_by_name_are_summed():
    logits: Any = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    mask: Any = np.zeros((1, 4, 4), np.int32)
    found: Any = segjax.experiment("segmentation", data=squares(), loss=("cross_entropy", "lovasz_softmax")).loss
    expected = losses.cross_entropy(logits, mask) + losses.lovasz_softmax(logits, mask)
    np.testing.assert_allclose(found(logits, mask), expected, rtol=1e-6)


def test_losses_of_a_sigmoid_give_two_classes_one_logit_and_labels_that_overlap_one_each():
    def head(**knobs: Any) -> tuple[int, type]:
        found = segjax.experiment("segmentation", **knobs)
        return variables_of(found.model)["params"]["model"]["head"]["kernel"].shape[-1], type(found.task_of_data)

    overlapping = dataclasses.replace(squares(), multilabel=True)
    assert head(data=squares(), loss=("binary_cross_entropy", "sigmoid_dice")) == (1, SigmoidSegmentation)
    assert head(data=squares()) == (2, Segmentation)
    assert head(data=overlapping) == (2, SigmoidSegmentation)
    assert head(data=overlapping, loss=("lovasz_hinge",)) == (2, SigmoidSegmentation)
    with pytest.raises(ExperimentError, match="labels of squares may overlap, and dice is for classes"):
        head(data=overlapping, loss=("binary_cross_entropy", "dice"))
    with pytest.raises(ExperimentError, match="sigmoid_dice is of a sigmoid and cross_entropy of a softmax"):
        head(data=squares(), loss=("cross_entropy", "sigmoid_dice"))
    three = dataclasses.replace(squares(), class_names=("a", "b", "c"))
    with pytest.raises(ExperimentError, match="squares has 3 classes of which every pixel has one"):
        head(data=three, loss=("sigmoid_dice",))


def test_no_file_of_an_experiment_knows_another():
    folder = Path(__file__).parents[2] / "experiments"
    assert not [file for file in folder.glob("*.py") if "experiments" in file.read_text()]
