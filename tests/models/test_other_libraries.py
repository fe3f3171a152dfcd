"""transformers' SegFormer and torchvision's networks."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import segjax
from benchmarks.torch_zoo import torchvision
from segjax.decoders import LRASPPDecoder
from segjax.errors import DataError
from segjax.level import level_at
from segjax.models import saved, torchvision_file
from segjax.models.pretrained import open_pretrained
from segjax.weights import safetensors_file
from segjax.weights.convert import from_torch

WIDTHS = (8, 16, 20, 16)
CONFIG: dict[str, Any] = {
    "model_type": "segformer",
    "hidden_sizes": WIDTHS,
    "depths": [1, 1, 1, 1],
    "decoder_hidden_size": 16,
    "id2label": {"0": "ground", "1": "tree", "2": "sky"},
}


def segformer() -> dict[str, np.ndarray]:
    """The arrays of a small SegFormer under transformers' names, of fixed random numbers."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    before = 3
    for i, (width, window, reduction) in enumerate(zip(WIDTHS, (7, 3, 3, 3), (8, 4, 2, 1), strict=True)):
        encoder, block = "segformer.encoder", f"segformer.encoder.block.{i}.0"
        layer(f"{encoder}.patch_embeddings.{i}.proj", width, before, window, window)
        norms = [f"{encoder}.patch_embeddings.{i}.layer_norm", f"{encoder}.layer_norm.{i}"]
        norms += [f"{block}.layer_norm_1", f"{block}.layer_norm_2"]
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            layer(f"{block}.attention.{part}", width, width)
        if reduction > 1:
            layer(f"{block}.attention.self.sr", width, width, reduction, reduction)
            norms.append(f"{block}.attention.self.layer_norm")
        layer(f"{block}.mlp.dense1", 4 * width, width)
        layer(f"{block}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
        layer(f"{block}.mlp.dense2", width, 4 * width)
        for norm in norms:
            layer(norm, width)
        layer(f"decode_head.linear_c.{i}.proj", 16, width)
        before = width
    layer("decode_head.linear_fuse", 16, 64, 1, 1, bias=False)
    layer("decode_head.batch_norm", 16)
    shapes |= {f"decode_head.batch_norm.running_{name}": (16,) for name in ("mean", "var")}
    layer("decode_head.classifier", 3, 16, 1, 1)
    rng = np.random.default_rng(0)
    state = {name: (0.2 * rng.standard_normal(shape) ** 2).astype(np.float32) for name, shape in shapes.items()}
    small = np.float32(0.02)  # so that what is added to a variance makes a difference
    return {name: value * small if "patch_embeddings" in name else value for name, value in state.items()}


IMAGE = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)


def folder_of(folder: Path, **changes: Any) -> Path:
    safetensors_file.write(folder / "model.safetensors", segformer())
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    return folder


def test_segformer_gives_the_logits_of_transformers(tmp_path: Path):
    model, variables, about = open_pretrained(folder_of(tmp_path))
    assert about.class_names == ("ground", "tree", "sky")
    logits = np.asarray(jax.jit(partial(model.apply, train=False))(variables, IMAGE))
    # Of transformers 5.24 in float64, its logits interpolated to the image.
    np.testing.assert_allclose([logits.mean(), logits.std()], [26.683680683, 13.576531932], rtol=1e-5)
    probes = {
        (0, 0, 0): 8.4116378103,
        (13, 70, 1): 40.0337261894,
        (63, 95, 2): 31.2264820625,
        (40, 31, 0): 9.0058634088,
    }
    for place, value in probes.items():
        np.testing.assert_allclose(logits[(0, *place)], value, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sr_ratios": [8, 8, 8, 1]}, r"sets sr_ratios to \[8, 8, 8, 1\], and segjax has it with \[8, 4, 2, 1\]"),
        ({"depths": [2, 1, 1, 1]}, r"\d+ missing \(encoder.block1.1"),
        ({"model_type": "upernet"}, "names the model None, and segjax has Unet"),
    ],
)
def test_another_network_of_transformers_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str):
    with pytest.raises(DataError, match=sentence):
        segjax.from_pretrained(folder_of(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fcn_resnet50", {"aux_loss": True}),
        ("fcn_resnet101", {}),
        ("deeplabv3_resnet50", {}),
        ("deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
        ("lraspp_mobilenet_v3_large", {}),
    ],
)
def test_names_of_torchvision_are_brought_to_ours(name: str, options: dict[str, Any]):
    with torch.device("meta"):
        reference = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, **options)
    state = {key: np.zeros(value.shape, np.float32) for key, value in reference.state_dict().items()}
    model, found = torchvision_file.model_of(state, name)
    assert (model.auxiliary is not None) == bool(options)
    from_torch(found, saved.shapes(model, 3))


def test_lraspp_gives_the_logits_of_torchvision():
    torch.manual_seed(0)
    reference = torchvision.models.segmentation.lraspp.LRASPPHead(8, 16, 3, 128).eval()
    state = {f"classifier.{name}": value.numpy() for name, value in reference.state_dict().items()}
    _, found = torchvision_file.model_of({"backbone.0.0.weight": np.zeros(1), **state}, "lraspp")
    rng, image = np.random.default_rng(0), np.zeros((2, 64, 96, 3), np.float32)
    low, high = (rng.standard_normal((2, *size), np.float32) for size in ((8, 12, 8), (4, 6, 16)))
    place = partial(level_at, jnp.asarray(image))
    levels = (place(1), place(8, jnp.asarray(low)), place(16, jnp.asarray(high)))
    decoder = LRASPPDecoder()
    like = jax.eval_shape(partial(decoder.init, train=False), jax.random.key(0), levels)
    own = {name.removeprefix("decoder."): value for name, value in found.items() if name.startswith("decoder.")}
    level = jax.jit(partial(decoder.apply, train=False))(from_torch(own, like), levels)[0]
    logits = np.asarray(level.features) @ found["head.weight"][:, :, 0, 0].T + found["head.bias"]
    both = {name: torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for name, x in (("low", low), ("high", high))}
    with torch.no_grad():
        expected = reference(both).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_a_file_of_another_model_is_named(tmp_path: Path):
    safetensors_file.write(tmp_path / "other", {"conv.weight": np.zeros(3, np.float32)})
    with pytest.raises(DataError, match="other is of no FCN, DeepLabV3 or LRASPP of torchvision"):
        segjax.from_pretrained(tmp_path / "other")


def test_a_file_of_torchvision_that_lacks_a_part_is_one_sentence(tmp_path: Path):
    file = tmp_path / "part.safetensors"
    arrays = {"backbone.0.0.weight": np.zeros((16, 3, 3, 3)), "classifier.cbr.0.weight": np.zeros((8, 8, 1, 1))}
    safetensors_file.write(file, arrays)
    with pytest.raises(DataError, match=r"part\.safetensors has no classifier\.low_classifier\.weight: fetch it whole"):
        segjax.from_pretrained(file)
