"""What the signatures of segjax are held to while its tests run: pytest's `--jaxtyping-packages` names it."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Any, Union, get_args, get_origin

import jax
import numpy as np
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray


def checked(function: Callable) -> Callable:
    """The arguments together with the result, once there is one: a call that is refused raises its own error.

    jaxtyping asks for a check of the arguments alone, too, and asks by a signature that returns anything. NumPy's
    arrays are as good as JAX's, as everywhere in JAX. Whatever a pytree is made of again may hold anything. Shapes,
    types and settings that passed once are not looked at again: a quarter of the time of tracing a network.
    """
    if inspect.signature(function).return_annotation is Any or function.__name__ == "__init__":
        return function
    function.__annotations__ = {name: _held_to(each) for name, each in function.__annotations__.items()}
    held = beartype(conf=BeartypeConf(is_pep484_tower=True))(function)

    passed = set()

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        seen = _seen(arguments, options)
        if seen is not None and seen in passed:
            return function(*arguments, **options)
        # Axes of any length, as an exported program has them, cannot be broadcast by jaxtyping.
        arrays = [each for each in (*arguments, *options.values()) if isinstance(each, jax.Array)]
        known = all(isinstance(length, int) for array in arrays for length in array.shape)
        result = (held if known else function)(*arguments, **options)
        if seen is not None:
            passed.add(seen)
        return result

    return call


def _seen(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...] | None:
    """All that a signature can speak of; None where something cannot be told from its equals."""
    if any(isinstance(each, Iterator) for each in (*arguments, *options.values())):
        return None
    leaves, tree = jax.tree.flatten((arguments, options))
    seen = (
        tree,
        *((type(x), x.shape, x.dtype) if isinstance(x, jax.Array | np.ndarray) else (type(x), x) for x in leaves),
    )
    try:
        hash(seen)
    except TypeError:
        return None
    return seen


def _held_to(annotation: Any) -> Any:
    if getattr(annotation, "_is_protocol", False) and not getattr(annotation, "_is_runtime_protocol", False):
        return object  # which pyright looks into
    if annotation is jax.Array:
        return jax.Array | np.ndarray
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray) and annotation.array_type is jax.Array:
        return annotation.dtype[jax.Array | np.ndarray, annotation.dim_str]
    generic, parts = get_origin(annotation), tuple(map(_held_to, get_args(annotation)))
    if generic in (Union, UnionType):
        return reduce(or_, parts)
    return GenericAlias(generic, parts) if generic in (Mapping, Sequence, tuple) else annotation
