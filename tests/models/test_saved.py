"""Models written into folders, and opened again: by segjax, and by segmentation_models.pytorch."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from smp import randomise_statistics, smp
from strided import KINDS, Strided

import segjax
from segjax import decoders, encoders, models, upsampling
from segjax.errors import DataError
from segjax.layers import Normalized, Standardized
from segjax.models import saved, smp_folder, smp_written
from segjax.models.described import describe
from segjax.models.pretrained import open_pretrained
from segjax.weights import convert, smp_names

ABOUT = models.About(
    class_names=("ground", "tree"),
    palette=((0, 0, 0), (0, 200, 0)),
    scores={"test": {"miou": 0.75}},
    trained_on="trees",
    licence="CC0-1.0",
)


def of_shapes(model: Any, channels: int = 3) -> Any:
    """Variables of random numbers, without compiling their initialisation."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(x.dtype), saved.shapes(model, channels))


def test_a_model_comes_back_bit_for_bit_with_its_card(tmp_path: Path):
    model = Normalized(models.unet(2, 4, depth=1, upsample=upsampling.Carafe), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 0.5)
    variables = of_shapes(model)
    segjax.save_pretrained(tmp_path / "new" / "saved", model, variables, ABOUT)
    again, found, about = open_pretrained(tmp_path / "new" / "saved")
    assert describe(again) == describe(model)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert (about.class_names, about.palette) == (ABOUT.class_names, ABOUT.palette)
    card = (tmp_path / "new" / "saved" / "README.md").read_text()
    for said in ("| 1 | tree | `[0, 200, 0]` |", '"miou": 0.75', "Licence: CC0-1.0", "Trained on: trees", "** 0.5"):
        assert said in card
    assert "Parity: not measured" in card
    assert f"Parameters: {sum(x.size for x in jax.tree.leaves(variables)):,}" in card


@pytest.mark.parametrize("decoder", [name for name in decoders.BY_NAME if name != "segnet"])
def test_names_in_the_file_bring_every_decoder_back(decoder: str):
    made = decoders.named(decoder, upsample=upsampling.Carafe)
    model = models.Segmenter(2, Strided(KINDS["mit"]), made, auxiliary=models.AuxiliaryHead(2))
    shapes = saved.shapes(model, 3)
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    convert.from_torch(convert.to_torch(variables), shapes)


def test_variables_of_another_model_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="These variables are not those of this Segmenter"):
        segjax.save_pretrained(tmp_path, models.unet(2, 4, depth=1), of_shapes(models.unet(2, 8, depth=1)))


def test_parameters_alone_are_asked_for_their_collection(tmp_path: Path):
    model = models.unet(2, 4, depth=1)
    with pytest.raises(DataError, match="These variables have no collection params, but decoder, encoder, head"):
        segjax.save_pretrained(tmp_path, model, of_shapes(model)["params"])


def test_what_smp_does_not_have_is_refused_in_its_layout(tmp_path: Path):
    model = models.unet(2, 4, depth=1)
    with pytest.raises(
        DataError, match="Segmenter of ConvEncoder and UNetDecoder is no network of segmentation_models"
    ):
        segjax.save_pretrained(tmp_path, model, of_shapes(model), layout="smp")
    assert not list(tmp_path.iterdir())


def test_what_a_folder_cannot_say_is_refused(tmp_path: Path):
    model = models.unet(3, 4, depth=1)
    variables = of_shapes(model)
    with pytest.raises(DataError, match="2 classes have names, and the model has 3: name each, or none"):
        segjax.save_pretrained(tmp_path, model, variables, ABOUT)
    with pytest.raises(DataError, match="layout is segjax or smp, got 'torch'"):
        segjax.save_pretrained(tmp_path, model, variables, layout="torch")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    segjax.save_pretrained(tmp_path, models.unet(1, 4, depth=1), of_shapes(models.unet(1, 4, depth=1)), ABOUT)


def test_a_folder_that_cannot_be_written_gets_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    model = models.unet(2, 4, depth=1)
    with pytest.raises(DataError, match="cannot be written"):
        segjax.save_pretrained(tmp_path / "file", model, of_shapes(model))


def test_numbers_of_numpy_and_jax_are_written_as_numbers(tmp_path: Path):
    model = Normalized(models.unet(2, 4, depth=1), np.array([0.1, 0.2, 0.3]), np.full(3, 0.5, np.float32))  # type: ignore[arg-type]
    palette: Any = np.array([[0, 0, 0], [0, 200, 0]], np.uint8)
    scores = {"miou": np.float32(0.75), "iou": jnp.array([0.5, np.nan])}
    about = models.About(("ground", "a | b\nc"), palette, scores)
    segjax.save_pretrained(tmp_path, model, of_shapes(model), about)
    again, _, found = open_pretrained(tmp_path)
    assert isinstance(again, Normalized)
    assert (again.mean, again.std, found.palette) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), ABOUT.palette)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "with mean [0.1, 0.2, 0.3] and std [0.5, 0.5, 0.5]" in card
    assert r"| 1 | a \| b c | `[0, 200, 0]` |" in card
    assert '"miou": 0.75,\n  "iou": [\n    0.5,\n    null\n  ]' in card
    with pytest.raises(DataError, match="2 classes have names and 1 a colour in the palette: give each a colour"):
        models.About(("ground", "tree"), ((0, 0, 0),))
    with pytest.raises(
        DataError, match=r"\(0, 0, 300\) in the palette is no colour: give red, green and blue in 0\.\.255"
    ):
        models.About(palette=((0, 0, 0), (0, 0, 300)))


