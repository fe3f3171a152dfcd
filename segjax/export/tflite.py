"""TFLite from StableHLO by LiteRT's converter, without TensorFlow.

The converter has no documented way in: it is called as litert-torch 0.10 calls it. What it pins is what its tools for
MLIR need; the part used here needs none of them, so that `pip install --no-deps` puts it beside any jax.
"""

import importlib
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from segjax.errors import ExportError
from segjax.export.inlined import inlined
from segjax.export.process import run_alone
from segjax.export.program import Program

INSTALL = "pip install --no-deps litert-converter==0.5.0 ai-edge-litert==2.3.0"
_PARTS = ("converter_api_ext", "mlir.ir", "mlir.passmanager")
_AXES = 5
_RUN = """
from ai_edge_litert.interpreter import Interpreter

run = Interpreter(model_path=path).get_signature_runner()
each = [run(image=image[None]) for image in images]
outputs = {name: np.concatenate([one[name] for one in each]) for name in each[0]}
"""


def convert(program: Program) -> bytes:
    """The flatbuffer, for one image at a time.

    Raises:
        ExportError: the converter is not there, or has no form of an op of the model; the sentence says which.
    """
    try:
        converter, ir, passes = (importlib.import_module(f"litert_converter.{name}") for name in _PARTS)
    except ModuleNotFoundError as error:
        raise ExportError(f"TFLite needs {error.name}: `{INSTALL}`.") from error
    run = inlined(program.run, {"mul": _product})
    text = jax.jit(run, keep_unused=True).lower(program.image(1)).as_text()
    context = ir.Context()
    converter.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(text)
        converter.set_signature(module.operation, "serving_default", ["image"], sorted(program.outputs()))
        merged = converter.merge_modules([module])
        config = converter.ConvertToTFLConfig()
        config.unsafe_fuse_dynamic_shaped_broadcast = True
        config.canonicalizing_inf_as_min_max_float = False
        try:
            converter.run_convert_to_tfl_passes(merged, passes.PassManager(), config)
            return bytes(converter.export_flatbuffer_to_bytes(merged.operation))
        except Exception as error:  # the converter raises whatever its passes raise
            why = " ".join(str(error).split()).partition(": %")[0][:200]  # without the operation's operands
            raise ExportError(f"LiteRT's converter has no form of a part of the model: {why}") from error


def stored_in(model: bytes, dtype: str) -> bytes:
    """The flatbuffer with the kernels of its convolutions and products in float16, which an op of its own widens.

    Raises:
        ExportError: another type, of which LiteRT widens none, or flatbuffers is not installed.
    """
    if dtype != "float16":
        raise ExportError(f"TFLite stores kernels in float32 or float16, and LiteRT widens no {dtype}.")
    try:
        import flatbuffers
    except ModuleNotFoundError as error:
        raise ExportError("TFLite in float16 needs flatbuffers: `pip install 'segjax[export]'`.") from error
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    made = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,), operators, kinds = made.subgraphs, schema.BuiltinOperator, schema.TensorType
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operators.DEQUANTIZE
    code.version = 2  # the first that takes float16
    made.operatorCodes.append(code)
    of_kernels = (operators.CONV_2D, operators.DEPTHWISE_CONV_2D, operators.TRANSPOSE_CONV, operators.FULLY_CONNECTED)
    codes = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in made.operatorCodes]
    users = [operator for operator in graph.operators if codes[operator.opcodeIndex] in of_kernels]
    for place in sorted({int(operator.inputs[1]) for operator in users}):
        tensor = graph.tensors[place]
        stored = made.buffers[tensor.buffer].data
        if tensor.type != kinds.FLOAT32 or stored is None or not len(stored):
            continue
        short, buffer, widen = schema.TensorT(), schema.BufferT(), schema.OperatorT()
        buffer.data = np.frombuffer(np.asarray(stored, np.uint8).tobytes(), "<f4").astype("<f2").view(np.uint8)
        short.name, short.type, short.shape = tensor.name + b"_float16", kinds.FLOAT16, tensor.shape
        short.buffer, tensor.buffer = len(made.buffers), 0
        widen.opcodeIndex, widen.inputs, widen.outputs = len(codes) - 1, [len(graph.tensors)], [place]
        made.buffers.append(buffer)
        graph.tensors.append(short)
        graph.operators.insert(0, widen)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _product(x: Array, y: Array, **_: Any) -> Array:
    """TFLite multiplies arrays of up to five axes, and CARAFE's have seven: as rows of numbers."""
    if jnp.ndim(x) <= _AXES:
        return lax.mul(x, y)
    x, y = jnp.broadcast_arrays(x, y)
    return lax.mul(x.ravel(), y.ravel()).reshape(x.shape)


def outputs_of(path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """What LiteRT's interpreter gives for images (n h w c), one after the other.

    Raises:
        ExportError: it cannot run the file.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ExportError(f"TFLite is checked in LiteRT, which is not there: `{INSTALL}`.")
    return run_alone(_RUN, path, images)
