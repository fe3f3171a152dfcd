"""Between a state dict of PyTorch's names and layouts and the variables of a Linen module.

One rule names everything: a Linen module that follows a torch module has its path, where a number is joined to the name
before it, `layer1.0.conv1` being `layer1_0/conv1`. A family whose files have other names has a table of patterns that
bring them to those first.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from segjax.errors import DataError

Names = Sequence[tuple[str, str]]
"""Regular expressions over torch's names and what takes their place, applied in turn."""
Variables = Mapping[str, Any]
"""Collections of parameters and statistics, as `init` gives them: params, batch_stats."""

_SHOWN = 6
_COUNTERS = "num_batches_tracked"
_LEAVES = {
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
    "bias": ("params", "bias"),
}
_FROM_LEAF = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def from_torch(
    state: Mapping[str, np.ndarray],
    like: Variables,
    *,
    names: Names = (),
    unused: str | None = None,
    transposed: str | None = None,
) -> dict[str, Any]:
    """The variables of a module with the values of a state dict.

    Args:
        state: Arrays by torch's names, as `segjax.weights.read` gives them.
        like: The module's variables, or their shapes as `jax.eval_shape` gives them; they say what is expected.
        names: What brings the names of the file to those that the module's follow.
        unused: A regular expression of the names, as brought, that the module has no place for, as a classifier's.
        transposed: A regular expression of the names, as brought, that are kernels of transposed convolutions.

    Raises:
        DataError: names that are missing, left over or twice there, shapes that differ and values that are whole or
            complex numbers, all at once; values that are infinite or not a number in the module's dtype.
    """
    expected: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(dict(like))
    found: dict[tuple[str, ...], np.ndarray] = {}
    left: list[str] = []
    twice: list[str] = []
    shapes: list[str] = []
    types: list[str] = []
    for key, value in state.items():
        name = renamed(key, names)
        # A weight of too few or too many axes is still that one, and not one missing beside one left over.
        path = next(
            (at for at in (path_of(name, value.ndim), path_of(name, 1), path_of(name, 2)) if at in expected), None
        )
        if path is not None:
            twice += [key] if path in found else []
            turned = bool(transposed and re.match(transposed, name))
            due = to_torch_layout(path, np.broadcast_to(0, expected[path].shape), transposed=turned).shape
            shapes += [] if value.shape == due else [f"{key} is {value.shape}, expected {due}"]
            # A quantised file's whole numbers mean nothing without its scales.
            types += [] if jnp.issubdtype(value.dtype, jnp.floating) else [f"{key} is {value.dtype}"]
            found[path] = to_linen(path, value, transposed=turned) if value.shape == due else value
        elif name.rpartition(".")[2] != _COUNTERS and not (unused and re.match(unused, name)):
            left.append(key)
    missing = [name_of(path) for path in expected if path not in found]
    misfits = {
        "missing": missing,
        "left over": left,
        "under another name, too": twice,
        "of another shape": shapes,
        "of numbers that are not floating": types,
    }
    if any(misfits.values()):
        said = (f"{len(which)} {what} ({_some(which)})" for what, which in misfits.items() if which)
        raise DataError(f"These weights are not of this model: {'; '.join(said)}. Take the model that they belong to.")
    # A file may be of 16 or 64 bits; parameters are what the module makes them.
    cast = {path: np.asarray(value, expected[path].dtype) for path, value in found.items()}
    broken = [name_of(path) for path, value in cast.items() if not np.isfinite(value).all()]
    if broken:
        raise DataError(
            f"{len(broken)} of these weights are infinite or not a number ({_some(broken)}), and so would be whatever "
            "they predict: take a checkpoint of before training diverged."
        )
    return traverse_util.unflatten_dict(cast)


