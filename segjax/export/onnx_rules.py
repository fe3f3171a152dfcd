"""What jax has in small steps and ONNX in one node: a graph is written again, and each node may end such steps.

Runtimes look for convolutions with a bias and an activation, layer normalisation, softmax and products, and have a
kernel for each.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from segjax.export.onnx_graph import Graph
from segjax.export.onnx_simplify import Rule, Simplified

_HALF_ROOT = 2**-0.5


def simplified(graph: Graph, outputs: Sequence[str]) -> Graph:
    """A graph that computes the same outputs in fewer nodes."""
    nodes, constants = graph.needed(outputs)
    made = Simplified(_RULES)
    uses = Counter(name for node in nodes for name in node.input)
    same = {constant.name: made.constant(numpy_helper.to_array(constant)) for constant in constants}
    for node in nodes:
        inputs = [same.get(name, name) for name in node.input]
        if node.output[0] in outputs:
            made.nodes.append(helper.make_node(node.op_type, inputs, node.output, node.name))
            continue
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        found = made.add(node.op_type, *inputs, outputs=len(node.output), **attributes)
        for old, new in zip(node.output, found, strict=True):
            same[old] = new
            made.uses[new] += uses[old]
    return made


def _identity(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    return inputs[0]


def _power(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    return inputs[0] if graph.number(inputs[1]) == 1 else None


def _largest(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """The larger of an array and nothing, or zero."""
    for x, known in (inputs, inputs[::-1]):
        bound, array = graph.number(known), graph.array(known)
        if bound == -np.inf:
            return x
        if bound == 0 and array is not None and array.dtype.kind != "i":
            return graph.add("Relu", x)[0]
    return None


def _smallest(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """A positive part up to a number, as ReLU6 is."""
    for x, known in (inputs, inputs[::-1]):
        below, high = graph.inputs(x, "Relu"), graph.array(known)
        if below and high is not None and high.size == 1 and high >= 0:
            bounds = (graph.constant(np.zeros((), high.dtype)), graph.constant(high.reshape(())))
            return graph.add("Clip", below[0], *bounds)[0]
    return None


def _transposed(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """Two orders one after the other."""
    order = list(attributes["perm"])
    if order == sorted(order):
        return inputs[0]
    if below := graph.inputs(inputs[0], "Transpose"):
        first = graph.attribute(inputs[0], "perm")
        return graph.add("Transpose", below[0], perm=[first[axis] for axis in order])[0]
    return None


def _unsqueezed(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """An axis that a reduction took away, kept instead."""
    name, axes = inputs[0], graph.array(inputs[1])
    if divided := graph.beside(name, "Div"):
        below, by = divided
        if graph.number(by) is not None and (kept := _kept(graph, below, axes)):
            return graph.add("Div", kept, by)[0]
    return _kept(graph, name, axes)


def _squeezed(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """Axes that were only just made."""
    below = graph.inputs(inputs[0], "Unsqueeze")
    return below[0] if below and below[1] == inputs[1] else None


def _kept(graph: Simplified, name: str, axes: np.ndarray | None) -> str | None:
    for op in ("ReduceSum", "ReduceMax"):
        below = graph.inputs(name, op)
        if below and axes is not None and not graph.attribute(name, "keepdims"):
            gone = graph.array(below[1])
            if gone is not None and sorted(gone.ravel()) == sorted(axes.ravel()):
                return graph.add(op, *below, keepdims=1)[0]
    return None


def _affine(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """A number for every channel after a convolution goes into its kernel and bias."""
    x, known = inputs if graph.array(inputs[1]) is not None else inputs[::-1]
    by = graph.array(known)
    if by is None or by.dtype.kind == "i" or (op in ("Sub", "Div") and known == inputs[0]):
        return None
    order = graph.attribute(x, "perm") if graph.inputs(x, "Transpose") else None
    below = graph.inputs(x, "Transpose")[0] if order else x  # type: ignore[index]
    conv = graph.inputs(below, "Conv")
    if not conv or graph.uses[x] > 1 or graph.uses[below] > 1 or graph.array(conv[1]) is None:
        return None
    kernel = graph.array(conv[1])
    assert kernel is not None
    rank, channels = kernel.ndim, len(kernel)
    at = list(order).index(1) if order else 1
    own = (1,) * (rank - by.ndim) + by.shape
    if by.ndim > rank or any(size != 1 for axis, size in enumerate(own) if axis != at):
        return None
    by = np.broadcast_to(by.reshape(-1), channels)
    bias = graph.array(conv[2]) if len(conv) > 2 else np.zeros(channels, kernel.dtype)
    assert bias is not None
    if op in ("Mul", "Div"):
        by = 1 / by if op == "Div" else by
        kernel, bias = kernel * by.reshape(-1, *(1,) * (rank - 1)), bias * by
    else:
        bias = bias - by if op == "Sub" else bias + by
    found = graph.add("Conv", conv[0], graph.constant(kernel), graph.constant(bias), **graph.attributes(below))[0]
    return graph.add("Transpose", found, perm=list(order))[0] if order else found


def _ended(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """What an addition or a product may be the end of."""
    rules = {
        "Add": (_layer_norm, _affine),
        "Mul": (_gelu, _affine),
        "Div": (_softmax, _undone, _affine),
        "Sub": (_affine,),
    }
    for rule in rules[op]:
        if (found := rule(graph, op, inputs, attributes)) is not None:
            return found
    return _flat(graph, op, inputs)


def _flat(graph: Simplified, op: str, inputs: tuple[str, ...]) -> str | None:
    """A constant along the last axis without the axes of one element before it: a bias, as products have one."""
    short = list(inputs)
    for i, name in enumerate(inputs):
        array, other = graph.array(name), graph.array(inputs[1 - i])
        if array is not None and other is None and array.ndim > 1 and array.shape[-1] == array.size:
            short[i] = graph.constant(array.reshape(-1))
    return graph.add(op, *short)[0] if short != list(inputs) else None


def _softmax(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    above, total = inputs[0], graph.reduced(inputs[1], "ReduceSum")
    exponent = graph.inputs(above, "Exp")
    if not total or total[0] != above or not exponent or not (moved := graph.inputs(exponent[0], "Sub")):
        return None
    if graph.reduced(moved[1], "ReduceMax") != (moved[0], total[1]):
        return None
    return graph.add("Softmax", moved[0], axis=total[1])[0]


def _undone(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """What was just multiplied by the same number."""
    below = graph.beside(inputs[0], "Mul")
    number = graph.number(inputs[1])
    return below[0] if below and number is not None and graph.number(below[1]) == number else None


def _gelu(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """The half of x times erfc(-x / sqrt(2)), as runtimes look for it."""
    half, rest = (graph.beside(name, kind) for name, kind in zip(inputs, ("Mul", "Sub"), strict=True))
    if not half or not rest or graph.number(half[1]) != 0.5 or graph.number(rest[1]) != 1:
        return None
    x, error = half[0], graph.inputs(rest[0], "Erf")
    scaled = graph.beside(error[0], "Mul") if error and graph.inputs(inputs[1], "Sub")[0] == rest[1] else None  # type: ignore[index]
    if not scaled or graph.inputs(scaled[0], "Neg") != [x] or abs((graph.number(scaled[1]) or 0) - _HALF_ROOT) > 1e-6:
        return None
    kind = graph.array(half[1]).dtype.type  # type: ignore[union-attr]
    root, one, half_ = (graph.constant(kind(number)) for number in (2**0.5, 1, 0.5))
    more = graph.add("Add", graph.add("Erf", graph.add("Div", x, root)[0])[0], one)[0]
    return graph.add("Mul", graph.add("Mul", x, more)[0], half_)[0]


def _layer_norm(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """What is centred and scaled along the last axis."""
    bias = graph.array(inputs[1])
    product = graph.inputs(inputs[0], "Mul")
    if bias is None or not product:
        return None
    centred, weighed = product
    scale, mean = graph.beside(weighed, "Mul"), graph.inputs(centred, "Sub")
    if not scale or not mean or not (inverse := graph.inputs(scale[0], "Reciprocal")):
        return None
    x, gain = mean[0], graph.array(scale[1])
    root = graph.inputs(inverse[0], "Sqrt")
    variance = graph.beside(root[0], "Add") if root else None
    assert gain is not None
    size = gain.shape[-1] if gain.ndim else 0
    if not variance or _mean(graph, mean[1], size) != x or gain.size != size or bias.size != size:
        return None
    squared = _mean(graph, variance[0], size)
    epsilon = graph.number(variance[1])
    if squared is None or graph.inputs(squared, "Mul") != [centred, centred] or epsilon is None:
        return None
    weights = (graph.constant(each.reshape(-1)) for each in (gain, bias))
    return graph.add("LayerNormalization", x, *weights, axis=-1, epsilon=epsilon)[0]


def _mean(graph: Simplified, name: str, size: int) -> str | None:
    """Of what an array is the mean along the last axis, of so many elements."""
    divided = graph.beside(name, "Div")
    total = graph.reduced(divided[0], "ReduceSum") if divided and graph.number(divided[1]) == size else None
    return total[0] if total else None


def _product(graph: Simplified, op: str, inputs: tuple[str, ...], attributes: dict[str, Any]) -> str | None:
    """A sum of products over one axis, as a matrix product with what is the same for both in front."""
    terms = attributes["equation"].decode() if isinstance(attributes["equation"], bytes) else attributes["equation"]
    given, out = terms.split("->")
    left, right = given.split(",")
    batch = "".join(letter for letter in left if letter in right and letter in out)
    summed = [letter for letter in left if letter in right and letter not in out]
    own = [[letter for letter in one if letter not in other] for one, other in ((left, right), (right, left))]
    if len(summed) != 1 or any(len(letters) != 1 for letters in own):
        return None
    (k,), (m,), (n,) = summed, *own

    def ordered(i: int, order: str) -> str:
        letters = (left, right)[i]
        return graph.transposed(inputs[i], [letters.index(letter) for letter in order])

    # What comes second changes nothing but which of the two has its last axes swapped.
    moved = (left[-1] != k) + (right[-1] != n), (right[-1] != k) + (left[-1] != m)
    if moved[0] <= moved[1]:
        found, have = graph.add("MatMul", ordered(0, batch + m + k), ordered(1, batch + k + n))[0], batch + m + n
    else:
        found, have = graph.add("MatMul", ordered(1, batch + n + k), ordered(0, batch + k + m))[0], batch + n + m
    return graph.transposed(found, [have.index(letter) for letter in out])


_ENDS: dict[str, tuple[Rule, ...]] = {
    "Add": (_layer_norm, _affine),
    "Sub": (_affine,),
    "Mul": (_gelu, _affine),
    "Div": (_softmax, _undone, _affine),
}
_RULES: dict[str, Rule] = {
    "Identity": _identity,
    "Pow": _power,
    "Max": _largest,
    "Min": _smallest,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Einsum": _product,
    **dict.fromkeys(_ENDS, _ended),
}
