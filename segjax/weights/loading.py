"""Weights into the variables of a module, and out of them again into a file."""

import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn

from segjax.errors import DataError
from segjax.weights import safetensors_file
from segjax.weights.catalogue import RECORDS, named, offered
from segjax.weights.convert import Names, Variables, from_torch, parameters, path_of, renamed, to_torch
from segjax.weights.first_kernel import fit_first_kernel
from segjax.weights.record import Hub
from segjax.weights.state_dict import read

_IN_A_MODEL = (re.compile(r"^(.*\.)?encoder\."), re.compile(r"^(.*\.)?backbone\."))
"""What stands before the names of a model's encoder, the surest first: beside one, a backbone is another part's."""
_AROUND = "model."
"""What stands before every name where a module that trains holds a model, as Lightning's do."""
_REPOSITORY = re.compile(
    r"(?:hf:|hf-hub:|https://huggingface\.co/)?(?!.*\.(?:pth|pt|bin|safetensors|h5|tflite)$)(\w[\w.-]*/\w[\w.-]*(?:@\w+)?)/?"
)
"""Of the Hugging Face hub, as others name one; no file that is not there."""
HUB = "hub:"
"""What a repository of the Hugging Face hub begins with: hub:OWNER/NAME or hub:OWNER/NAME@REVISION."""


def load(module: nn.Module, variables: Variables, name: str | Path, rgb: Sequence[int] | None = None) -> dict[str, Any]:
    """The variables of an encoder, or of a model with one, with the encoder's values out of a set of weights.

        variables = encoder.init(key, images, train=False)
        variables = weights.load(encoder, variables, "resnet34.imagenet")

    Weights for red, green and blue fit images of other channels, too: `fit_first_kernel`. How images are to be
    normalised for them is in `weights.named(name).statistics`.

    Args:
        module: The encoder, or what has it as its `encoder`, however deep.
        variables: Its own, of which only the encoder's change; for an encoder, their shapes will do.
        name: One that `segjax weights` lists, a file, or `hub:OWNER/NAME@REVISION` of the Hugging Face hub; of an
            encoder, or of a model that has it as its `encoder` or `backbone`.
        rgb: Which bands of the images are red, green and blue, from 0, where they have others or another order.

    Raises:
        DataError: they cannot be had or read, or are those of another encoder, or `rgb` is not three different bands
            of the images; the sentence says what to do.

    Examples:
        >>> model = models.unet(2, base=2, depth=1)
        >>> image = jnp.zeros((1, 8, 8, 3))
        >>> shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
        >>> variables = jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes)
        >>> weights.save("mine.safetensors", variables)
        >>> sorted(weights.load(model, variables, "mine.safetensors"))
        ['params']
    """
    return loaded(module, variables, name, rgb).variables


class Loaded(NamedTuple):
    """What `load` gives, and what became of the first kernel."""

    variables: dict[str, Any]
    channels: int | None
    """How many the first kernel was brought to, from three; None where it stayed as it was."""


def loaded(module: nn.Module, variables: Variables, name: str | Path, rgb: Sequence[int] | None = None) -> Loaded:
    """As `load`, for whoever says what was done.

    Raises:
        DataError: as `load`.
    """
    place = place_of_encoder(variables)
    state, names, unused = found(name)
    like = {kind: inside for kind, tree in variables.items() if (inside := _at(tree, place)) is not None}
    try:
        fitted, channels = _of_channels(state, like, names, rgb)
        values = from_torch(fitted, like, names=names, unused=unused_by(module, unused))
    except (DataError, ValueError) as error:
        raise DataError(f"{name}: {error}") from error
    whole = {kind: _with(tree, place, values[kind]) if kind in values else tree for kind, tree in variables.items()}
    return Loaded(whole, channels)


