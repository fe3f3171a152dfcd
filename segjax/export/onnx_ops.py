"""jax's primitives as nodes of an ONNX graph: each takes the equation and its arrays, and gives one or several."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from onnx import helper

from segjax.export.onnx_gather import gather
from segjax.export.onnx_graph import ONE, Equation, Graph, Shape, Value
from segjax.export.onnx_products import convolution, product, windows
from segjax.export.onnx_shapes import (
    broadcast,
    concatenate,
    cut_out,
    dynamic_slice,
    iota,
    pad,
    reshape,
    resize_linear,
    reverse,
    split,
    squeeze,
    stack,
    tile,
    transpose,
)

Op = Callable[..., Value | list[Value]]
UNARY = {
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "logistic": "Sigmoid",
    "erf": "Erf",
    "sin": "Sin",
    "cos": "Cos",
    "not": "Not",
    "stop_gradient": "Identity",
    "reduce_precision": "Identity",
}
BINARY = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "and": "And",
    "or": "Or",
    "xor": "Xor",
}
REDUCED = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_prod": "ReduceProd"}


def _held(values: Sequence[Value], rank: int) -> Shape:
    """What is held of what arrays give together, element by element."""
    padded = [(ONE,) * (rank - len(value.held)) + value.held for value in values]
    return tuple(next((dim for dim in dims if dim != ONE), ONE) for dims in zip(*padded, strict=True))


def _element_wise(op: str, graph: Graph, equation: Equation, *values: Value) -> Value:
    shape = equation.shapes[0]
    return Value(shape, _held(values, len(shape)), graph.add(op, *map(graph.name, values))[0])


def _logical(op: str, graph: Graph, equation: Equation, *values: Value) -> Value:
    bits = equation.types[0].kind != "b"
    return _element_wise(f"Bitwise{op}" if bits else op, graph, equation, *values)


def _composed(*ops: tuple[str, float | None], graph: Graph, equation: Equation, value: Value) -> Value:
    """Nodes one after the other, each with a number beside, in front where it is a Sub."""
    name = graph.name(value)
    for op, number in ops:
        beside = [] if number is None else [graph.constant(np.asarray(number, equation.types[0]))]
        name = graph.add(op, *([*beside, name] if op == "Sub" else [name, *beside]))[0]
    return Value(equation.shapes[0], value.held, name)


def _steps(*ops: tuple[str, float | None]) -> Op:
    return lambda graph, equation, value: _composed(*ops, graph=graph, equation=equation, value=value)


def _not_equal(graph: Graph, equation: Equation, x: Value, y: Value) -> Value:
    equal = _element_wise("Equal", graph, equation, x, y)
    return replace(equal, name=graph.add("Not", equal.name)[0])


def _remainder(graph: Graph, equation: Equation, x: Value, y: Value) -> Value:
    shape = equation.shapes[0]
    name = graph.add("Mod", graph.name(x), graph.name(y), fmod=1)[0]
    return Value(shape, _held((x, y), len(shape)), name)


def _is_finite(graph: Graph, equation: Equation, x: Value) -> Value:
    odd = graph.add("Or", graph.add("IsNaN", graph.name(x))[0], graph.add("IsInf", graph.name(x))[0])[0]
    return Value(x.shape, x.held, graph.add("Not", odd)[0])


def _select(graph: Graph, equation: Equation, which: Value, *cases: Value) -> Value:
    if len(cases) != 2:
        raise equation.unknown(f"of {len(cases)} cases")
    no, yes = cases
    shape = equation.shapes[0]
    name = graph.add("Where", graph.name(which), graph.name(yes), graph.name(no))[0]
    return Value(shape, _held((which, no, yes), len(shape)), name)


def _power(graph: Graph, equation: Equation, x: Value) -> Value:
    return _composed(("Pow", equation.parameters["y"]), graph=graph, equation=equation, value=x)


def _cast(graph: Graph, equation: Equation, x: Value) -> Value:
    to = helper.np_dtype_to_tensor_dtype(equation.types[0])
    return Value(x.shape, x.held, graph.add("Cast", graph.name(x), to=to)[0])


def _reduce(op: str, graph: Graph, equation: Equation, x: Value) -> Value:
    axes = [int(axis) for axis in equation.parameters["axes"]]
    shape = equation.shapes[0]
    return Value(shape, shape, graph.add(op, graph.full(x), graph.constant(axes), keepdims=0)[0])


def _all_or_any(op: str, graph: Graph, equation: Equation, x: Value) -> Value:
    whole = graph.add("Cast", graph.name(x), to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))[0]
    found = _reduce(op, graph, equation, replace(x, name=whole, array=None))
    return replace(found, name=graph.add("Cast", found.name, to=helper.np_dtype_to_tensor_dtype(np.dtype(bool)))[0])


def _place(op: str, graph: Graph, equation: Equation, x: Value) -> Value:
    (axis,) = equation.parameters["axes"]
    found = graph.add(op, graph.full(x), axis=int(axis), keepdims=0)[0]
    return _cast(graph, equation, Value(equation.shapes[0], equation.shapes[0], found))


def _top(graph: Graph, equation: Equation, x: Value) -> list[Value]:
    k, axis = graph.constant([equation.parameters["k"]]), equation.parameters.get("axis", len(x.shape) - 1)
    best, place = graph.add("TopK", graph.full(x), k, outputs=2, axis=int(axis))
    shape = equation.shapes[0]
    to = helper.np_dtype_to_tensor_dtype(equation.types[1])
    return [Value(shape, shape, best), Value(shape, shape, graph.add("Cast", place, to=to)[0])]


OPS: dict[str, Op] = {
    **{name: partial(_element_wise, op) for name, op in (UNARY | BINARY).items()},
    **{name: partial(_logical, BINARY[name]) for name in ("and", "or", "xor")},
    **{name: partial(_reduce, op) for name, op in REDUCED.items()},
    "ne": _not_equal,
    "rem": _remainder,
    "square": lambda graph, equation, x: _element_wise("Mul", graph, equation, x, x),
    "integer_pow": _power,
    "rsqrt": _steps(("Sqrt", None), ("Reciprocal", None)),
    "erfc": _steps(("Erf", None), ("Sub", 1)),
    "log1p": _steps(("Add", 1), ("Log", None)),
    "clamp": lambda graph, equation, low, x, high: _element_wise(
        "Min", graph, equation, _element_wise("Max", graph, equation, x, low), high
    ),
    "is_finite": _is_finite,
    "select_n": _select,
    "convert_element_type": _cast,
    "broadcast_in_dim": broadcast,
    "iota": iota,
    "reshape": reshape,
    "squeeze": squeeze,
    "transpose": transpose,
    "slice": cut_out,
    "dynamic_slice": dynamic_slice,
    "rev": reverse,
    "split": split,
    "concatenate": concatenate,
    "stack": stack,
    "tile": tile,
    "pad": pad,
    "reduce_and": partial(_all_or_any, "ReduceMin"),
    "reduce_or": partial(_all_or_any, "ReduceMax"),
    "argmax": partial(_place, "ArgMax"),
    "argmin": partial(_place, "ArgMin"),
    "top_k": _top,
    "conv_general_dilated": convolution,
    "dot_general": product,
    "reduce_window_max": partial(windows, "MaxPool"),
    "reduce_window_sum": partial(windows, "AveragePool"),
    "gather": gather,
    "resize_linear": resize_linear,
}
"""By the primitive's name."""
