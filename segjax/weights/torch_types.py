"""What a torch file may name, in a closed table, and what stands for it here: descriptions, of which nothing runs."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from segjax.weights.mapped import Refused
from segjax.weights.pickles import SAVE_AGAIN, Aside, Function, checked_key

_MOST_AXES = 64  # of numpy and of torch


@dataclass(frozen=True)
class StorageType:
    """The type that a storage's numbers have; bytes for an untyped one."""

    dtype: np.dtype


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file, which several arrays may share."""

    key: str
    dtype: np.dtype
    whole: int
    """Numbers that the file keeps under that key."""
    start: int
    count: int
    """This part of them: all but in files of the oldest torch."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """An array over a storage; offset and strides count its own numbers."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False


def storage_of(identity: Any) -> Storage:
    """What a persistent id stands for.

    Raises:
        Refused: It is none of a storage.
    """
    match identity:
        case (str("storage"), StorageType(dtype=dtype), str(key), _, int(count), *view) if count >= 0 and len(view) < 2:
            match view:
                case [] | [None]:
                    return Storage(key, dtype, count, 0, count)
                case [(_, int(start), int(part))] if min(start, part) >= 0 and start + part <= count:
                    return Storage(key, dtype, count, start, part)
        case (str("module"), *_):
            raise Refused("holds a whole module with its code, and nothing of it was run", SAVE_AGAIN)
    raise Refused("has a persistent id that is none of a storage", SAVE_AGAIN)


def _ordered_dict(arguments: tuple) -> OrderedDict:
    match arguments:
        case ():
            return OrderedDict()
        case (list(pairs),) if all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):  # of Python 2
            return OrderedDict((checked_key(key), value) for key, value in pairs)
    raise _misused("OrderedDict")


def _counter(arguments: tuple) -> dict:
    match arguments:
        case (dict(counts),):
            return counts
    raise _misused("Counter")


def _size(arguments: tuple) -> tuple:
    match arguments:
        case (tuple(size),):
            return size
    raise _misused("Size")


def _tensor(arguments: tuple) -> Tensor:
    match arguments:
        case (Storage() as storage, offset, shape, strides, *rest) if len(rest) <= 3:
            return _checked(storage, storage.dtype, offset, shape, strides, rest[2] if len(rest) == 3 else None)
    raise _misused("Tensor")


def _tensor_of_dtype(arguments: tuple) -> Tensor:
    match arguments:
        case (Storage() as storage, offset, shape, strides, _, _, np.dtype() as dtype, *rest) if len(rest) <= 1:
            return _checked(storage, dtype, offset, shape, strides, rest[0] if rest else None)
    raise _misused("Tensor")


def _parameter(arguments: tuple) -> Tensor:
    match arguments:  # requires_grad, hooks and the attributes of a subclass are of no use here
        case (Tensor() as tensor, _, _) | (Tensor() as tensor, _, _, _):
            return tensor
    raise _misused("Parameter")


def _of_type(arguments: tuple) -> Any:
    match arguments:
        case (Function(call=call), StorageType() | Kind(), tuple(inner), _) if call in (_tensor, _tensor_of_dtype):
            return call(inner)
    raise _misused("Tensor")


def _checked(storage: Storage, dtype: np.dtype, offset: Any, shape: Any, strides: Any, flags: Any) -> Tensor:
    """A tensor whose every number lies in its storage, as far as the pickle tells."""
    if type(shape) is not tuple or type(strides) is not tuple or not len(shape) == len(strides) <= _MOST_AXES:
        raise _misused("Tensor")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in (offset, *shape, *strides)):
        raise Refused("has an array whose size, strides or offset is negative or no number", SAVE_AGAIN)
    if 0 not in shape:
        end = offset + 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        kept = storage.count * storage.dtype.itemsize
        if end * dtype.itemsize > kept:
            raise Refused(f"has an array that ends at byte {end * dtype.itemsize} of a storage of {kept}", SAVE_AGAIN)
    tensor = Tensor(storage, dtype, offset, shape, strides)
    if isinstance(flags, dict):  # views whose values are changed when they are looked at
        tensor = replace(tensor, conjugated=flags.get("conj") is True, negated=flags.get("neg") is True)
        if (tensor.conjugated and dtype.kind != "c") or (tensor.negated and dtype.kind not in "fc"):
            raise _misused("Tensor")
    return tensor