def save(
    path: str | Path,
    variables: Variables,
    fields: Mapping[str, Any] | None = None,
    *,
    carried: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes variables as safetensors, under torch's names and in its layouts: torch and timm read them bit for bit.

    Args:
        path: Of the file, which appears when it is whole.
        variables: Of a module.
        fields: What makes the module again; kept as JSON, in the metadata "segjax".
        carried: The file that the variables came from, as `read` gives it, whose other arrays, a classifier's, are
            written as they were.

    Raises:
        DataError: the folder cannot be written, a value is none of safetensors' types or a shape without one, two
            values would have one name, or there is no collection of parameters.

    Examples:
        >>> weights.save("mine.safetensors", {"params": {"conv": {"kernel": np.zeros((3, 3, 2, 4), np.float32)}}})
        >>> {name: array.shape for name, array in weights.read("mine.safetensors").items()}
        {'conv.weight': (4, 2, 3, 3)}
    """
    metadata = {"format": "pt"}  # what transformers asks for
    if fields is not None:
        metadata["segjax"] = json.dumps(dict(fields), default=str)
    safetensors_file.write(path, {**(carried or {}), **to_torch(variables)}, metadata)


def place_of_encoder(variables: Variables) -> tuple[str, ...]:
    """Where the variables of a model have those of its encoder: nowhere deeper, in an encoder itself.

    Raises:
        DataError: there is no collection of parameters, or there are several encoders beside each other.
    """
    level: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), parameters(variables))]
    while level:
        places = [(*path, "encoder") for path, tree in level if "encoder" in tree]
        if len(places) > 1:
            several = ", ".join(map("/".join, places))
            raise DataError(f"The model has several encoders ({several}): load weights into each by itself.")
        if places:
            return places[0]
        level = [((*path, key), sub) for path, tree in level for key, sub in tree.items() if isinstance(sub, Mapping)]
    return ()


def found(name: str | Path, others: Sequence[str] = ()) -> tuple[dict[str, np.ndarray], Names, str | None]:
    """Arrays, fetched where they must be; what brings their names to the encoder's; and which no encoder has place for.

    Where there are none of that name, `others` are offered beside those that there are.

    Raises:
        DataError: they cannot be had or read.
    """
    said = str(name)
    if said in RECORDS:
        record = named(said)
        state = record.read()
        if record.channels == "BGR":
            first = next(key for key, value in state.items() if value.ndim == 4)
            state[first] = state[first][:, ::-1]
        return state, record.names, record.unused
    if said.startswith(HUB):
        repository, _, revision = said.removeprefix(HUB).partition("@")
        state = read(Hub(repository, revision or "main").fetch(None))
    elif Path(said).exists():
        state = read(said)
    else:
        hub = _REPOSITORY.fullmatch(said)
        or_of_the_hub = f"; a repository of the Hugging Face hub is {HUB}{hub[1]}" if hub else ""
        known = offered(said, [*others, *RECORDS])
        raise DataError(f"{said} is no file and no weights of a name: {known}{or_of_the_hub}.")
    return _of_encoder(state, said), (), None


def _of_encoder(state: Mapping[str, np.ndarray], said: str) -> dict[str, np.ndarray]:
    """Those of a model's encoder, which may be called its backbone, or all where they are an encoder's."""
    if all(key.startswith(_AROUND) for key in state):
        state = {key.removeprefix(_AROUND): value for key, value in state.items()}
    for pattern in _IN_A_MODEL:
        places = {key: match[0] for key in state if (match := pattern.match(key))}
        inside = {key.removeprefix(place): state[key] for key, place in places.items()}
        if len(inside) < len(places):  # as of a teacher and a student: which one is meant, nobody said
            several = ", ".join(sorted({place.removesuffix(".") for place in places.values()}))
            raise DataError(f"{said} has several encoders ({several}): save the weights of one of them in a file.")
        state = inside or state
    return dict(state)


def _of_channels(
    state: Mapping[str, np.ndarray], like: Variables, names: Names, rgb: Sequence[int] | None
) -> tuple[dict[str, np.ndarray], int | None]:
    """The arrays, with the first kernel for the channels that the encoder was made for, and vectors as vectors.

    And those channels, where it had others.
    """
    fitted, brought, of_colours = dict(state), None, False
    for key, value in state.items():
        leaf = _at(like, path_of(renamed(key, names), value.ndim))
        if getattr(leaf, "ndim", 0) == 1 and value.shape == (*leaf.shape, 1, 1):  # torchvision's layer scales
            fitted[key] = value.reshape(leaf.shape)
        if value.ndim == 4 and value.shape[1] == 3 and getattr(leaf, "ndim", 0) == 4:
            channels, of_colours = leaf.shape[2], True
            if (*leaf.shape[:2], leaf.shape[3]) == (*value.shape[2:], value.shape[0]):
                # In the bits of the parameter: sums in the 16 bits of a file would be rounded.
                fitted[key] = fit_first_kernel(np.asarray(value, leaf.dtype), channels, rgb)
                brought = brought if channels == 3 else channels
    if rgb is not None and not of_colours:
        raise DataError(f"rgb is {tuple(rgb)}, but these weights have no kernel of red, green and blue: leave it out.")
    return fitted, brought


def unused_by(module: nn.Module, unused: str | None) -> str | None:
    """One pattern of what weights have and an encoder has no place for: what its own file says, TORCH_UNUSED, or so."""
    return "|".join(sorted({unused, *_said_by(module)} - {None})) or None  # type: ignore[arg-type]


def _said_by(module: nn.Module) -> set[str | None]:
    own = getattr(sys.modules[type(module).__module__], "TORCH_UNUSED", None)
    inside = (getattr(module, field.name, None) for field in dataclasses.fields(module) if field.name != "parent")
    return {own, *_made_without(module)}.union(*(_said_by(part) for part in inside if isinstance(part, nn.Module)))


def _made_without(module: nn.Module) -> set[str]:
    """Patterns of the parts that an encoder of fewer levels lacks; a line in their names may be a dot of torch's."""
    whole = {field.name: field.default for field in dataclasses.fields(module)}.get("depth")
    if getattr(module, "depth", whole) == whole or not hasattr(module, "parts"):
        return set()
    every, own = (set(itertools.chain(*one.parts)) for one in (module.clone(depth=whole), module))  # type: ignore[attr-defined]
    return {f"{part}_".replace("_", "[._]") for part in every - own}


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _with(tree: Mapping[str, Any], path: Sequence[str], values: Any) -> Any:
    if not path:
        return values
    return {**tree, path[0]: _with(tree[path[0]], path[1:], values)}
