"""A module as JSON and back: the import path of its class, and those of its fields that are not the defaults.

Only what segjax, `flax.linen` and `jax.nn` define is ever named or looked up, and nothing of a file is executed.
"""

import dataclasses
import importlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.errors import DataError

_PARTS = r"segjax\.(encoders|decoders|layers|upsampling|ops)(\.\w+)?"
_ROOMS = re.compile(rf"{_PARTS}|segjax\.models(\.\w+)?|flax\.linen|jax\.nn")
_PACKAGES = ("segjax", "flax", "jax")
_OF_FLAX = {"flax.linen": nn, "jax.nn": jax.nn}
_OURS_TO_LINEN = ("parent", "name")
"""Fields that Linen adds to those of a module."""


def describe(value: Any) -> Any:
    """A module, or the value of a field, as JSON.

    Raises:
        DataError: it holds what cannot be written, such as a function of one's own; the sentence names it.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic() | np.ndarray() | jax.Array():
            return describe(value.tolist())
        case tuple() | list():
            return [describe(each) for each in value]
        case Mapping():
            return {"mapping": {str(key): describe(each) for key, each in value.items()}}
        case partial():
            described = {"partial": describe(value.func)}
            described |= {"args": describe(value.args)} if value.args else {}
            return described | {"fields": {key: describe(each) for key, each in value.keywords.items()}}
        case nn.Module() | _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {"class": _path(type(value)), "fields": _fields(value)}
    if _is_dtype(value):
        return {"dtype": jnp.dtype(value).name}
    return {"name": _path(value)}


def make(described: Any) -> Any:
    """What `describe` described.

    Raises:
        DataError: it names what segjax does not have.
    """
    match described:
        case None | bool() | int() | float() | str():
            return described
        case list():
            return tuple(make(each) for each in described)
        case {"mapping": dict(items)}:
            return {key: make(each) for key, each in items.items()}
        case {"partial": function, "fields": dict(fields), **rest}:
            return partial(make(function), *make(rest.get("args", [])), **{k: make(each) for k, each in fields.items()})
        case {"class": str(path), "fields": dict(fields)}:
            kind = _named(path)
            try:
                return kind(**{key: make(each) for key, each in fields.items()})
            except TypeError as error:
                raise DataError(f"{path} has other fields here ({error}): take the segjax that wrote it.") from error
        case {"dtype": str(name)}:
            return _dtype(name)
        case {"name": str(path)}:
            return _named(path)
    raise DataError(f"{str(described)[:80]} describes no part of a model: take the file that segjax wrote.")


def _fields(value: Any) -> dict[str, Any]:
    fields = [field for field in dataclasses.fields(value) if field.init and field.name not in _OURS_TO_LINEN]
    found = {field.name: (getattr(value, field.name), field.default) for field in fields}
    return {name: describe(own) for name, (own, default) in found.items() if not _alike(own, default)}


def _alike(own: Any, default: Any) -> bool:
    # An array is compared number by number, and no field of a module has one by default.
    return own is default or (not isinstance(own, (np.ndarray, jax.Array)) and own == default)


def _is_dtype(value: Any) -> bool:
    return isinstance(value, (np.dtype, type(jnp.float32))) or (
        isinstance(value, type) and issubclass(value, np.generic)
    )


def _dtype(name: str) -> Any:
    try:
        return jnp.dtype(name).type
    except TypeError as error:
        raise DataError(f"{name} is no dtype: take the file that segjax wrote.") from error


def _path(value: Any) -> str:
    """Where a class or a function is to be found, the shortest public place first."""
    name, module = getattr(value, "__qualname__", ""), getattr(value, "__module__", None) or ""
    for room, holder in _OF_FLAX.items():
        if name and getattr(holder, name, None) is value:
            return f"{room}.{name}"
    if _ROOMS.match(module) and name.isidentifier():
        room = ".".join(module.split(".")[:2])
        public = getattr(importlib.import_module(room), name, None) is value
        return f"{room if public else module}.{name}"
    raise DataError(
        f"{value!r} cannot be written into a folder: a model there is made of what segjax, flax.linen and jax.nn "
        "define; keep the code that makes it, and write its weights by segjax.weights.save."
    )


def _named(path: str) -> Any:
    """The class or function at a path; no other object, and nothing of another package."""
    room, _, name = path.rpartition(".")
    found = None
    if _ROOMS.fullmatch(room) and name.isidentifier():
        try:
            found = getattr(importlib.import_module(room), name, None)
        except ModuleNotFoundError:
            found = None
    # Functions of the models' room read and write files; of it, modules alone.
    allowed = isinstance(found, type) or (callable(found) and not room.startswith("segjax.models"))
    if not allowed or getattr(found, "__module__", "").split(".")[0] not in _PACKAGES or _path(found) != path:
        raise DataError(f"{path} is no part of a model that segjax has: take the segjax that wrote it.")
    return found
