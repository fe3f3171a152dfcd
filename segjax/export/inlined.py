"""A function made flat for converters that know jax's own primitives alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""What calls another program, and the parameter in which that is."""
_LOOPS = ("while", "scan", "cond")
Rule = Callable[..., Any]
"""Called with the arrays that a primitive is given, and its parameters by name: what it gives, or None where the rule
is not for it."""


def inlined(run: Callable[..., Any], rules: Mapping[str, Rule] = {}) -> Callable[..., Any]:
    """The same function without calls of other programs, and without segjax's primitives.

    What is faster on XLA's CPU alone, as Winograd's convolutions are, is not taken: other runtimes have their own.

    Whole numbers of 8 and 16 bits, as the offsets of a pooling are, which few kernels of other runtimes take, have 32
    between the arguments and the results.

    Args:
        run: A function of arrays that gives a pytree of them.
        rules: For a primitive's name what is done instead of it.
    """

    def flat(*arrays: Any) -> Any:
        leaves, structure = jax.tree.flatten(jax.eval_shape(run, *arrays))
        found = _evaluated(_traced(run, *arrays), arrays, rules)
        return structure.unflatten(jnp.asarray(one, like.dtype) for one, like in zip(found, leaves, strict=True))

    return flat


def _traced(run: Callable[..., Any], *arrays: Any) -> ClosedJaxpr:
    return jax.make_jaxpr(lambda *arrays: jax.tree.leaves(run(*arrays)))(*arrays)


def _without_loops(*others: Any, form: Any, by: int) -> ClosedJaxpr:
    """A form's derivative: where it loops, as TPUs have it, whose forms do not, since few runtimes have loops."""
    program, on_tpu = _traced(partial(form.derivative, by), *others), form.on("tpu")
    if on_tpu is None or not any(equation.primitive.name in _LOOPS for equation in program.jaxpr.eqns):
        return program
    return _traced(partial(on_tpu.derivative, by), *others)


def _evaluated(program: ClosedJaxpr, arrays: Sequence[Any], rules: Mapping[str, Rule]) -> list[Any]:
    jaxpr = program.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values |= dict(zip(jaxpr.invars, arrays, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in jaxpr.eqns:
        given = [read(variable) for variable in equation.invars]
        values |= zip(equation.outvars, _applied(equation, given, rules), strict=True)
    return [read(variable) for variable in jaxpr.outvars]


def _applied(equation: Any, given: list[Any], rules: Mapping[str, Rule]) -> Sequence[Any]:
    name, parameters = equation.primitive.name, equation.params
    if name in rules and (found := rules[name](*given, **parameters)) is not None:
        return jax.tree.leaves(found)
    if name in _CALLS:
        called = parameters[_CALLS[name]]
        return _evaluated(called if isinstance(called, ClosedJaxpr) else ClosedJaxpr(called, ()), given, rules)
    if name == "convert_element_type":
        return [lax.convert_element_type(given[0], _wider(parameters["new_dtype"]))]
    if name in _LOOPS:  # whose bodies stay as they are
        types = [variable.aval.dtype for variable in equation.invars]
        given = [jnp.asarray(value, dtype) for value, dtype in zip(given, types, strict=True)]
        return equation.primitive.bind(*given, **parameters)
    given = [_wide(value) for value in given]
    match name:
        case "multilinear":
            return _evaluated(_without_loops(*given, **parameters), given, rules)
        case "iota":
            return [lax.broadcasted_iota(_wider(parameters["dtype"]), parameters["shape"], parameters["dimension"])]
        case "known_multilinear" | "optimization_barrier" | "copy" | "copy_p":
            return given[: len(equation.outvars)]
    found = equation.primitive.bind(*given, **parameters)
    return found if equation.primitive.multiple_results else [found]


def _wider(dtype: Any) -> np.dtype:
    """The type that whole numbers of a type have inside."""
    small = jnp.issubdtype(dtype, jnp.integer) and jnp.iinfo(dtype).bits < 32
    return np.dtype(np.int32) if small else np.dtype(dtype)


def _wide(value: Any) -> Any:
    dtype = jnp.result_type(value)
    return value if _wider(dtype) == dtype else lax.convert_element_type(value, np.int32)
