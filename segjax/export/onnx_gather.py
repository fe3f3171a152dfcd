"""What is read at places that an array names, as nodes of an ONNX graph."""

from dataclasses import replace
from typing import Any

import numpy as np
from jax import lax
from onnx import helper

from segjax.export.onnx_graph import ONE, Equation, Graph, Value


def gather(graph: Graph, equation: Equation, x: Value, index: Value) -> Value:
    """Rows of an array: along one axis the same of every image, or those that each image names."""
    p, shape = equation.parameters, equation.shapes[0]
    numbers = p["dimension_numbers"]
    batch, axes = len(numbers.operand_batching_dims), [int(axis) for axis in numbers.start_index_map]
    first = axes[0]
    places = len(index.shape) - 1 - batch
    whole = [int(axis) for axis in range(len(x.shape)) if axis not in (*range(batch), *axes)]
    right = (
        tuple(numbers.operand_batching_dims) == tuple(numbers.start_indices_batching_dims) == tuple(range(batch))
        and tuple(numbers.collapsed_slice_dims) == tuple(axes) == tuple(range(first, first + len(axes)))
        and all((p["slice_sizes"][axis], equation.others["slice_sizes"][axis]) == x.shape[axis] for axis in whole)
        and all(p["slice_sizes"][axis] == 1 for axis in axes)
        and (first == batch or (batch == 0 and len(axes) == 1))
    )
    kept = [axis for axis in range(len(shape)) if axis >= batch and not first <= axis < first + places]
    if not right or [int(axis) for axis in numbers.offset_dims] != kept:
        raise equation.unknown("of that kind")
    sizes = np.array([x.shape[axis][0] for axis in axes], np.int64)
    index, inside = _within(graph, index, sizes, p["mode"])
    same = len(axes) == 1 and all(dim == ONE for dim in index.held[:batch])
    if same:
        dims = index.held[batch:-1]
        one = replace(index, shape=index.shape[batch:-1], held=dims)
        flat = (
            replace(one, array=index.array.reshape([dim[0] for dim in dims]))
            if index.array is not None
            else replace(one, name=graph.reshaped(index.name, dims))
        )
        found = graph.add("Gather", graph.full(x), graph.full(flat), axis=first)[0]
    else:
        found = graph.add("GatherND", graph.full(x), graph.full(index), batch_dims=batch)[0]
    if inside is not None:
        fill = np.nan if p["fill_value"] is None and equation.types[0].kind == "f" else p["fill_value"] or 0
        for _ in range(len(shape) - batch - places):
            inside = graph.add("Unsqueeze", inside, graph.constant([-1]))[0]
        found = graph.add("Where", inside, found, graph.constant(np.asarray(fill, equation.types[0])))[0]
    return Value(shape, shape, found)


def _within(graph: Graph, index: Value, sizes: np.ndarray, mode: Any) -> tuple[Value, str | None]:
    """An index as whole numbers of 64 bits inside an array, and where it was, if what is read elsewhere is filled."""
    if index.array is not None:
        whole = index.array.astype(np.int64)
        inside = bool(((whole >= 0) & (whole < sizes)).all())
        if inside or mode == lax.GatherScatterMode.CLIP:
            return replace(index, array=np.clip(whole, 0, sizes - 1)), None
    whole = graph.add("Cast", graph.name(index), to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int64)))[0]
    if mode == lax.GatherScatterMode.PROMISE_IN_BOUNDS:
        return replace(index, name=whole, array=None), None
    low, high = graph.constant(np.zeros_like(sizes)), graph.constant(sizes - 1)
    clipped = graph.add("Min", graph.add("Max", whole, low)[0], high)[0]
    moved = replace(index, name=clipped, array=None)
    if mode == lax.GatherScatterMode.CLIP:
        return moved, None
    same = replace(index, name=graph.add("Equal", whole, clipped)[0], array=None)
    counted = graph.add("Cast", graph.full(same), to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))[0]
    every = graph.add("ReduceMin", counted, graph.constant([-1]), keepdims=0)[0]
    return moved, graph.add("Cast", every, to=helper.np_dtype_to_tensor_dtype(np.dtype(bool)))[0]
