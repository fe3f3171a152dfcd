"""ONNX, written from the function that jax traces: it needs no converter, and any jax does.

What jax knows is worked out here; arrays that are only repeated are left to ONNX, which broadcasts them; a node is
written once; and what ONNX has one node for is one. Layouts stay jax's, with transpositions around convolutions, which
ONNX Runtime takes out again.
"""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Literal, Primitive

from segjax.errors import ExportError
from segjax.export.inlined import inlined
from segjax.export.metadata import KEY
from segjax.export.process import run_alone
from segjax.export.program import Program
from segjax.ops.pool_geometry import PoolGeometry
from segjax.ops.taps import Taps
from segjax.strict_json import as_json

OPSET, IR = 18, 9
"""Of the end of 2022: what runs today has them."""
INSTALL = "pip install 'segjax[export]'"
_RUN = """
import onnxruntime

onnxruntime.set_default_logger_severity(3)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
outputs = dict(zip((each.name for each in session.get_outputs()), session.run(None, {"image": images})))
"""
resize_linear: Primitive = Primitive("resize_linear")
"""A bilinear resizing of rows and columns, which only nodes are made of: it runs nowhere else."""
resize_linear.def_abstract_eval(lambda x, rows, columns, **_: x.update(shape=(x.shape[0], rows, columns, x.shape[3])))
_OF_SHAPES = ("shape", "new_sizes", "limit_indices", "slice_sizes", "lhs_shape", "rhs_shape", "sharding")
"""The parameters of primitives that may depend on the batch."""
_LARGEST = 2**20
"""Elements of what is worked out here; what is larger would make the file so."""


def convert(program: Program) -> bytes:
    """The model's bytes, for any batch.

    Raises:
        ExportError: the package onnx is not there, or the model has what has no nodes; the sentence says which.
    """
    try:
        from onnx import checker, helper

        from segjax.export.onnx_graph import Graph, Value
        from segjax.export.onnx_ops import OPS, Equation
        from segjax.export.onnx_rules import simplified
    except ModuleNotFoundError as error:
        raise ExportError(f"ONNX needs {error.name}: `{INSTALL}`.") from error

    run = inlined(program.run, {"known_multilinear": _pooled, "multilinear": _resized})
    traced = [jax.make_jaxpr(run)(program.image(batch)) for batch in (2, 3)]
    jaxprs = [each.jaxpr for each in traced]
    graph, values = Graph(), {}

    def shape(pair: tuple[Any, Any]) -> tuple[tuple[int, int], ...]:
        return tuple(zip(*(each.aval.shape for each in pair), strict=True))

    def known(array: Any) -> Value:
        array = np.asarray(array)
        dims = tuple((size, size) for size in array.shape)
        return Value(dims, dims, array=array)

    def read(variable: Any) -> Value:
        if isinstance(variable, Literal):
            aval: Any = variable.aval
            return known(np.asarray(variable.val, aval.dtype))
        return values[variable]

    values |= {variable: known(array) for variable, array in zip(jaxprs[0].constvars, traced[0].consts, strict=True)}
    (image,) = zip(*(each.invars for each in jaxprs), strict=True)
    values[image[0]] = Value(shape(image), shape(image), "image")
    for pair in zip(*(each.eqns for each in jaxprs), strict=True):
        name, two, three = pair[0].primitive.name, pair[0].params, pair[1].params
        out = list(zip(*(each.outvars for each in pair), strict=True))
        types = tuple(np.dtype(each.aval.dtype) for each in pair[0].outvars)
        equation = Equation(name, two, three, tuple(map(shape, out)), types)
        given = [read(variable) for variable in pair[0].invars]
        if (found := _worked_out(pair[0], equation, given)) is not None:
            results: Any = [known(array) for array in found]
        elif name in OPS:
            _refuse_other_numbers(pair)
            results = OPS[name](graph, equation, *given)
        else:
            raise ExportError(f"ONNX: the model has {name}, which segjax writes no nodes for.")
        results = [results] if isinstance(results, Value) else results
        values |= zip(pair[0].outvars, results, strict=True)

    outputs, infos = sorted(program.outputs().items()), []
    for (name, like), variable in zip(outputs, jaxprs[0].outvars, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.full(read(variable))], [name], name))
        infos.append(_info(name, like))
    names = [name for name, _ in outputs]
    nodes, constants = simplified(graph, names).needed(names)
    made = helper.make_graph(nodes, "segjax", [_info("image", program.image(1))], infos, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    checker.check_model(model)
    return model.SerializeToString()


def stored_in(model: bytes, dtype: str) -> bytes:
    """A model's bytes with the kernels of its convolutions and products in a shorter type, which a node widens."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.load_from_string(model)
    kernels = {node.input[1] for node in made.graph.node if node.op_type in ("Conv", "MatMul")}
    short = helper.np_dtype_to_tensor_dtype(jnp.dtype(dtype))
    for tensor in made.graph.initializer:
        if tensor.name in kernels and tensor.data_type == onnx.TensorProto.FLOAT:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(jnp.dtype(dtype))
            raw, dims = np.ascontiguousarray(values).tobytes(), values.shape
            tensor.CopyFrom(helper.make_tensor(f"{name}_{dtype}", short, dims, raw, raw=True))
            widen = helper.make_node("Cast", [tensor.name], [name], name=f"{name}_widened", to=onnx.TensorProto.FLOAT)
            made.graph.node.insert(0, widen)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def outputs_of(path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime gives for images (n h w c), on the CPU.

    Raises:
        ExportError: it is not there, or cannot run the file.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ExportError(f"ONNX is checked in ONNX Runtime, which is not there: `{INSTALL}`.")
    return run_alone(_RUN, path, images)


def with_metadata(model: bytes, metadata: dict[str, Any]) -> bytes:
    """A model's bytes with what it says of itself, and the parts of it as properties of their own."""
    import onnx

    made = onnx.load_from_string(model)
    parts = {name: value if isinstance(value, str) else as_json(value) for name, value in metadata.items()}
    onnx.helper.set_model_props(made, {KEY: as_json(metadata)} | parts)
    made.producer_name = metadata["made_by"]
    return made.SerializeToString()


def _refuse_other_numbers(pair: tuple[Any, Any]) -> None:
    """Raise ExportError where an equation has another number for another batch, as a mean over all images does."""
    two, three = ([each.val for each in one.invars if isinstance(each, Literal)] for one in pair)
    if not all(map(np.array_equal, two, three)) or any(
        str(value) != str(pair[1].params.get(name)) for name, value in pair[0].params.items() if name not in _OF_SHAPES
    ):
        raise ExportError(f"ONNX: a {pair[0].primitive.name} in the model depends on the number of images.")


def _info(name: str, like: jax.ShapeDtypeStruct) -> Any:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(like.dtype))
    return helper.make_tensor_value_info(name, kind, ["n", *like.shape[1:]])


