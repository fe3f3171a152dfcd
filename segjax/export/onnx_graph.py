"""An ONNX graph as it is written: nodes, constants, and arrays that are larger than what holds them.

Sizes are known for a batch of two images and for one of three, as a function is traced for both: one that differs is
the batch's, or a multiple of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from segjax.errors import ExportError

Dim = tuple[int, int]
"""One size, for a batch of two and of three."""
Shape = tuple[Dim, ...]
ONE: Dim = (1, 1)


@dataclass(frozen=True)
class Value:
    """An array of the graph."""

    shape: Shape
    held: Shape
    """The same, with 1 where the array only repeats itself: what is broadcast is written once."""
    name: str = ""
    """Of what the graph computes; none where it is known."""
    array: np.ndarray | None = None


@dataclass(frozen=True)
class Equation:
    """A primitive as a function has it for batches of two and of three images."""

    name: str
    parameters: dict[str, Any]
    """Of a batch of two."""
    others: dict[str, Any]
    """Of a batch of three."""
    shapes: tuple[Shape, ...]
    """Of what it gives."""
    types: tuple[np.dtype, ...]

    def unknown(self, what: str) -> ExportError:
        """The sentence for a case that has no form in ONNX here."""
        return ExportError(f"ONNX: the model has a {self.name} {what}, which segjax writes no nodes for.")


class Graph:
    """Nodes and constants, each written once."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[Any, list[str]] = {}

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """The names of what a node computes."""
        key = (op, inputs, outputs, repr(sorted(attributes.items())))
        if key not in self._known:
            self._known[key] = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
            self.nodes.append(helper.make_node(op, inputs, self._known[key], f"{op}_{len(self.nodes)}", **attributes))
        return self._known[key]

    def constant(self, array: np.ndarray | np.generic | Sequence[int]) -> str:
        """The name of a constant; whole numbers without a type are ONNX's own for sizes and axes."""
        array = np.ascontiguousarray(array, None if isinstance(array, np.ndarray | np.generic) else np.int64).reshape(
            np.shape(array)
        )
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"constant_{len(self.constants)}"
            self._known[key] = [name]
            self.constants[name] = numpy_helper.from_array(array, name)
        return self._known[key][0]

    def name(self, value: Value) -> str:
        """What holds an array, without its repetitions."""
        return self.constant(value.array) if value.array is not None else value.name

    def full(self, value: Value) -> str:
        """All of an array."""
        name = self.name(value)
        return name if value.held == value.shape else self.add("Expand", name, self.sizes(value.shape))[0]

    def reshaped(self, name: str, shape: Shape) -> str:
        """An array of as many elements in another shape."""
        moving = [i for i, (two, three) in enumerate(shape) if two != three]
        if len(moving) > 1:
            return self.add("Reshape", name, self.sizes(shape))[0]
        return self.add(
            "Reshape", name, self.constant([-1 if i in moving else two for i, (two, _) in enumerate(shape)])
        )[0]

    def transposed(self, name: str, order: Sequence[int]) -> str:
        """An array with its axes in another order."""
        order = [int(axis) for axis in order]
        return name if order == sorted(order) else self.add("Transpose", name, perm=order)[0]

    def sizes(self, shape: Shape) -> str:
        """A shape as an array of whole numbers, found when the graph runs where it depends on the batch."""
        if all(two == three for two, three in shape):
            return self.constant([two for two, _ in shape])
        return self.add("Concat", *map(self._size, shape), axis=0)[0]

    def _size(self, dim: Dim) -> str:
        two, three = dim
        if two == three:
            return self.constant([two])
        batch = self.add("Shape", "image", start=0, end=1)[0]
        of_each, more = three - two, two - 2 * (three - two)
        size = batch if of_each == 1 else self.add("Mul", batch, self.constant([of_each]))[0]
        return size if more == 0 else self.add("Add", size, self.constant([more]))[0]

    def needed(self, outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The nodes and constants that some outputs come from, in order."""
        wanted, kept = set(outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        return kept[::-1], [tensor for name, tensor in self.constants.items() if name in wanted]
