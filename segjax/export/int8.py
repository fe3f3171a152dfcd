"""Whole numbers of 8 bits instead of floating point: post-training quantisation, and what a model scores with it.

Ranges of what flows through the network are had from images that it was trained on (Jacob et al. 2018); kernels have
one for each channel.
"""

import importlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Num

from segjax.errors import ExportError
from segjax.export.images import fitted
from segjax.export.program import Program

Images = Sequence[Num[np.ndarray, "1 h w c"]]
Run = Callable[[np.ndarray], dict[str, np.ndarray]]
_QUANTISED = ["Conv", "MatMul", "Add", "Mul", "Concat", "Resize", "Transpose", "Relu", "Clip", "AveragePool", "MaxPool"]
"""Nodes of ONNX; probabilities and boxes are made of floating point."""
LARGEST_LOSS = 0.02
"""Of the task's score on the validation split, that a file may lose."""


class Calibration(NamedTuple):
    """What ranges are had from, and how a model is judged."""

    images: Sequence[Num[np.ndarray, "h w c"]]
    """Of the training split, as they are stored."""
    score: Callable[[nn.Module, Any], float]
    """Of a model and its variables on the validation split, the higher the better."""
    name: str
    """What the score is called."""


class InRuntime(nn.Module):
    """A model whose outputs are another runtime's: for each size of images a file is made when it is first traced."""

    outputs: Callable[[jax.ShapeDtypeStruct], Any]
    """The shapes of the outputs for images."""
    runtime: Callable[[tuple[int, int]], Callable[[np.ndarray], Any]]
    """What gives the outputs for images of a size."""

    def __call__(self, image: Any, *, train: bool) -> Any:
        """As the model gives them."""
        del train  # a file only predicts
        like = self.outputs(jax.ShapeDtypeStruct(image.shape, image.dtype))
        run = self.runtime(image.shape[1:3])
        return jax.pure_callback(lambda image: run(np.asarray(image)), like, image)


def onnx(model: bytes, images: Images) -> bytes:
    """An ONNX model with its convolutions and products in 8 bits, as QuantizeLinear and DequantizeLinear around them.

    Raises:
        ExportError: ONNX Runtime's tools cannot do it.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> Any:
            image = next(self.left, None)
            return None if image is None else {"image": image}

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # which recommend steps that were taken
    try:
        with tempfile.TemporaryDirectory(prefix="segjax-int8-") as folder:
            paths = [Path(folder) / name for name in ("float.onnx", "int8.onnx")]
            paths[0].write_bytes(model)
            quantization.quantize_static(
                paths[0],
                paths[1],
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=_QUANTISED,
                per_channel=True,
                # On processors without products of 8 bits, those of bytes with and without a sign overflow.
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return paths[1].read_bytes()
    except Exception as error:  # its tools raise whatever they meet
        raise ExportError(f"ONNX Runtime's tools cannot quantise the model: {_said(error)}") from error
    finally:
        logging.disable(level)


def tflite(model: bytes, images: Images) -> bytes:
    """A TFLite model with its ops in 8 bits where LiteRT has them.

    Raises:
        ExportError: LiteRT's quantiser cannot do it.
    """
    # What TensorFlow's converter quantises with; LiteRT documents no other way in that needs no TensorFlow.
    wrapper = importlib.import_module("ai_edge_litert._pywrap_tensorflow_lite_calibration_wrapper")
    whole, floating = (np.dtype(kind).num for kind in (np.int8, np.float32))
    try:
        calibrator = wrapper.CalibrationWrapper(model, [], [])
        calibrator.Prepare()
        for image in images:
            calibrator.FeedTensor([image])
        # Input and output as they are; floating point where there is no whole kernel; a range for each channel.
        return calibrator.QuantizeModel(floating, floating, True, whole, np.dtype(np.int32).num, False, False)
    except Exception as error:  # it raises whatever its passes raise
        raise ExportError(f"LiteRT's quantiser cannot quantise the model: {_said(error)}") from error


def run_onnx(model: bytes) -> Run:
    """What ONNX Runtime makes of images, in this process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, map(np.asarray, session.run(names, {"image": images})), strict=True))

    return run


def run_tflite(model: bytes) -> Run:
    """What LiteRT makes of images, one after the other, in this process."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=model).get_signature_runner()

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        each = [runner(image=image[None]) for image in images]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    return run


def judged(
    convert: Callable[[Program], bytes], format: str, model: nn.Module, variables: Any, calibration: Calibration
) -> dict[str, Any]:
    """The score of a model, of the same network in 8 bits, and what is lost, as a file's metadata has it.

    The network is quantised again with its own outputs, which the task scores, instead of probabilities or boxes.

    Raises:
        ExportError: it cannot be quantised.
    """
    stored = calibration.images[0].dtype

    def outputs(image: Any) -> Any:
        return model.apply(variables, image, train=False)

    def named(image: Any) -> dict[str, Any]:
        return {f"output_{i:03}": leaf for i, leaf in enumerate(jax.tree.leaves(outputs(image)))}

    @cache
    def runtime(size: tuple[int, int]) -> Callable[[np.ndarray], Any]:
        program = Program(named, size, calibration.images[0].shape[-1], str(stored))
        images = [fitted(image, size)[None] for image in calibration.images]
        with ThreadPoolExecutor(1) as own:  # the task's step is being traced here, of which this is no part
            run = RUN[format](QUANTISE[format](own.submit(convert, program).result(), images))

        def ran(images: np.ndarray) -> Any:
            structure = jax.tree.structure(jax.eval_shape(outputs, images))
            return structure.unflatten([array for _, array in sorted(run(images.astype(stored)).items())])

        return ran

    whole = calibration.score(model, variables)
    quantised = calibration.score(InRuntime(partial(jax.eval_shape, outputs), runtime), {})
    return {
        "calibrated_on": f"{len(calibration.images)} images of the training split",
        "score": calibration.name,
        "split": "val",
        "model": whole,
        "int8": quantised,
        "lost": whole - quantised,
        "lost_at_most": LARGEST_LOSS,
    }


QUANTISE: dict[str, Callable[[bytes, Images], bytes]] = {"onnx": onnx, "tflite": tflite}
RUN: dict[str, Callable[[bytes], Run]] = {"onnx": run_onnx, "tflite": run_tflite}


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