def _misused(name: str) -> Refused:
    return Refused(f"makes a {name} of something else than torch does", SAVE_AGAIN)


def _unreadable(what: str) -> Function:
    def refuse(arguments: tuple) -> None:
        raise Refused(f"holds {what}, which segjax does not read", SAVE_AGAIN)

    return Function(refuse)


@dataclass(frozen=True)
class Kind:
    """A class that a file names and that makes no difference here."""

    name: str


_STORAGES = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
    "ComplexDouble": np.complex128,
    "ComplexFloat": np.complex64,
}
_DTYPES = [
    *("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("complex128", "complex64", "bool"),
]
_ML_DTYPES = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]

_ASIDE = {
    "argparse": ["Namespace"],
    "numpy": ["dtype"],
    "numpy.core.multiarray": ["scalar"],
    "numpy._core.multiarray": ["scalar"],
    "_codecs": ["encode"],  # the bytes of NumPy's numbers and arrays
    "mmengine.logging.history_buffer": ["HistoryBuffer"],
    "pathlib": ["Path", "PosixPath", "WindowsPath"],
    "pathlib._local": ["Path", "PosixPath", "WindowsPath"],
    "pytorch_lightning.utilities.parsing": ["AttributeDict"],
    "lightning_fabric.utilities.data": ["AttributeDict"],
    "lightning.fabric.utilities.data": ["AttributeDict"],
}
"""Arguments, scores and folders, as scripts, Lightning and MMEngine save them beside the weights."""

_WITHIN = {
    "numpy": ["ndarray"],
    "numpy.core.multiarray": ["_reconstruct"],
    "numpy._core.multiarray": ["_reconstruct"],
    "builtins": ["getattr"],
    "__builtin__": ["getattr"],
}
"""Arrays and functions that MMEngine's histories of scores have; as weights they would be missing without a word."""

TABLE: dict[tuple[str, str], Any] = {
    **{(module, name): Aside() for module, names in _ASIDE.items() for name in names},
    **{(module, name): Aside(f"{module}.{name}") for module, names in _WITHIN.items() for name in names},
    **{("torch", f"{name}Storage"): StorageType(np.dtype(dtype)) for name, dtype in _STORAGES.items()},
    **{("torch", name): np.dtype(name) for name in _DTYPES},
    **{("torch", name): np.dtype(getattr(ml_dtypes, name)) for name in _ML_DTYPES},
    ("torch.storage", "UntypedStorage"): StorageType(np.dtype(np.uint8)),
    ("torch", "UntypedStorage"): StorageType(np.dtype(np.uint8)),
    ("torch", "Tensor"): Kind("Tensor"),
    ("torch.nn.parameter", "Parameter"): Kind("Parameter"),
    ("torch.nn.parameter", "Buffer"): Kind("Buffer"),
    ("torch", "Size"): Function(_size),
    ("collections", "OrderedDict"): Function(_ordered_dict),
    ("collections", "Counter"): Function(_counter),
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Function(_tensor_of_dtype),
    ("torch._utils", "_rebuild_parameter"): Function(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Function(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): Function(_of_type),
    ("torch._utils", "_rebuild_sparse_tensor"): _unreadable("a sparse array"),
    ("torch.serialization", "_get_layout"): _unreadable("a sparse array"),
    ("torch._utils", "_rebuild_qtensor"): _unreadable("a quantised array"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _unreadable("an array without numbers (of the meta device)"),
    ("torch._utils", "_rebuild_nested_tensor"): _unreadable("a nested array"),
}
