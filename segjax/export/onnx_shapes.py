"""What changes where elements are, as nodes of an ONNX graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segjax.export.onnx_graph import ONE, Equation, Graph, Shape, Value

LAST = np.iinfo(np.int64).max


def broadcast(graph: Graph, equation: Equation, x: Value) -> Value:
    """Repeated along new axes, and along those of one element."""
    shape, axes = equation.shapes[0], equation.parameters["broadcast_dimensions"]
    held = [ONE] * len(shape)
    for axis, dim in zip(axes, x.held, strict=True):
        held[axis] = dim
    if x.array is not None:
        return Value(shape, tuple(held), array=x.array.reshape([dim[0] for dim in held]))
    new = [axis for axis in range(len(shape)) if axis not in axes]
    name = graph.add("Unsqueeze", graph.name(x), graph.constant(new))[0] if new else graph.name(x)
    return Value(shape, tuple(held), name)


def iota(graph: Graph, equation: Equation) -> Value:
    """Whole numbers along one axis."""
    shape, axis = equation.shapes[0], equation.parameters["dimension"]
    two, three = shape[axis]
    if two != three:
        raise equation.unknown("along the batch")
    sides = [1] * len(shape)
    sides[axis] = two
    array = np.arange(two, dtype=equation.types[0]).reshape(sides)
    return Value(shape, tuple((side, side) for side in sides), array=array)


def reshape(graph: Graph, equation: Equation, x: Value) -> Value:
    """In another shape; where rows and columns are repeated, they are resized to those nearest."""
    shape = equation.shapes[0]
    if equation.types[0] == np.float32 and x.array is None and _repeats(x, shape):
        small = (*x.held[:2], x.held[3], x.held[5])
        name = graph.add("Squeeze", graph.name(x), graph.constant([2, 4]))[0]
        return _resized(graph, equation, Value(small, small, name), "asymmetric", mode="nearest", nearest_mode="floor")
    return Value(shape, shape, graph.reshaped(graph.full(x), shape))


def _repeats(x: Value, shape: Shape) -> bool:
    """Whether an array (n, h, a, w, b, c) repeats its rows a times and its columns b times, to (n, a h, b w, c)."""
    if len(x.shape) != 6 or len(shape) != 4:
        return False
    n, h, a, w, b, c = x.shape
    whole = (n, (h[0] * a[0],) * 2, (w[0] * b[0],) * 2, c)
    return shape == whole and x.held == (n, h, ONE, w, ONE, c) and (a, b) != (ONE, ONE)


def resize_linear(graph: Graph, equation: Equation, x: Value) -> Value:
    """Rows and columns of another number, interpolated."""
    return _resized(graph, equation, x, equation.parameters["corners"], mode="linear")


def _resized(graph: Graph, equation: Equation, x: Value, corners: str, **settings: Any) -> Value:
    shape, sides = equation.shapes[0], [(x.shape[axis][0], equation.shapes[0][axis][0]) for axis in (1, 2)]
    moved = graph.transposed(graph.full(x), (0, 3, 1, 2))
    settings["coordinate_transformation_mode"] = corners
    scales = graph.constant(np.array([1, 1, *(_scale(*side) for side in sides)], np.float32))
    found = graph.add("Resize", moved, "", scales, **settings)[0]
    return Value(shape, shape, graph.transposed(found, (0, 2, 3, 1)))


def _scale(size: int, out: int) -> np.float32:
    """What a size is multiplied by, so that it is not below another before it is rounded down."""
    scale = np.float32(out / size)
    return scale if size * float(scale) >= out else np.nextafter(scale, np.float32(np.inf))


def squeeze(graph: Graph, equation: Equation, x: Value) -> Value:
    """Without axes of one element."""
    axes = [int(axis) for axis in equation.parameters["dimensions"]]
    held = tuple(dim for axis, dim in enumerate(x.held) if axis not in axes)
    return Value(equation.shapes[0], held, graph.add("Squeeze", graph.name(x), graph.constant(axes))[0])


def transpose(graph: Graph, equation: Equation, x: Value) -> Value:
    """With its axes in another order."""
    order = equation.parameters["permutation"]
    held = tuple(x.held[axis] for axis in order)
    return Value(equation.shapes[0], held, graph.transposed(graph.name(x), order))


def _cut(
    graph: Graph, shape: Shape, x: Value, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]
) -> Value:
    """A slice, in which what is only repeated stays so, and all of the batch is taken."""
    axes = [
        axis
        for axis, (own, new) in enumerate(zip(x.held, shape, strict=True))
        if own != ONE and (own != new or steps[axis] != 1)
    ]
    held = tuple(ONE if own == ONE else new for own, new in zip(x.held, shape, strict=True))
    if not axes:
        return Value(shape, held, graph.name(x))
    chosen = ([int(values[axis]) for axis in axes] for values in (starts, ends))
    first, last = (graph.constant(each) for each in chosen)
    step = graph.constant([int(steps[axis]) for axis in axes])
    return Value(shape, held, graph.add("Slice", graph.name(x), first, last, graph.constant(axes), step)[0])


def cut_out(graph: Graph, equation: Equation, x: Value) -> Value:
    """Every so many elements from a start to an end."""
    p, shape = equation.parameters, equation.shapes[0]
    if p["start_indices"] != equation.others["start_indices"]:
        raise equation.unknown("that begins within the batch")
    pairs = zip(p["limit_indices"], equation.others["limit_indices"], strict=True)
    ends = [two if two == three else LAST for two, three in pairs]
    return _cut(graph, shape, x, p["start_indices"], ends, p["strides"] or [1] * len(shape))


def dynamic_slice(graph: Graph, equation: Equation, x: Value, *starts: Value) -> Value:
    """A part that begins at known places, moved to lie inside."""
    if any(start.array is None for start in starts):
        raise equation.unknown("that begins where an array says")
    shape = equation.shapes[0]
    first = [
        min(max(int(start.array), 0), own[0] - new[0])  # type: ignore[arg-type]
        for start, own, new in zip(starts, x.shape, shape, strict=True)
    ]
    ends = [at + two if two == three else LAST for at, (two, three) in zip(first, shape, strict=True)]
    return _cut(graph, shape, x, first, ends, [1] * len(shape))


def reverse(graph: Graph, equation: Equation, x: Value) -> Value:
    """Turned round along some axes."""
    turned = {int(axis) for axis in equation.parameters["dimensions"]}
    steps = [-1 if axis in turned else 1 for axis in range(len(x.shape))]
    starts = [-1 if step < 0 else 0 for step in steps]
    return _cut(graph, x.shape, x, starts, [-LAST if step < 0 else LAST for step in steps], steps)


def split(graph: Graph, equation: Equation, x: Value) -> list[Value]:
    """Parts along an axis."""
    axis, found, start = equation.parameters["axis"], [], 0
    for shape, size in zip(equation.shapes, equation.parameters["sizes"], strict=True):
        starts, ends = [0] * len(shape), [LAST] * len(shape)
        starts[axis], ends[axis] = start, start + int(size)
        found.append(_cut(graph, shape, x, starts, ends, [1] * len(shape)))
        start += int(size)
    return found


def _joined(graph: Graph, shape: Shape, axis: int, names: Sequence[str]) -> Value:
    return Value(shape, shape, graph.add("Concat", *names, axis=int(axis))[0])


def concatenate(graph: Graph, equation: Equation, *values: Value) -> Value:
    """One behind the other."""
    return _joined(graph, equation.shapes[0], equation.parameters["dimension"], [*map(graph.full, values)])


def stack(graph: Graph, equation: Equation, *values: Value) -> Value:
    """Side by side along a new axis."""
    axis = int(equation.parameters["axis"])
    names = [graph.add("Unsqueeze", graph.full(value), graph.constant([axis]))[0] for value in values]
    return _joined(graph, equation.shapes[0], axis, names)


def tile(graph: Graph, equation: Equation, x: Value) -> Value:
    """One after the other, as often as is said for each axis."""
    shape, reps = equation.shapes[0], equation.parameters["reps"]
    name = graph.add("Tile", graph.full(x), graph.constant(list(reps)))[0]
    return Value(shape, shape, name)


def pad(graph: Graph, equation: Equation, x: Value, fill: Value) -> Value:
    """With what is filled in around it, and less where that is negative."""
    config, shape = equation.parameters["padding_config"], equation.shapes[0]
    if any(inner for _, _, inner in config):
        raise equation.unknown("between elements")
    name = graph.full(x)
    cut = [(axis, max(-low, 0), -max(-high, 0) or LAST) for axis, (low, high, _) in enumerate(config)]
    if cut := [each for each in cut if each[1:] != (0, LAST)]:
        axes, starts, ends = (graph.constant(list(each)) for each in zip(*cut, strict=True))
        name = graph.add("Slice", name, starts, ends, axes)[0]
    pads = [max(low, 0) for low, _, _ in config] + [max(high, 0) for _, high, _ in config]
    if not any(pads):
        return Value(shape, shape, name)
    return Value(shape, shape, graph.add("Pad", name, graph.constant(pads), graph.name(fill))[0])
