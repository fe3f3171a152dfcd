"""Whole networks of segmentation_models.pytorch, from the folders that it writes."""

import json
import math
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import traverse_util
from smp import randomise_statistics, smp

import segjax
from segjax import encoders, models
from segjax.errors import DataError
from segjax.models import saved, smp_folder, smp_written

DILATED = {"dilate_first": True}
# Parameters of SMP 0.6.0, of one class.
RESNET34 = {
    "unet": (24_436_369, {}),
    "unetplusplus": (26_078_609, {}),
    "manet": (31_783_633, {}),
    "linknet": (21_771_937, {}),
    "fpn": (23_155_393, {}),
    "deeplabv3": (26_007_105, {"output_stride": 8, **DILATED}),
    "deeplabv3plus": (22_437_457, {"output_stride": 16, **DILATED}),
    "pan": (21_475_816, {"output_stride": 16, **DILATED}),
    "upernet": (29_599_681, {}),
    "segformer": (21_876_545, {}),
}
MIT_B0 = {
    "unet": 5_549_489,
    "manet": 7_663_441,
    "fpn": 5_075_425,
    "upernet": 10_732_385,
    "segformer": 3_714_401,
}
PAN_BIASES = 262
"""Which PAN has before normalisations, and which ours are without."""


def parameters(model: Any) -> int:
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("name", RESNET34)
def test_parameters_on_resnet34_are_those_of_smp(name: str):
    expected, fields = RESNET34[name]
    found = parameters(getattr(models, f"smp_{name}")(encoders.resnet34(**fields)))
    assert found == expected - (PAN_BIASES if name == "pan" else 0)


@pytest.mark.parametrize("name", MIT_B0)
def test_parameters_on_mit_b0_are_those_of_smp(name: str):
    assert parameters(getattr(models, f"smp_{name}")(encoders.mit_b0())) == MIT_B0[name]


@pytest.mark.parametrize(
    ("kind", "encoder", "expected"),
    [("PSPNet", "resnet34", 21_437_985), ("DPT", "tu-vit_base_patch16_224", 121_778_153)],
)
def test_parameters_are_those_of_smp_with_what_it_never_runs(kind: str, encoder: str, expected: int):
    settings = {"_model_class": kind, "encoder_name": encoder, "in_channels": 3}
    shapes = saved.shapes(smp_folder.model_of(settings, "config.json"), 3)
    both = (traverse_util.flatten_dict(tree["params"]) for tree in (smp_written.never_run(settings), shapes))
    assert sum(math.prod(leaf.shape) for leaf in dict(chain(*(one.items() for one in both))).values()) == expected


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder that SMP's save_pretrained wrote, and the model."""

    def write(kind: str, encoder: str, **settings: Any) -> tuple[Path, torch.nn.Module]:
        torch.manual_seed(0)
        model = getattr(smp, kind)(encoder, encoder_weights=None, classes=3, **settings)
        randomise_statistics(model)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        return folder, model.eval()

    return write


@pytest.mark.parametrize(
    ("kind", "encoder", "size"),
    [
        ("Unet", "mit_b0", (64, 96)),
        ("DeepLabV3Plus", "efficientnet-b0", (64, 96)),  # dilates from within the stage at stride 16
        ("Linknet", "efficientnet-b1", (64, 96)),  # pads as for 240 pixels
        ("PSPNet", "densenet121", (64, 96)),  # takes levels from within transitions
        ("FPN", "timm-mobilenetv3_small_100", (64, 96)),
    ],
)
def test_logits_are_those_of_smp(written: Any, kind: str, encoder: str, size: tuple[int, int]):
    folder, reference = written(kind, encoder)
    model, variables = segjax.from_pretrained(folder)
    image = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch.from_numpy(((image / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        expected = reference(x).numpy().transpose(0, 2, 3, 1)
    found = jax.jit(partial(model.apply, train=False))(variables, image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize(("encoder", "first"), [("resnet18", True), ("tu-resnet18", False)])
def test_the_first_block_of_a_dilated_stage_is_as_there(encoder: str, first: bool):
    model = smp_folder.model_of({"_model_class": "DeepLabV3Plus", "encoder_name": encoder}, "config.json")
    assert model.encoder.dilate_first is first  # pyright: ignore[reportAttributeAccessIssue]


def test_sizes_that_smp_refuses_work(written: Any):
    folder, _ = written("Unet", "resnet18")
    model, variables = segjax.from_pretrained(folder)
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.uint8)
    assert jax.eval_shape(partial(model.apply, train=False), variables, image).shape == (1, 33, 47, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"_model_class": "Unetplus"}, "names the model 'Unetplus', and segjax has Unet"),
        (
            {"encoder_name": "tu-resnest50d"},
            "has the encoder tu-resnest50d, which segjax does not take over from there: take tu-resnet50d",
        ),
        ({"decoder_attention_type": "cbam"}, r"decoder_attention_type is 'cbam', and segjax has scse\."),
        ({"activation": "softmax"}, "activation is 'softmax', and segjax has sigmoid, softmax2d"),
        ({"aux_params": {"classes": 2}}, r"2 missing \(image_head.logits.bias"),
        ({"encoder_depth": 4}, "sets encoder_depth to 4, and segjax has it with 5"),
        (
            {"decoder_use_norm": {"type": "batchnorm"}},
            "decoder_use_norm is {'type': 'batchnorm'}, and segjax has batchnorm",
        ),
        ({"of_tomorrow": 1}, "sets of_tomorrow to 1, which segjax does not know"),
        ({"classes": "four"}, r"config\.json describes no model that can be made .*'four'"),
        ({"aux_params": {"dropout": 0.1}}, r"config\.json describes no model that can be made \('classes'\)"),
        ({"classes": 4}, r"2 of another shape \(head.bias is"),
        ({"encoder_name": "resnet34"}, r"\d+ missing \(encoder.layer1.2"),
    ],
)
def test_what_cannot_be_taken_over_gets_one_sentence(written: Any, change: dict[str, Any], sentence: str):
    folder, _ = written("Unet", "resnet18")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(DataError, match=sentence):
        segjax.from_pretrained(folder)


def test_weights_that_end_early_are_named_once(written: Any):
    folder, _ = written("Unet", "resnet18")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50_000])
    with pytest.raises(DataError, match=rf"^{weights} ends at byte 50000"):
        segjax.from_pretrained(folder)


@pytest.mark.parametrize("name", ["/none/there", "craftt", "hub:me", "me/one/two"])
def test_what_is_neither_there_nor_of_the_hub_is_one_sentence(name: str):
    with pytest.raises(
        DataError, match=rf"^{name} is no folder, no file, no OWNER/NAME .* and none of hed, craft, sel"
    ):
        segjax.from_pretrained(name)


@pytest.mark.parametrize(
    ("said", "revision"), [(("me/one",), "main"), (("hub:me/one@0123abc",), "0123abc"), (("me/one", "v1.0"), "v1.0")]
)
def test_the_hub_is_asked_as_everywhere(said: tuple[str, ...], revision: str, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr("segjax.cache.fetch_hub", lambda *asks: asked.append(asks) or Path("none"))
    with pytest.raises(DataError):
        segjax.from_pretrained(*said)
    assert asked == [("me/one", file, revision) for file in ("config.json", "model.safetensors")]


def test_a_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"has no config\.json: give the folder that save_pretrained wrote"):
        segjax.from_pretrained(tmp_path)
