"""Weights in TFLite's files, read where they lie: https://github.com/google-ai-edge/LiteRT, schema.fbs.

A FlatBuffer is made of tables, in which each field has a place relative to the table, or none for its default.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segjax.weights.mapped import Mapped, Refused

MAGIC = b"TFL3"
"""Behind the first four bytes."""
_DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
"""TensorType's of weights; what has whole numbers is a size, or quantised."""
_CONV_2D, _DEPTHWISE_CONV_2D, _DEQUANTIZE, _TRANSPOSE_CONV, _CUSTOM = 3, 4, 6, 67, 32
_TORCH_AXES = {_CONV_2D: (0, 3, 1, 2), _DEPTHWISE_CONV_2D: (3, 0, 1, 2), _TRANSPOSE_CONV: (3, 0, 1, 2)}
"""Of the kernels (output, h, w, input), (1, h, w, channels) and (output, h, w, input)."""
_MOST_AXES, _MOST_TABLES = 8, 2**17


def read_opened(file: Mapped) -> dict[str, np.ndarray]:
    """The constant arrays of floating point of a file's first graph: `NAME.weight` and `NAME.bias`, in torch's layouts.

    The kernels of convolutions are called as Keras calls their layers; the graph is read for what they are kernels of,
    and nothing is run.

    Raises:
        Refused: It ends early, is damaged, or has kernels of whole numbers.
    """
    try:
        return dict(_arrays(file))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise Refused("is a TFLite file that ends early or is damaged") from error


def _arrays(file: Mapped) -> Iterator[tuple[str, np.ndarray]]:
    model = _Table(file, *struct.unpack_from("<I", file, 0))
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors, operators = graph.tables(0), graph.tables(3)
    kinds = [_kind(code) for code in model.tables(1)]
    codes = [kinds[operator.number(0, "<I")] for operator in operators]
    # Weights of half the size are brought to float32 by an operator of their own.
    stored = {
        operator.numbers(2)[0]: operator.numbers(1)[0]
        for operator, code in zip(operators, codes, strict=True)
        if code == _DEQUANTIZE
    }
    axes = {}
    for operator, code in zip(operators, codes, strict=True):
        if code in _TORCH_AXES:
            inputs = operator.numbers(1)
            kernel = inputs[1]  # the sizes of the output come first in a transposed one, as numbers
            axes[stored.get(kernel, kernel)] = _TORCH_AXES[code]
    for i, tensor in enumerate(tensors):
        buffer, kind = buffers[tensor.number(2, "<I")], tensor.number(1, "<b")
        if not buffer.length(0):
            continue
        if kind not in _DTYPES:
            if i in axes:
                raise Refused("has kernels of whole numbers", "give the file of the model as it was before quantising")
            continue
        shape = tensor.numbers(0)
        if len(shape) > _MOST_AXES or math.prod(shape) * _DTYPES[kind].itemsize != buffer.length(0):
            raise Refused("has an array of another size than it says")
        array = buffer.bytes(0).view(_DTYPES[kind]).reshape(shape)
        yield _name(tensor.text(3)), array.transpose(axes[i]) if i in axes else array


def _name(text: str) -> str:
    layer, _, last = text.rpartition("/")
    return f"{layer}.{ {'Kernel': 'weight', 'Bias': 'bias'}.get(last, last) }" if layer else last


def _kind(code: "_Table") -> int:
    """An operator's number; MediaPipe's transposed convolution with a bias counts as TFLite's own."""
    kind = max(code.number(0, "<b"), code.number(3, "<i"))  # the one that the file has
    return _TRANSPOSE_CONV if kind == _CUSTOM and code.text(1) == "Convolution2DTransposeBias" else kind


@dataclass(frozen=True)
class _Table:
    """A table of a FlatBuffer, whose fields are asked for by their number in the schema."""

    file: Any
    at: int

    def _field(self, number: int) -> int | None:
        """Where a field is."""
        places = self.at - struct.unpack_from("<i", self.file, self.at)[0]
        size = struct.unpack_from("<H", self.file, places)[0]
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", self.file, places + place)[0] if place < size else 0
        return self.at + offset if offset else None

    def number(self, number: int, format: str) -> int:
        """A whole number, 0 by default."""
        at = self._field(number)
        return 0 if at is None else struct.unpack_from(format, self.file, at)[0]

    def _vector(self, number: int, width: int) -> tuple[int, int]:
        """Where the first element is, and how many there are."""
        at = self._field(number)
        if at is None:
            return 0, 0
        at += struct.unpack_from("<I", self.file, at)[0]
        count = struct.unpack_from("<I", self.file, at)[0]
        if at + 4 + width * count > len(self.file):
            raise IndexError
        return at + 4, count

    def length(self, number: int) -> int:
        """How many bytes a field has."""
        return self._vector(number, 1)[1]

    def bytes(self, number: int) -> np.ndarray:
        """A field's bytes, uncopied."""
        at, count = self._vector(number, 1)
        return self.file.array()[at : at + count]

    def text(self, number: int) -> str:
        """A field's text."""
        at, count = self._vector(number, 1)
        return self.file[at : at + count].decode()

    def numbers(self, number: int) -> tuple[int, ...]:
        """Whole numbers: a shape, or the tensors of an operator."""
        at, count = self._vector(number, 4)
        return struct.unpack_from(f"<{min(count, _MOST_AXES + 1)}i", self.file, at)

    def tables(self, number: int) -> "list[_Table]":
        """Tables, one after the other."""
        first, count = self._vector(number, 4)
        if count > _MOST_TABLES:
            raise IndexError
        places = range(first, first + 4 * count, 4)
        return [_Table(self.file, at + struct.unpack_from("<I", self.file, at)[0]) for at in places]
