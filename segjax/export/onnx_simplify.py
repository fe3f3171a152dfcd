"""An ONNX graph whose nodes are looked at as they are added, with what computes their inputs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from segjax.export.onnx_graph import Graph

Rule = Callable[["Simplified", str, tuple[str, ...], dict[str, Any]], str | None]
"""Called with the graph, the kind of a node, its inputs and attributes: the name of what gives the same, or None."""


class Simplified(Graph):
    """A graph whose nodes are simplified as they are added."""

    def __init__(self, rules: "Mapping[str, Rule]") -> None:
        super().__init__()
        self._rules = rules
        self.uses: Counter[str] = Counter()
        """By how many nodes an array was read before."""
        self._arrays: dict[str, np.ndarray] = {}
        self._made: dict[str, onnx.NodeProto] = {}

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """The names of what a node computes, or of what computes the same."""
        rule = self._rules.get(op)
        if rule is not None and (name := rule(self, op, inputs, attributes)) is not None:
            return [name]
        found = super().add(op, *inputs, outputs=outputs, **attributes)
        self._made |= dict.fromkeys(found, self.nodes[-1]) if found[0] not in self._made else {}
        return found

    def constant(self, array: np.ndarray | np.generic | Sequence[int]) -> str:
        """As of `Graph`."""
        name = super().constant(array)
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self.constants[name])
        return name

    def array(self, name: str) -> np.ndarray | None:
        """The values of a constant."""
        return self._arrays.get(name)

    def number(self, name: str) -> float | None:
        """The value of a constant of one element."""
        array = self.array(name)
        return float(array.ravel()[0]) if array is not None and array.size == 1 else None

    def inputs(self, name: str, op: str) -> list[str] | None:
        """The inputs of the node that computes an array, if it is of that kind."""
        node = self._made.get(name)
        return list(node.input) if node is not None and node.op_type == op else None

    def attribute(self, name: str, of: str) -> Any:
        """An attribute of the node that computes an array."""
        return self.attributes(name).get(of)

    def attributes(self, name: str) -> dict[str, Any]:
        """All of them."""
        return {each.name: helper.get_attribute_value(each) for each in self._made[name].attribute}

    def beside(self, name: str, op: str) -> tuple[str, str] | None:
        """The input of a node of two that is computed, and the constant one."""
        inputs = self.inputs(name, op)
        if inputs is None or len(inputs) != 2:
            return None
        computed = [each for each in inputs if self.array(each) is None]
        known = [each for each in inputs if self.array(each) is not None]
        return (computed[0], known[0]) if len(known) == 1 else None

    def reduced(self, name: str, op: str) -> tuple[str, int] | None:
        """What a node that keeps its axes reduces, and along which single one."""
        inputs = self.inputs(name, op)
        if inputs is None or not self.attribute(name, "keepdims"):
            return None
        axes = self.array(inputs[1])
        return (inputs[0], int(axes[0])) if axes is not None and axes.size == 1 else None
