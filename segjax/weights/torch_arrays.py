"""Arrays made of the descriptions that a torch file's pickle holds, over the numbers where they lie in the file."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from segjax.weights.mapped import Refused, printable
from segjax.weights.pickles import SAVE_AGAIN, Aside, asks_for
from segjax.weights.torch_types import Storage, Tensor

_DEEPEST = 64
_MOST_PARTS = 10_000_000
_UNFOLDED = 1 << 28

Span = tuple[int, int]
"""The first byte and the number of bytes."""


class Storages:
    """The numbers of a file, by storage."""

    def __init__(self, file: UInt8[np.ndarray, " n"], find: Callable[[Storage], Span], swapped: bool):
        self.file: UInt8[np.ndarray, " n"] = file
        self.find: Callable[[Storage], Span] = find
        self.swapped: bool = swapped
        self._unswapped: dict[tuple[str, int], np.ndarray] = {}
        # Expanded arrays repeat numbers, and tied weights are counted twice, but not without end.
        self.unfolded: int = 0
        self.most: int = 4 * len(file) + _UNFOLDED

    def array(self, tensor: Tensor) -> Shaped[np.ndarray, "..."]:
        """The array that a description is of, a view where that can be.

        Raises:
            Refused: Its numbers are not in the file, or all arrays together are far longer than it.
        """
        dtype, shape = tensor.dtype, tensor.shape
        # numpy multiplies axes and strides of empty arrays too, and those that are never walked.
        if math.prod(max(n, 1) for n in shape) * dtype.itemsize >= 1 << 62:
            raise Refused(f"has an array of {' x '.join(map(str, shape))} numbers", SAVE_AGAIN)
        self.unfolded += math.prod(shape) * dtype.itemsize
        if self.unfolded > self.most:
            raise Refused(
                f"repeats its numbers until they are more than {self.most} bytes, where it has {len(self.file)}",
                SAVE_AGAIN,
            )
        if 0 in shape:
            return _frozen(np.empty(shape, dtype))
        strides = tuple(
            stride * dtype.itemsize if n > 1 else 0 for n, stride in zip(shape, tensor.strides, strict=True)
        )
        buffer = self._bytes(tensor.storage, dtype)
        offset = tensor.storage.start * tensor.storage.dtype.itemsize + tensor.offset * dtype.itemsize
        if dtype.kind == "b":  # any other byte than 0 and 1 would be no bool of numpy's
            return _frozen(np.ndarray(shape, np.uint8, buffer, offset, strides) != 0)
        array = np.ndarray(shape, dtype, buffer, offset, strides)
        if tensor.conjugated:
            array = np.conj(array)
        return _frozen(-array if tensor.negated else array)

    def whole(self, storage: Storage) -> Shaped[np.ndarray, " n"]:
        """A storage that stands for itself."""
        return self.array(Tensor(storage, storage.dtype, 0, (storage.count,), (1,)))

    def _bytes(self, storage: Storage, dtype: np.dtype) -> UInt8[np.ndarray, " n"]:
        start, size = self.find(storage)
        if size != storage.whole * storage.dtype.itemsize:
            raise Refused(
                f"has {size} bytes under {printable(storage.key)}, where its pickle says "
                f"{storage.whole} numbers of {storage.dtype.itemsize} bytes"
            )
        kept = self.file[start : start + size]
        width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
        if not self.swapped or width == 1:
            return kept
        if (storage.key, width) not in self._unswapped:
            whole = kept[: size // width * width].view(f"u{width}")
            self._unswapped[storage.key, width] = whole.byteswap().view(np.uint8)
        return self._unswapped[storage.key, width]


def arrays_of(tree: Any, storages: Storages) -> Any:
    """What a pickle holds, with arrays for its descriptions; one that it holds twice is one array here, too.

    Raises:
        Refused: It nests without end or unfolds without end, or holds a class.
    """
    return _Walk(storages).of(tree, 0).value


class _Part(NamedTuple):
    value: Any
    height: int
    parts: int


class _Walk:
    def __init__(self, storages: Storages):
        self.storages = storages
        self.known: dict[int, _Part] = {}

    def of(self, value: Any, depth: int) -> _Part:
        if isinstance(value, Aside):
            if value.within is not None:
                raise asks_for(value.within)
            return _Part(None, 0, 1)
        if value is None or isinstance(value, (str, int, float, bytes, np.dtype)):
            return _Part(value, 0, 1)
        if id(value) not in self.known:  # values are kept by the tree, so that no id is used twice
            self.known[id(value)] = self._new(value, depth)
        return self.known[id(value)]

    def _new(self, value: Any, depth: int) -> _Part:
        if isinstance(value, Tensor):
            return _Part(self.storages.array(value), 0, 1)
        if isinstance(value, Storage):
            return _Part(self.storages.whole(value), 0, 1)
        if not isinstance(value, (dict, list, tuple)):
            raise Refused("holds a class or a function, and nothing of it was run", SAVE_AGAIN)
        if depth >= _DEEPEST:  # of a value that holds itself, too
            raise _bomb()
        inner = [self.of(part, depth + 1) for part in (value.values() if isinstance(value, dict) else value)]
        height = 1 + max((part.height for part in inner), default=0)
        parts = 1 + sum(part.parts for part in inner)
        if height > _DEEPEST or parts > _MOST_PARTS:
            raise _bomb()
        values = [part.value for part in inner]
        if isinstance(value, dict):
            return _Part(dict(zip(value, values, strict=True)), height, parts)
        return _Part(values if isinstance(value, list) else tuple(values), height, parts)


def _bomb() -> Refused:
    return Refused(
        f"nests deeper than {_DEEPEST} or unfolds to more than {_MOST_PARTS} parts, as only a bomb does", SAVE_AGAIN
    )


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