def to_torch(variables: Variables, *, transposed: str | None = None) -> dict[str, np.ndarray]:
    """The state dict of a module's variables, in torch's names and layouts: what `from_torch` took, bit for bit.

    Raises:
        DataError: there is no collection of parameters, two paths get one name, or a leaf is a shape without values.
    """
    parameters(variables)
    flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(dict(variables))
    state: dict[str, np.ndarray] = {}
    paths: dict[str, str] = {}
    for path, value in flat.items():
        name, said = name_of(path), "/".join(path)
        if name in paths:
            raise DataError(
                f"{paths[name]} and {said} would both be {name} in torch's names: rename one, or save them in two "
                "files."
            )
        if isinstance(value, jax.ShapeDtypeStruct):
            raise DataError(
                f"{said} has a shape, {value.shape}, and no values: give variables as `init` does, which "
                "`jax.eval_shape` only plans."
            )
        layout = to_torch_layout(path, np.asarray(value), transposed=bool(transposed and re.match(transposed, name)))
        state[name], paths[name] = np.ascontiguousarray(layout), said
    return state


def parameters(variables: Variables) -> Mapping[str, Any]:
    """The collection of parameters among a module's variables.

    Raises:
        DataError: there is none.
    """
    if "params" not in variables:
        raise DataError(
            f"These variables have no collection params, but {_some(sorted(variables))}: give them as `init` does, "
            "{'params': ...}."
        )
    return variables["params"]


def path_of(name: str, ndim: int) -> tuple[str, ...]:
    """The path of a torch name among a module's variables, the collection first."""
    module, _, leaf = name.rpartition(".")
    joined = re.sub(r"\.(\d+)(?=\.|$)", r"_\1", module)
    inside = tuple(joined.split(".")) if joined else ()
    weight = ("params", "scale" if ndim == 1 else "kernel")
    collection, last = weight if leaf == "weight" else _LEAVES.get(leaf, ("params", leaf))
    return (collection, *inside, last)


def name_of(path: Sequence[str]) -> str:
    """The torch name of a path among a module's variables, the collection first."""
    *inside, last = path[1:]
    modules = (re.sub(r"_(\d+)(?=_|$)", r".\1", part) for part in inside)
    return ".".join((*modules, _FROM_LEAF.get(last, last)))


def to_linen(path: Sequence[str], value: np.ndarray, *, transposed: bool = False) -> np.ndarray:
    """A torch array as Linen lays it out: in kernels the taps first, then channels in and out; others as they are."""
    if path[-1] != "kernel":
        return value
    channels = (0, 1) if transposed else (1, 0)
    return value.transpose(*range(2, value.ndim), *channels)


def to_torch_layout(path: Sequence[str], value: np.ndarray, *, transposed: bool = False) -> np.ndarray:
    """The inverse of `to_linen`."""
    if path[-1] != "kernel":
        return value
    channels = (-2, -1) if transposed else (-1, -2)
    return value.transpose(*channels, *range(value.ndim - 2))


def renamed(name: str, names: Names) -> str:
    """A name of a file as the module's follow it."""
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def inverse(names: Names) -> Names:
    """Patterns that bring brought names back, for patterns of literals and groups that no other's results match."""
    found = []
    for pattern, replacement in reversed(names):
        start, end = "^" if pattern.startswith("^") else "", "$" if pattern.endswith("$") else ""
        inside = pattern[len(start) : len(pattern) - len(end)]
        groups = re.findall(r"\([^()]*\)", inside)
        order = [int(number) for number in re.findall(r"\\(\d)", replacement)]
        literal = re.split(r"\\\d", replacement)
        back = re.escape(literal[0])
        for number, text in zip(order, literal[1:], strict=True):
            back += groups[number - 1] + re.escape(text)
        counted = itertools.count(1)
        result = re.sub(r"\([^()]*\)", lambda _: rf"\{order.index(next(counted)) + 1}", inside).replace(r"\.", ".")  # noqa: B023
        found.append((start + back + end, result))
    return found


def _some(which: Sequence[str]) -> str:
    more = f" and {len(which) - _SHOWN} more" if len(which) > _SHOWN else ""
    return ", ".join(which[:_SHOWN]) + more
