"""Models in other runtimes, each compared with the model that it was made of."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import flax.linen as nn
import jax
import jaxtyping
import numpy as np
import pytest

from segjax import decoders, encoders, models, upsampling, weights
from segjax.errors import DataError
from segjax.export import Calibration, ExportError, Format, export_model, read_metadata, tflite
from segjax.export import exporting as module
from segjax.export.images import batches
from segjax.export.process import run_alone
from segjax.export.program import program_of
from segjax.layers import ConvBlock, Normalized
from segjax.models.saved import shapes

ABOUT = models.About(("ground", "tree", "sky"), ((0, 0, 0), (0, 200, 0), (0, 0, 200)), licence="CC0-1.0")
IMAGES = [np.random.default_rng(i).integers(0, 256, (32, 32, 3)).astype(np.uint8) for i in range(2)]
NEEDS = {"stablehlo": "flatbuffers", "onnx": "onnxruntime", "tflite": "litert_converter"}


def with_variables(net: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    model, rng = Normalized(net, (0.5,) * 3, (0.3,) * 3), np.random.default_rng(0)

    def some(like: Any) -> np.ndarray:
        values = rng.standard_normal(like.shape).astype(like.dtype) * 0.2
        return np.abs(values) + 0.5 if like.ndim == 1 else values  # a variance is above 0

    return model, jax.tree.map(some, shapes(model, 3))


@cache
def segmenter() -> tuple[nn.Module, dict[str, Any]]:
    """Max-unpooling, whose offsets are bytes, which TFLite selects none of."""
    return with_variables(models.unet(3, 4, depth=1, convs=1, upsample=upsampling.MaxUnpool, block=ConvBlock))


@cache
def detector() -> tuple[nn.Module, dict[str, Any]]:
    encoder = encoders.ConvEncoder(((4,), (8,)), ConvBlock)
    decoder = decoders.UNetDecoder(upsample=upsampling.Bilinear, block=ConvBlock, finest_stride=2)
    return with_variables(models.CenterNet(3, encoder, decoder, num_attributes=2, hidden=4))


def needed(format: str) -> None:
    if importlib.util.find_spec(NEEDS[format]) is None:
        pytest.skip(f"{NEEDS[format]} is not installed")


FORMATS = get_args(Format)


OUTPUTS = {
    "probabilities": {"probabilities": ("float32", "n", 24, 40, 3)},
    "mask": {"mask": ("uint8", "n", 24, 40)},
    "boxes": {
        "boxes": ("float32", "n", 5, 4),
        "labels": ("int32", "n", 5),
        "scores": ("float32", "n", 5),
        "attributes": ("float32", "n", 5, 2),
    },
}


@pytest.mark.parametrize(
    ("kind", "format"),
    [(kind, format) for kind in OUTPUTS for format in FORMATS if (kind, format) != ("probabilities", "stablehlo")],
)
def test_a_model_gives_the_same_in_the_runtime_it_was_exported_to(kind: str, format: Format, tmp_path: Path):
    needed(format)
    model, variables = detector() if kind == "boxes" else segmenter()
    file = tmp_path / f"new/model.{format}"
    settings: dict[str, Any] = {"size": (24, 40), "argmax": kind == "mask", "max_boxes": 5, "about": ABOUT}
    out = export_model(model, variables, file, format, IMAGES, **settings)
    assert out.difference < 1e-5
    found = read_metadata(out.path)
    assert found == out.metadata
    assert found["input"]["shape"] == ["n", 24, 40, 3]
    assert found["input"]["normalised_inside"]["mean"] == [0.5] * 3
    assert (found["class_names"], found["licence"]) == (["ground", "tree", "sky"], "CC0-1.0")
    assert (found["palette"], found["dtype"]) == ([list(colour) for colour in ABOUT.palette], "float32")
    assert found["check"]["images"] == 2
    shapes = {name: (one["type"], *one["shape"]) for name, one in found["outputs"].items()}
    assert shapes == OUTPUTS[kind]


@pytest.mark.parametrize("format", FORMATS)
def test_what_gives_other_numbers_is_not_written(format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    needed(format)
    way = importlib.import_module(f"segjax.export.{format}")
    right = {"probabilities": np.zeros((2, 32, 32, 3), np.float32)}
    monkeypatch.setattr(way, "outputs_of", lambda path, images: right)
    model, variables = segmenter()
    with pytest.raises(ExportError, match="gives other numbers than the model"):
        export_model(model, variables, tmp_path / "model", format, IMAGES, size=(32, 32))
    assert not any(tmp_path.iterdir())


def kernel_types(file: Path, format: Format) -> set[str]:
    """What the kernels in a file are of."""
    if format == "tflite":
        return {str(array.dtype) for array in weights.read(file).values() if array.ndim == 4}
    if format == "stablehlo":
        program = jax.export.deserialize(bytearray(file.read_bytes())).mlir_module()
        names = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
        kernels = re.findall(r"constant dense<[^>]*> : tensor<3x3x\d+x\d+x(\w+)>", program)
        return {names[kind] for kind in kernels}
    onnx = importlib.import_module("onnx")
    tensors = [each for each in onnx.load(file).graph.initializer if len(each.dims) == 4 and max(each.dims[2:]) > 1]
    return {str(onnx.helper.tensor_dtype_to_np_dtype(each.data_type)) for each in tensors} - {"int32"}  # of offsets


@pytest.mark.parametrize(
    ("format", "dtype"),
    [("stablehlo", "bfloat16"), ("onnx", "float16"), ("onnx", "bfloat16"), ("tflite", "float16")],
)
def test_kernels_are_stored_in_16_bits(format: Format, dtype: Any, tmp_path: Path):
    needed(format)
    model, variables = segmenter()
    out = export_model(model, variables, tmp_path / f"a.{format}", format, IMAGES, size=(32, 32), dtype=dtype)
    assert 1e-6 < out.difference < 5e-2
    assert (out.metadata["dtype"], out.metadata["check"]["tolerance"] > 1e-3) == (dtype, True)
    assert kernel_types(out.path, format) == {dtype}


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_8_bits_are_judged_by_what_the_score_loses(format: Format, tmp_path: Path):
    needed(format)
    model, variables = with_variables(models.unet(3, 4, depth=1, upsample=upsampling.Bilinear, block=ConvBlock))
    images = np.stack(IMAGES)[:, :24]
    given = []

    def score(model: nn.Module, variables: Any) -> float:
        given.append(np.asarray(jax.jit(lambda x: jax.nn.softmax(model.apply(variables, x, train=False)))(images)))  # type: ignore[arg-type]
        return 1 - float(np.abs(given[-1] - given[0]).mean())

    calibration = Calibration(IMAGES, score, "closeness")
    file = tmp_path / f"a.{format}"
    out = export_model(model, variables, file, format, IMAGES, size=(32, 32), about=ABOUT, calibration=calibration)
    eight = read_metadata(file)["int8"]
    assert eight["calibrated_on"] == "2 images of the training split"
    assert (eight["model"], eight["score"], len(given)) == (1, "closeness", 2)
    assert 0.98 < eight["int8"] < 1
    assert eight["lost"] == pytest.approx(1 - eight["int8"])
    assert 1e-3 < out.difference < 0.3
    assert out.metadata["dtype"] == "int8"


def test_8_bits_that_lose_too_much_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    needed("onnx")
    monkeypatch.setitem(module.QUANTISE, "onnx", lambda written, images: written)
    model, variables = segmenter()
    calibration = Calibration(IMAGES, lambda other, _: float(other is model), "miou")
    with pytest.raises(ExportError, match=r"In 8 bits miou .* is 0\.0000, where the model has 1\.0000: 0\.02 may"):
        export_model(model, variables, tmp_path / "b", "onnx", IMAGES, size=(32, 32), calibration=calibration)
    assert not any(tmp_path.iterdir())


def test_bad_input_is_one_sentence(tmp_path: Path):
    def export(format: Any = "stablehlo", images: Any = IMAGES, size: Any = (32, 32), of: Any = segmenter, **more: Any):
        model, variables = of()
        return export_model(model, variables, tmp_path / "model", format, images, size=size, **more)

    with pytest.raises(ExportError, match="torchscript is no format; name one of stablehlo, onnx, tflite"):
        export("torchscript")
    with pytest.raises(ExportError, match="tflite takes images of one size alone"):
        export("tflite", size=None)
    with pytest.raises(ExportError, match=r"Images of 90000x90000 pixels have 8100\.0 megapixels, and an export may"):
        export(size=(90000, 90000))
    for size in (32, (0, 32), (32.0, 32.0), (32, 32, 3)):
        with pytest.raises(ExportError, match=r"^size is .*: give height and width of the images in pixels"):
            export(size=size)
    for thresholds in ((0.5,), (0.5, 0.5)):
        with pytest.raises(ExportError, match=f"{len(thresholds)} thresholds, and the model gives 3 logits: say one"):
            export(argmax=True, thresholds=thresholds)
    with pytest.raises(DataError, match="2 classes have names, and the model has 3: name each, or none"):
        export(about=models.About(("ground", "tree")))
    with pytest.raises(ExportError, match=r"^Normalized gives neither logits nor boxes: export a model with a head"):
        export(of=lambda: with_variables(encoders.ConvEncoder(((4,), (8,)), ConvBlock)))
    with pytest.raises(ExportError, match="at least one"):
        export(images=[])
    eight = Calibration(IMAGES, lambda model, variables: 1.0, "accuracy")
    with pytest.raises(ExportError, match="stablehlo has no 8 bits here: take one of onnx, tflite"):
        export(calibration=eight)
    with pytest.raises(ExportError, match="stores no kernels in float16: choose one of both"):
        export("onnx", calibration=eight, dtype="float16")
    with pytest.raises(ExportError, match="has none: give at least one"):
        export("onnx", calibration=eight._replace(images=[]))
    with pytest.raises(ExportError, match="float7 is no type that kernels are stored in; name one of float32, "):
        export(dtype="float7")
    with pytest.raises(ExportError, match=r"takes images \(h, w, 3\) of uint8, and one .* is \(8, 8, 1\) of float64"):
        export(images=[np.zeros((8, 8, 1))])
    with pytest.raises(ExportError, match="boxes alone"):
        export(of=detector, argmax=True)
    with pytest.raises(ExportError, match="one logit"):
        export(of=lambda: with_variables(models.unet(1, 2, depth=1)))
    with pytest.raises(ExportError, match=r"any size, as segjax\..* has to know theirs"):
        export(size=None)
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        module._replace(tmp_path / "file" / "model", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_probabilities_are_of_logits_whatever_a_model_gives():
    """A published network with an activation of its own, whose probabilities a softmax made nearly alike."""
    model, variables = segmenter()
    ends = model.clone(model=model.model.clone(activation=jax.nn.softmax))  # type: ignore[attr-defined]
    programs = [program_of(each, variables, (32, 32)) for each in (model, ends)]
    plain, ended = (str(jax.make_jaxpr(each.run)(each.image(1))) for each in programs)
    assert plain == ended


def test_images_may_be_one_array():
    (batch,) = batches(np.stack(IMAGES), program_of(*segmenter(), (16, 16)))  # type: ignore[arg-type]
    assert batch.shape == (2, 16, 16, 3)


@pytest.fixture
def sizes_unchecked() -> Iterator[None]:
    """Without jaxtyping's checks, which compare the sizes of arrays, and know no symbols."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("sizes_unchecked")
