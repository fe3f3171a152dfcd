"""Convolutions, products and windows as nodes of an ONNX graph."""

import math
from typing import Any

import numpy as np

from segjax.export.onnx_graph import Equation, Graph, Value


def convolution(graph: Graph, equation: Equation, x: Value, kernel: Value) -> Value:
    """A convolution, its axes in ONNX's order and back."""
    p, shape = equation.parameters, equation.shapes[0]
    of_x, of_kernel, of_out = p["dimension_numbers"]
    if set(p["lhs_dilation"]) != {1} or p["batch_group_count"] != 1 or min(map(min, p["padding"])) < 0:
        raise equation.unknown("with a dilated or cut input")
    weights = (
        graph.transposed(graph.full(kernel), of_kernel)
        if kernel.array is None
        else graph.constant(kernel.array.transpose(of_kernel))
    )
    found = graph.add(
        "Conv",
        graph.transposed(graph.full(x), of_x),
        weights,
        strides=list(p["window_strides"]),
        dilations=list(p["rhs_dilation"]),
        group=p["feature_group_count"],
        pads=[low for low, _ in p["padding"]] + [high for _, high in p["padding"]],
    )[0]
    return Value(shape, shape, graph.transposed(found, np.argsort(of_out).tolist()))


def product(graph: Graph, equation: Equation, x: Value, y: Value) -> Value:
    """A sum of products over some axes, image by image or not."""
    (of_x, of_y), (batch_x, batch_y) = (tuple(map(tuple, axes)) for axes in equation.parameters["dimension_numbers"])
    shape, names = equation.shapes[0], (graph.full(x), graph.full(y))
    if not batch_x and len(y.shape) == 2 and (of_x, of_y) == ((len(x.shape) - 1,), (0,)):
        return Value(shape, shape, graph.add("MatMul", *names)[0])
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = [next(letters) for _ in x.shape], [next(letters) for _ in y.shape]
    for ours, theirs in zip((*of_x, *batch_x), (*of_y, *batch_y), strict=True):
        right[theirs] = left[ours]
    out = [left[axis] for axis in batch_x]
    out += [letter for axis, letter in enumerate(left) if axis not in (*batch_x, *of_x)]
    out += [letter for axis, letter in enumerate(right) if axis not in (*batch_y, *of_y)]
    terms = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return Value(shape, shape, graph.add("Einsum", *names, equation=terms)[0])


def windows(op: str, graph: Graph, equation: Equation, x: Value) -> Value:
    """Of rows and columns, the axes in the middle."""
    p, shape = equation.parameters, equation.shapes[0]
    window, pads = p["window_dimensions"], p["padding"]
    middle = len(shape) == 4 and window[0] == window[3] == 1 and equation.types[0] == np.float32
    if not middle or set(p["base_dilation"]) != {1} or (op != "MaxPool" and set(p["window_dilation"]) != {1}):
        raise equation.unknown("of other axes than rows and columns")
    settings: dict[str, Any] = {"kernel_shape": list(window[1:3]), "strides": list(p["window_strides"][1:3])}
    settings["pads"] = [low for low, _ in pads[1:3]] + [high for _, high in pads[1:3]]
    settings |= {"dilations": list(p["window_dilation"][1:3])} if op == "MaxPool" else {"count_include_pad": 1}
    found = graph.add(op, graph.transposed(graph.full(x), (0, 3, 1, 2)), **settings)[0]
    found = graph.transposed(found, (0, 2, 3, 1))
    if op != "MaxPool":
        found = graph.add("Mul", found, graph.constant(np.float32(math.prod(window))))[0]
    return Value(shape, shape, found)