def test_the_card_of_a_model_that_finds_objects_says_so(tmp_path: Path):
    encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
    model = models.CenterNet(2, encoder, decoders.UNetDecoder(finest_stride=2), hidden=8)
    variables = {kind: {"model": tree} for kind, tree in of_shapes(model).items()}
    segjax.save_pretrained(tmp_path, Standardized(model), variables)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "pipeline_tag: object-detection" in card
    assert "# Object detection\n" in card
    assert "found = model.apply(variables, images, train=False).detections()  # images" in card


def test_a_folder_keeps_its_model_until_another_is_written_and_is_then_of_no_commit(tmp_path: Path):
    model = models.unet(2, 4, depth=1)
    segjax.save_pretrained(tmp_path, model, of_shapes(model), ABOUT)
    (tmp_path / saved.PULLED).write_text(json.dumps({"repository": "others/one", "revision": 40 * "0"}))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    other = models.unet(3, 4, depth=1)

    def fail(*_: Any, **__: Any) -> None:
        raise DataError("No space is left.")

    for holder, writes in ((saved.safetensors_file, "write"), (saved, "card")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(holder, writes, fail)
            with pytest.raises(DataError, match="No space"):
                segjax.save_pretrained(tmp_path, other, of_shapes(other))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert open_pretrained(tmp_path)[2].source == "hub:others/one@" + 40 * "0"
    segjax.save_pretrained(tmp_path, other, of_shapes(other))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert open_pretrained(tmp_path)[2].source is None


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"palette": 5}, "has class names, colours, thresholds, bands or files of channels that are no lists"),
        ({"bands": ["red"]}, "are no numbers of bands: give whole ones from 1"),
        ({"channel_files": ["/../_0001"]}, "are no ends of channels' files: give _0000, _0001"),
        ({"class_names": "ab"}, "has class names, colours, thresholds, bands or files of channels that are no lists"),
        ({"class_names": ["a", "b"], "palette": [[0, 0, 0]]}, r"config\.json: 2 classes have names and 1 a colour"),
        ({"palette": [["red"]]}, "describes no model that can be made .*'red'"),
        ({"channels": -1}, "describes no model that can be made .*64, -1"),
        ({"model": {"name": "flax.linen.relu"}}, "describes no model that can be made"),
        (
            {"model": {"class": "segjax.encoders.ConvEncoder", "fields": {"stages": []}}},
            r"no model that can be made \(An encoder has at least one stage.*not \(\)\): fetch or save it again",
        ),
    ],
)
def test_a_config_that_describes_no_model_gets_one_sentence(tmp_path: Path, part: dict[str, Any], sentence: str):
    model = models.unet(2, 4, depth=1)
    segjax.save_pretrained(tmp_path, model, of_shapes(model))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"segjax": json.loads(config.read_text())["segjax"] | part}))
    with pytest.raises(DataError, match=sentence) as error:
        segjax.from_pretrained(tmp_path)
    assert str(error.value).startswith(str(config))


def test_a_config_that_nests_without_end_gets_one_sentence(tmp_path: Path):
    model = models.unet(2, 4, depth=1)
    segjax.save_pretrained(tmp_path, model, of_shapes(model))
    (tmp_path / "config.json").write_text('{"segjax": ' + 100_000 * "[" + 100_000 * "]" + "}")
    with pytest.raises(DataError, match=r"config\.json is no JSON"):
        segjax.from_pretrained(tmp_path)