def test_any_size(tmp_path: Path):
    pytest.importorskip("flatbuffers")
    model, variables = with_variables(
        models.unet(3, 4, depth=2, convs=1, upsample=upsampling.Bilinear, block=ConvBlock)
    )
    out = export_model(
        model, variables, tmp_path / "model", "stablehlo", [IMAGES[0], np.tile(IMAGES[1], (3, 2, 1))], size=None
    )
    assert out.difference < 1e-5
    assert out.metadata["outputs"]["probabilities"]["shape"] == ["n", "any", "any", 3]


def test_labels_are_told_by_their_thresholds(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    model, variables = segmenter()
    settings: dict[str, Any] = {"size": (32, 32), "thresholds": (0.3, 0.5, 0.9)}
    out = export_model(model, variables, tmp_path / "a.onnx", "onnx", IMAGES, **settings, argmax=True)
    assert out.metadata["outputs"]["mask"]["shape"] == ["n", 32, 32, 3]
    assert out.metadata["thresholds"] == [0.3, 0.5, 0.9]
    out = export_model(model, variables, tmp_path / "b.bin", "onnx", IMAGES, **settings)
    assert 0 < out.difference < 1e-5
    assert read_metadata(out.path) == out.metadata  # whatever it is called


def test_a_runtime_that_dies_is_one_sentence(tmp_path: Path):
    with pytest.raises(ExportError, match="said: oh no"):
        run_alone("import os; print('oh no', file=sys.stderr, flush=True); os.abort()", "model", IMAGES[0])


def test_what_says_nothing_of_itself(tmp_path: Path):
    (tmp_path / "model").write_bytes(b"no archive")
    with pytest.raises(ExportError, match="says nothing of itself"):
        read_metadata(tmp_path / "model")
    with pytest.raises(ExportError, match="cannot be read"):
        read_metadata(tmp_path / "absent")


def test_what_is_called_onnx_and_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnx")
    (tmp_path / "model.onnx").write_bytes(b"not found: <html>" * 9)
    with pytest.raises(ExportError, match="says nothing of itself"):
        read_metadata(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"read by onnx: `pip install 'segjax\[export\]'`"):
        read_metadata(tmp_path / "model.onnx")


def test_stablehlo_says_what_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, variables = segmenter()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match="StableHLO needs flatbuffers: `pip install"):
        export_model(model, variables, tmp_path / "model", "stablehlo", IMAGES, size=(32, 32))
    assert not any(tmp_path.iterdir())


def test_tflite_of_16_bits_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ExportError, match=r"needs flatbuffers: `pip install 'segjax\[export\]'`"):
        tflite.stored_in(b"", "float16")
