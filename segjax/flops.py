"""The floating-point operations of a function, counted from its shapes alone: nothing is compiled or computed."""

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import jax

from segjax.ops.multilinear import Form


def flops_of(program: Any) -> int:
    """Those of the convolutions and matrix products of a jaxpr; a multiply-add counts as two.

    What is elementwise, pooled, or interpolated by fixed weights is not counted, and taps on padding are, as in the
    numbers that papers have. They are what the function means and not what a compiler makes of it, which may transform
    tiles (Winograd), or have loops in its place. What nothing is made of is not counted, such as stages of an encoder
    that its decoder does not read. A loop whose length is not known counts once.
    """
    return sum(map(_of_equation, _needed(program)))


def _needed(program: Any) -> Iterator[Any]:
    """The equations that results depend on."""
    jaxpr = getattr(program, "jaxpr", program)
    read = {id(v) for v in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if equation.effects or any(id(v) in read for v in equation.outvars):
            read.update(map(id, equation.invars))
            yield equation


def _of_equation(equation: Any) -> int:
    ins, out, fields = [v.aval for v in equation.invars], equation.outvars[0].aval, equation.params
    match equation.primitive.name:
        case "conv_general_dilated":
            features = ins[1].shape[fields["dimension_numbers"].rhs_spec[0]]
            each = math.prod(ins[1].shape) // features
            return 2 * math.prod(out.shape) * each // math.prod(fields["lhs_dilation"] or ())
        case "dot_general":
            (contracted, _), _ = fields["dimension_numbers"]
            return 2 * math.prod(out.shape) * math.prod(ins[0].shape[axis] for axis in contracted)
        case "multilinear":
            form, by = fields["form"], fields["by"]
            return _of_form(form, by, *((x.shape, x.dtype) for x in (*ins[:by], out, *ins[by:])))
        case "scan":
            return fields["length"] * sum(map(flops_of, _inside(fields)))
        case "shard_map":
            # jax 0.10.0 and 0.10.1 call them "manual_axes", later ones "newly_manual_axes".
            manual = next(axes for name, axes in fields.items() if name.endswith("manual_axes"))
            return math.prod(fields["mesh"].shape[axis] for axis in manual) * sum(map(flops_of, _inside(fields)))
        case "cond":
            return max(map(flops_of, _inside(fields)))
    return sum(map(flops_of, _inside(fields)))


@lru_cache(maxsize=1024)
def _of_form(form: Form, by: int, *arrays: tuple[tuple[int, ...], Any]) -> int:
    """Of a map of a form whose arrays, the map's result among them, are of these shapes.

    All its maps multiply the same numbers, but some do it with zeros between them, as a transposed convolution's
    phases, and some one by one, as CARAFE: of those that are products, the fewest.
    """
    shaped = [jax.ShapeDtypeStruct(*array) for array in arrays]
    counts = []
    for to in range(form.degree):
        jaxpr = jax.make_jaxpr(partial(form.derivative, to))(*shaped[:to], *shaped[to + 1 :])
        counts.append(flops_of(jaxpr))
    return min(filter(None, counts), default=0)


def _inside(fields: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an equation."""
    for value in fields.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(part, "eqns"):
                yield part
