"""State dicts: one function for a file of weights, whatever wrote it and whatever it is called."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from segjax.weights import keras_file, safetensors_file, tflite_file, torch_file
from segjax.weights.mapped import FETCH_AGAIN, Mapped, Refused, opened, printable

_WRAPS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params"),
    *("state_dict_ema", "model_ema", "ema"),
)
"""Under which training scripts keep the weights, the surest first; averages where there is nothing else."""
_PREFIXES = ("module.", "_orig_mod.")
"""Which DataParallel and torch.compile put before every name."""
_OTHERS = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    b"\x1f\x8b": ("is compressed with gzip", "unpack it first"),
    b"7z\xbc\xaf": ("is compressed with 7-Zip", "unpack it first"),
}

_LONGEST_LIST = 1 << 24


def read(path: str | Path, part: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file of weights by name: of `torch.save`, both of its formats, safetensors, Keras or TFLite.

    What it is shows in its content, never in its name. Nothing in it is ever executed. Arrays are read-only views into
    the file. A dict around the weights ("state_dict", "model", ...) is taken off, and so are prefixes that all names
    have ("module."); what is no array (an epoch, a state of a module's own) is left out. Keras's and TFLite's come in
    torch's layouts and under torch's names, after those of their layers. Of a set in several files, give the list of
    them, model.safetensors.index.json.

    Args:
        path: Of the file.
        part: The key under which the weights lie, where the file holds several ("ema"; dots go deeper).

    Raises:
        DataError: It is no such file, is damaged, hostile, or holds no arrays by name; the sentence says what to do.

    Examples:
        >>> weights.save("mine.safetensors", {"params": {"conv": {"kernel": np.zeros((3, 3, 2, 4), np.float32)}}})
        >>> sorted(weights.read("mine.safetensors"))
        ['conv.weight']
    """
    path = Path(path)
    with opened(path) as file:
        # A length that safetensors begins with may look like it, but no text is one that short.
        if file[:1] == b"{" and int.from_bytes(file[:8], "little") > len(file):
            return unwrap(_joined(path, file), part)
        return keras_file.read_at(path) if file[:4] == b"\x89HDF" else unwrap(_content(file), part)


def unwrap(tree: Any, part: str | None = None) -> dict[str, np.ndarray]:
    """The arrays by name in what a file holds, as `read` gives them.

    Raises:
        Refused: It holds none, or several sets of them.
    """
    arrays = _arrays(tree, part)
    for prefix in _PREFIXES * 2:
        if all(key.startswith(prefix) for key in arrays):
            arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
    return arrays


def _arrays(tree: Any, part: str | None = None) -> dict[str, np.ndarray]:
    for key in part.split(".") if part else ():
        if not isinstance(tree, dict) or key not in tree:
            raise Refused(f"has no part {printable(key)}", _choice(tree))
        tree = tree[key]
    # A score may lie beside the weights as an array, but no layer of a model is a dict.
    while isinstance(tree, dict) and (wraps := [key for key in _WRAPS if isinstance(tree.get(key), dict)]):
        tree = tree[wraps[0]]
    arrays = {key: value for key, value in tree.items() if isinstance(value, np.ndarray)} if _named(tree) else {}
    if not arrays:
        raise Refused("holds no arrays by name", _choice(tree))
    return arrays


def _content(file: Mapped) -> Any:
    start = file[:64]
    # The length that safetensors begins with may look like a pickle, but no pickle looks like all of its beginning.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= len(file):
        return safetensors_file.read_opened(file)[0]
    if start[4:8] == tflite_file.MAGIC:
        return tflite_file.read_opened(file)
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return torch_file.read_opened(file)
    for magic, (found, remedy) in _OTHERS.items():
        if start.startswith(magic):
            raise Refused(found, remedy)
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise Refused("is a web page, not the file itself", "its address asks for a login or has moved: fetch it again")
    if file[257:262] == b"ustar":
        raise Refused("is a tar archive", "unpack it, or save it again with torch where it is of 2016's")
    remedy = f"give a .pth, safetensors, .weights.h5 or .tflite file, or {FETCH_AGAIN}"
    raise Refused("is no file of weights that segjax knows, or damaged", remedy)


def _joined(path: Path, file: Mapped) -> dict[str, Any]:
    """What the files hold that a list of Hugging Face's names, which lie beside it."""
    try:
        match json.loads(file[:_LONGEST_LIST]):
            case {"weight_map": dict(places)} if all(_beside(place) for place in places.values()):
                names = sorted(set(places.values()))
            case _:
                raise ValueError
    except (ValueError, RecursionError) as error:
        raise Refused("is no list of files of weights beside it", "give the file of the weights") from error
    tree: dict[str, Any] = {}
    for name in names:
        with opened(path.with_name(name)) as one:
            tree |= _arrays(_content(one))  # a prefix is one where all files have it
    return tree


def _beside(place: Any) -> bool:
    return isinstance(place, str) and place not in ("", ".", "..") and not set(place) & set("/\\:\0")


def _named(tree: Any) -> bool:
    return isinstance(tree, dict) and all(isinstance(key, str) for key in tree)


def _choice(tree: Any) -> str:
    if isinstance(tree, dict) and (parts := [key for key, value in tree.items() if isinstance(value, dict)]):
        held = ", ".join(map(printable, parts[:8]))
        return f"it holds {held}, so say which with weights.read(FILE, part=NAME), or save that in a file of its own"
    return "give a file of a model's weights"
