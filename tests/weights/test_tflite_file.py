import struct
from pathlib import Path

import numpy as np
import pytest

from segjax.errors import DataError
from segjax.weights import read

schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed")
flatbuffers = pytest.importorskip("flatbuffers")

OPS = schema.BuiltinOperator
DENSE = np.arange(2 * 3 * 3 * 4, dtype=np.float32).reshape(2, 3, 3, 4)
DEEP = np.arange(3 * 3 * 5, dtype=np.float16).reshape(1, 3, 3, 5)
SPREAD = np.arange(2 * 2 * 4, dtype=np.float32).reshape(1, 2, 2, 4)


def written(kernel: np.ndarray = DENSE, kind: int = schema.TensorType.FLOAT32) -> bytes:
    """A graph of a convolution, a depthwise one of halved weights, and MediaPipe's transposed one."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.buffers, graph.tensors, graph.operators, model.operatorCodes = [schema.BufferT()], [], [], []

    def tensor(name: str, array: np.ndarray | None, kind: int = schema.TensorType.FLOAT32) -> int:
        one = schema.TensorT()
        one.name, one.type, one.shape, one.buffer = name, kind, [1], 0
        if array is not None:
            buffer = schema.BufferT()
            buffer.data, one.shape = np.frombuffer(array.tobytes(), np.uint8), array.shape
            one.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], output: int, custom: str | None = None) -> None:
        kind, one = schema.OperatorCodeT(), schema.OperatorT()
        kind.builtinCode, kind.customCode = code, custom
        kind.deprecatedBuiltinCode = min(code, 127)
        one.opcodeIndex, one.inputs, one.outputs = len(model.operatorCodes), inputs, [output]
        model.operatorCodes.append(kind)
        graph.operators.append(one)

    x = tensor("image", None)
    y = tensor("conv", None)
    operator(OPS.CONV_2D, [x, tensor("conv/Kernel", kernel, kind), tensor("conv/Bias", np.ones(2, np.float32))], y)
    half = tensor("deep/Kernel", DEEP, schema.TensorType.FLOAT16)
    whole, z = tensor("deep/Kernel_dequantize", None), tensor("deep", None)
    operator(OPS.DEQUANTIZE, [half], whole)
    operator(OPS.DEPTHWISE_CONV_2D, [y, whole], z)
    operator(OPS.CUSTOM, [z, tensor("grown/Kernel", SPREAD)], tensor("grown", None), "Convolution2DTransposeBias")
    tensor("size", np.array([2, 2], np.int32), schema.TensorType.INT32)
    model.subgraphs, graph.inputs, graph.outputs, model.version = [graph], [x], [z], 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(written())
    return path


def test_arrays_come_under_torchs_names_and_in_its_layouts(file: Path):
    found = read(file)
    assert sorted(found) == ["conv.bias", "conv.weight", "deep.weight", "grown.weight"]
    np.testing.assert_array_equal(found["conv.weight"], DENSE.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found["deep.weight"], DEEP.transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(found["grown.weight"], SPREAD.transpose(3, 0, 1, 2))
    assert (found["deep.weight"].dtype, found["conv.weight"].dtype) == (np.float16, np.float32)


def test_kernels_of_whole_numbers_are_refused(file: Path):
    file.write_bytes(written(DENSE.astype(np.int8), schema.TensorType.INT8))
    with pytest.raises(DataError, match=r"has kernels of whole numbers: give the file of the model as it was before"):
        read(file)


def test_a_damaged_file_is_refused_and_no_other_error_comes(file: Path):
    whole, rng, refused = file.read_bytes(), np.random.default_rng(0), 0
    damaged = [whole[:length] for length in range(9, len(whole), 37)]
    for _ in range(300):
        at = int(rng.integers(8, len(whole) - 4)) if _ % 2 else int(rng.integers(0, 100)) // 4 * 4 or 8
        value = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**31, int(rng.integers(2**32))]))
        damaged.append(whole[:at] + struct.pack("<I", value) + whole[at + 4 :])
    for content in damaged:
        file.write_bytes(content)
        try:
            read(file)
        except DataError:
            refused += 1
    assert refused > len(damaged) / 4