SCSE: dict[str, Any] = {"decoder_attention_type": "scse"}
AUX = {"classes": 4, "pooling": "max", "dropout": 0.5, "activation": "softmax2d"}
AS_SMP: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unet": ("Unet", "mobilenet_v2", {"aux_params": AUX, "activation": "sigmoid"}),
    "unet of vgg": ("Unet", "vgg11_bn", SCSE | {"decoder_channels": [64, 32, 32, 32, 16]}),
    "unet++ of vgg": ("UnetPlusPlus", "vgg11", SCSE | {"decoder_interpolation": "bilinear"}),
    "manet": ("MAnet", "tu-convnextv2_atto", {"decoder_pab_channels": 16, "decoder_use_norm": "identity"}),
    "linknet": ("Linknet", "timm-efficientnet-b0", {"decoder_use_norm": "identity"}),
    "fpn": ("FPN", "resnet18", {"decoder_merge_policy": "cat", "upsampling": 1}),
    "pspnet": ("PSPNet", "mobilenet_v2", {"psp_out_channels": 64, "upsampling": 4}),
    "deeplabv3": ("DeepLabV3", "resnet18", {"encoder_output_stride": 16, "decoder_aspp_separable": True}),
    "deeplabv3plus": ("DeepLabV3Plus", "timm-tf_efficientnet_lite0", {"decoder_atrous_rates": [6, 12, 18]}),
    "pan": ("PAN", "resnet18", {"activation": "softmax2d", "encoder_output_stride": 32}),
    "upernet": ("UPerNet", "resnet18", {"decoder_channels": 64}),
    "segformer": ("Segformer", "tu-regnety_002", {"decoder_segmentation_channels": 32}),
    "of efficientnet_pytorch": ("Unet", "efficientnet-b2", {}),
    "of timm, padded": ("DeepLabV3Plus", "tu-efficientnet_lite0", {}),
    "of timm, dense": ("FPN", "tu-densenet121", {}),
    "of timm, mobile": ("DeepLabV3Plus", "tu-mobilenetv2_100", {}),
    "of groups": ("FPN", "resnext101_32x16d", {}),
}


@pytest.mark.parametrize("case", AS_SMP)
def test_settings_names_and_shapes_are_those_of_smp(case: str):
    kind, encoder, settings = AS_SMP[case]
    with torch.device("meta"):
        reference = getattr(smp, kind)(encoder, encoder_weights=None, classes=3, **settings)
    expected = {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    config = {"_model_class": kind, "encoder_name": encoder, "classes": 3, **settings}
    model = smp_folder.model_of(config, "config.json")
    said = smp_written.settings_of(model, 3)
    assert {name: said[name] for name in config} == config
    assert describe(smp_folder.model_of(said, "config.json")) == describe(model)
    how = smp_folder.decoder_of(config), smp_folder.taken_encoder(config).names
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), saved.shapes(model, 3))
    state = smp_names.to_model(smp_written.never_run(said), *how) | smp_names.to_model(variables, *how)
    assert {name: value.shape for name, value in state.items()} == expected


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (Standardized, "each image to mean 0"),
        (partial(Normalized, mean=(0.1,) * 3, std=(0.2,) * 3, gamma=0.5), "`((image / 255) ** 0.5 - mean) / std`"),
        (partial(Normalized, mean=(0.1,) * 3, std=(0.2,) * 3, stored="uint16"), "`((image / 65535) - mean) / std`"),
    ],
)
def test_normalisation_goes_with_a_model_in_smps_layout(tmp_path: Path, inputs: Any, said: str):
    model = inputs(models.smp_linknet(encoders.resnet18()))
    segjax.save_pretrained(tmp_path, model, of_shapes(model), layout="smp")
    assert describe(segjax.from_pretrained(tmp_path)[0]) == describe(model)
    assert said in (tmp_path / "README.md").read_text()


def test_a_network_of_smp_trained_further_is_opened_again_by_smp(tmp_path: Path):
    torch.manual_seed(0)
    reference = smp.Unet("mobilenet_v2", encoder_weights=None, classes=2, decoder_channels=(16, 16, 8, 8, 8))
    randomise_statistics(reference)
    reference.save_pretrained(tmp_path / "smp")  # pyright: ignore[reportCallIssue]
    model, variables = segjax.from_pretrained(tmp_path / "smp")
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    mask = jnp.asarray(image[..., 0] > 127, jnp.int32)

    def step(variables: Any) -> Any:
        def loss(head: Any) -> Any:
            params = {"model": {"encoder": variables["params"]["model"]["encoder"]} | head}
            logits, new = model.apply({**variables, "params": params}, image, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, mask).mean(), new

        inside = variables["params"]["model"]
        trained = {name: tree for name, tree in inside.items() if name != "encoder"}
        gradient, new = jax.grad(loss, has_aux=True)(trained)
        moved = jax.tree.map(lambda value, slope: value - 0.5 * slope, trained, gradient)
        return {"params": {"model": inside | moved}, **new}

    after, run = jax.jit(step)(variables), jax.jit(partial(model.apply, train=False))
    segjax.save_pretrained(tmp_path / "segjax", model, after, ABOUT, layout="smp")
    again = smp.from_pretrained(str(tmp_path / "segjax")).eval()
    before, expected = run(variables, image), run(after, image)
    x = torch.from_numpy(((image / 255 - saved.MEAN) / saved.STD).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        for network, logits in ((reference.eval(), before), (again, expected)):
            np.testing.assert_allclose(
                network(x).numpy().transpose(0, 2, 3, 1), logits, rtol=0, atol=1e-4 * abs(logits).max()
            )
    assert abs(expected - before).max() > 0.01