def _pooled(value: Array, *others: Array, form: Any, by: int) -> Array:
    """What a max-pooling gives, as one: jax has it as a chain of comparisons, for XLA."""
    geometry = getattr(form, "static", None)
    if not isinstance(geometry, PoolGeometry) or by != 1 or 0 in geometry.strides or value.dtype != np.float32:
        return value
    return lax.reduce_window(
        others[0],
        -np.inf,
        lax.max,
        (1, *geometry.window, 1),
        (1, *geometry.strides, 1),
        [(0, 0), *geometry.edges, (0, 0)],
        window_dilation=(1, *geometry.dilation, 1),
    )


def _resized(x: Array, *others: Array, form: Any, by: int) -> Array | None:
    """A bilinear resizing or the means of cells, as one: jax has them as weighted rows and columns."""
    match getattr(form, "static", None):
        case (Taps() as rows, Taps() as columns) if by == 1 and x.dtype == np.float32:
            if rows.linear:
                sizes = {"rows": rows.index.shape[1], "columns": columns.index.shape[1]}
                return resize_linear.bind(x, **sizes, corners=rows.linear)
            if rows.averages and columns.averages:
                cell = (1, len(rows.index), len(columns.index), 1)
                return lax.reduce_window(x, 0.0, lax.add, cell, cell, "VALID") / (cell[1] * cell[2])
    return None


def _worked_out(equation: Any, ours: Any, given: list[Any]) -> list[np.ndarray] | None:
    """What a primitive of known arrays gives; None where one is not known, or the result only repeats or is large."""
    alike = all(value.array is not None and value.held == value.shape for value in given)
    fixed = all(two == three for shape in ours.shapes for two, three in shape)
    small = all(np.prod([two for two, _ in shape], dtype=float) <= _LARGEST for shape in ours.shapes)
    if not (alike and fixed and small) or ours.name in ("broadcast_in_dim", "iota"):
        return None
    found = equation.primitive.bind(*(value.array for value in given), **equation.params)
    return [np.asarray(each) for each in (found if equation.primitive.multiple_results else [found])]
