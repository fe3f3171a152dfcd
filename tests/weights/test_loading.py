import hashlib
import json
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import weights
from segjax.cache import data_dir
from segjax.errors import DataError
from segjax.layers import Conv, Normalized, batch_norm
from segjax.weights import safetensors_file
from segjax.weights.record import Record, Url

TORCH_UNUSED = r"fc\."


class Small(nn.Module):
    """An encoder of torch's names, as of a file with a classifier."""

    width: int = 4
    depth: int = 2

    @property
    def parts(self):
        return (("conv1", "bn1"), ("layer1",))[: self.depth]

    @nn.compact
    def __call__(self, image, *, train):
        x = Conv(self.width, 3, 1, use_bias=False, stride=2, name="conv1")(image)
        x = nn.relu(batch_norm(use_running_average=not train, name="bn1")(x))
        if self.depth == 1:
            return x
        return Conv(self.width, 3, 1, groups=self.width, name="layer1_0")(x)


class Whole(nn.Module):
    encoder: nn.Module

    @nn.compact
    def __call__(self, image, *, train):
        return nn.Conv(3, (1, 1), name="head")(self.encoder(image, train=train))


def state(width: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {
        "conv1.weight": (width, 3, 3, 3),
        "bn1.weight": (width,),
        "bn1.bias": (width,),
        "bn1.running_mean": (width,),
        "bn1.running_var": (width,),
        "layer1.0.weight": (width, 1, 3, 3),
        "layer1.0.bias": (width,),
        "fc.weight": (7, width),
    }
    arrays = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    return arrays | {"bn1.num_batches_tracked": np.array(5)}


def of_images(module: nn.Module, channels: int = 3) -> Any:
    return module.init(jax.random.key(0), jnp.zeros((1, 8, 8, channels)), train=False)


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the only weights that there are: small.imagenet, and small.blue that are for BGR."""
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    path = tmp_path / "small.safetensors"
    safetensors_file.write(path, state())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    for name, channels in (("imagenet", "RGB"), ("blue", "BGR")):
        url = Url(path.as_uri())
        record = Record(f"small.{name}", "small", url, sha256, "none", "none", 1, 8, 7, channels=channels)  # type: ignore[arg-type]
        monkeypatch.setitem(weights.RECORDS, record.name, record)
    return path


def test_an_encoder_has_the_values_of_its_weights():
    like = of_images(Small())
    loaded = weights.load(Small(), like, "small.imagenet")
    np.testing.assert_array_equal(loaded["params"]["conv1"]["kernel"], state()["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(loaded["batch_stats"]["bn1"]["mean"], state()["bn1.running_mean"])
    assert jax.tree.structure(loaded) == jax.tree.structure(dict(like))
    shapes = jax.eval_shape(lambda: of_images(Small()))
    jax.tree.map(np.testing.assert_array_equal, weights.load(Small(), shapes, "small.imagenet"), loaded)


def test_a_model_has_them_in_its_encoder_alone(known: Path):
    model = Normalized(Whole(Small()), (0.5,) * 3, (0.5,) * 3)
    like = of_images(model)
    for name in ("small.imagenet", known):
        loaded = weights.load(model, like, name)
        expected = weights.load(Small(), of_images(Small()), "small.imagenet")
        for kind in ("params", "batch_stats"):
            inside = loaded[kind]["model"]["encoder"]
            jax.tree.map(np.testing.assert_array_equal, inside, expected[kind])
        assert loaded["params"]["model"]["head"] is like["params"]["model"]["head"]


@pytest.mark.parametrize(
    ("before", "beside"),
    [
        ("model.encoder.", "model.head.bias"),
        ("backbone.", "classifier.4.bias"),
        ("model.", "model.fc.bias"),
        ("encoder.", "decoder.backbone.bias"),
    ],
)
def test_a_files_own_encoder_is_found_in_it(before: str, beside: str, tmp_path: Path):
    whole = {f"{before}{name}": value for name, value in state().items()} | {beside: np.zeros(9)}
    safetensors_file.write(tmp_path / "whole.safetensors", whole)
    loaded = weights.load(Small(), of_images(Small()), tmp_path / "whole.safetensors")
    np.testing.assert_array_equal(loaded["params"]["layer1_0"]["bias"], state()["layer1.0.bias"])


def test_a_file_of_several_encoders_is_asked_for_one(tmp_path: Path):
    both = {f"{whose}.encoder.{name}": value for whose in ("student", "teacher") for name, value in state().items()}
    safetensors_file.write(tmp_path / "both.safetensors", both)
    sentence = r"both\.safetensors has several encoders \(student\.encoder, teacher\.encoder\): save the weights of one"
    with pytest.raises(DataError, match=sentence):
        weights.load(Small(), of_images(Small()), tmp_path / "both.safetensors")


def test_a_model_of_several_encoders_is_told_so():
    one = of_images(Whole(Small()))["params"]
    with pytest.raises(DataError, match=r"several encoders \(left/encoder, right/encoder\): load weights into each"):
        weights.load(Small(), {"params": {"left": one, "right": one}}, "small.imagenet")


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path):
    twice = state() | {"bn1.scale": state()["bn1.weight"] + 1}
    safetensors_file.write(tmp_path / "twice.safetensors", twice)
    with pytest.raises(DataError, match=r"1 under another name, too \(bn1\.(scale|weight)\)"):
        weights.load(Small(), of_images(Small()), tmp_path / "twice.safetensors")


def test_weights_of_blue_first_see_red_first():
    red, blue = (weights.load(Small(), of_images(Small()), f"small.{name}") for name in ("imagenet", "blue"))
    image = jax.random.uniform(jax.random.key(1), (1, 8, 8, 3))
    expected = np.asarray(Small().apply(red, image, train=False))
    np.testing.assert_allclose(Small().apply(blue, image[..., ::-1], train=False), expected, rtol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("channels", "rgb"), [(1, None), (13, None), (13, (3, 2, 1))])
def test_other_channels_are_fitted(channels: int, rgb: tuple[int, ...] | None):
    loaded = weights.load(Small(), of_images(Small(), channels), "small.imagenet", rgb)
    kernel = loaded["params"]["conv1"]["kernel"]
    expected = weights.fit_first_kernel(state()["conv1.weight"], channels, rgb)
    np.testing.assert_array_equal(kernel, expected.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("channels", [1, 5])
def test_kernels_of_16_bits_are_fitted_in_32(tmp_path: Path, channels: int):
    half = {name: value.astype(np.float16) for name, value in state().items()}
    safetensors_file.write(tmp_path / "half.safetensors", half)
    loaded = weights.load(Small(), of_images(Small(), channels), tmp_path / "half.safetensors")
    expected = weights.fit_first_kernel(half["conv1.weight"].astype(np.float32), channels)
    np.testing.assert_array_equal(loaded["params"]["conv1"]["kernel"], expected.transpose(2, 3, 1, 0))


def test_three_channels_are_placed_where_they_are_said_to_be():
    loaded = weights.load(Small(), of_images(Small()), "small.imagenet", (2, 1, 0))
    kernel = loaded["params"]["conv1"]["kernel"]
    np.testing.assert_array_equal(kernel, state()["conv1.weight"].transpose(2, 3, 1, 0)[:, :, ::-1])


@pytest.mark.parametrize("channels", [3, 13])
def test_impossible_channels_are_refused(channels: int):
    with pytest.raises(DataError, match=rf"^small.imagenet: rgb is \(0, 0, 77\); give .* 0\.\.{channels - 1}"):
        weights.load(Small(), of_images(Small(), channels), "small.imagenet", (0, 0, 77))


def test_channels_are_not_placed_where_weights_are_not_of_red_green_and_blue(tmp_path: Path):
    like = of_images(Small(), 13)
    weights.save(tmp_path / "mine.safetensors", like)
    with pytest.raises(DataError, match=r"mine\.safetensors: rgb is \(3, 2, 1\), but .* no .* red, green and blue"):
        weights.load(Small(), like, tmp_path / "mine.safetensors", (3, 2, 1))


def test_an_encoder_of_fewer_levels_takes_what_it_has():
    found = weights.load(Small(depth=1), of_images(Small(depth=1)), "small.imagenet")
    np.testing.assert_array_equal(found["params"]["conv1"]["kernel"], state()["conv1.weight"].transpose(2, 3, 1, 0))
    assert found["params"].keys() == {"conv1", "bn1"}


def test_an_encoder_of_fewer_levels_refuses_more_in_those_that_it_has(tmp_path: Path):
    safetensors_file.write(tmp_path / "other.safetensors", state() | {"conv1.bias": np.zeros(4)})
    with pytest.raises(DataError, match=r"are not of this model: 1 left over \(conv1\.bias\)"):
        weights.load(Small(depth=1), of_images(Small(depth=1)), tmp_path / "other.safetensors")


def test_weights_of_another_encoder_are_refused_in_one_sentence():
    with pytest.raises(DataError, match=r"^small\.imagenet: These weights are not of this model: 7 of another shape"):
        weights.load(Small(6), of_images(Small(6)), "small.imagenet")


@pytest.mark.parametrize(("said", "revision"), [("hub:me/small", "main"), ("hub:me/small@0123abc", "0123abc")])
def test_the_hub_is_asked_for_a_repository(said: str, revision: str, known: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr("segjax.weights.record.fetch_hub", lambda *asks: asked.append(asks) or known)
    loaded = weights.load(Small(), of_images(Small()), said)
    assert asked == [("me/small", "model.safetensors", revision, None)]
    np.testing.assert_array_equal(loaded["params"]["layer1_0"]["bias"], state()["layer1.0.bias"])


def test_layer_scales_of_torchvision_are_vectors(tmp_path: Path):
    safetensors_file.write(tmp_path / "a.safetensors", {"gamma": np.arange(4.0).reshape(4, 1, 1)})
    like = {"params": {"gamma": jnp.zeros(4)}}
    loaded = weights.load(nn.Dense(1), like, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(loaded["params"]["gamma"], np.arange(4.0))


def test_variables_without_collections_are_refused():
    with pytest.raises(DataError, match=r"have no collection params, but bn1, conv1, layer1_0: give them as `init`"):
        weights.load(Small(), of_images(Small())["params"], "small.imagenet")


def test_a_name_that_is_none_offers_the_nearest(tmp_path: Path):
    with pytest.raises(DataError, match=r"^small\.imagent is no file and no weights of a name: .* such as small"):
        weights.load(Small(), of_images(Small()), "small.imagent")


@pytest.mark.parametrize(
    "said", ["timm/small.a1_in1k", "hf-hub:timm/small.a1_in1k", "https://huggingface.co/timm/small.a1_in1k/"]
)
def test_a_repository_of_the_hub_is_told_how_it_is_said(said: str):
    with pytest.raises(DataError, match=r"; a repository of the Hugging Face hub is hub:timm/small\.a1_in1k\.$"):
        weights.load(Small(), of_images(Small()), said)


@pytest.mark.parametrize("said", ["runs/small.pth", "small.pth", "/tmp/none/small", "../none"])
def test_a_file_that_is_not_there_is_none(said: str):
    with pytest.raises(DataError, match=r"is no file and no weights of a name: (?!.*hub)"):
        weights.load(Small(), of_images(Small()), said)


def test_a_file_of_another_checksum_or_cut_short_is_refused(known: Path):
    path = data_dir() / "files" / f"{weights.named('small.imagenet').sha256}-small.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(known.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"but [0-9a-f]{8} was expected, so it is not used: delete"):
        weights.load(Small(), of_images(Small()), "small.imagenet")
    with pytest.raises(DataError, match="ends at byte"):
        weights.load(Small(), of_images(Small()), path)


def test_what_is_saved_is_read_back_bit_for_bit_by_others(tmp_path: Path):
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    loaded = weights.load(Small(), of_images(Small()), "small.imagenet")
    path = tmp_path / "out.safetensors"
    weights.save(path, loaded, {"width": 4}, carried=weights.named("small.imagenet").read())
    back = load_file(path)
    assert back.keys() == state().keys()  # the classifier and the counter, too
    for name, value in state().items():
        assert back[name].numpy().tobytes() == value.tobytes()
    assert json.loads(safetensors_file.read(path)[1]["segjax"]) == {"width": 4}
    module = torch.nn.Module()
    module.conv1, module.bn1 = torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)
    module.layer1 = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4))
    module.fc = torch.nn.Linear(4, 7, bias=False)
    module.load_state_dict(back)
    jax.tree.map(np.testing.assert_array_equal, weights.load(Small(), of_images(Small()), path), loaded)
