"""PyTorch's files without PyTorch: what `torch.save` writes, as a zip archive or the stream of before torch 1.6."""

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from segjax.weights.mapped import Mapped, Refused, opened, printable
from segjax.weights.pickles import LONGEST, SAVE_AGAIN, read_pickle
from segjax.weights.torch_arrays import Span, Storages, arrays_of
from segjax.weights.torch_types import TABLE, Storage, storage_of

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_LOCAL_HEADER = 30


def read(path: str | Path) -> Any:
    """What a file of `torch.save` holds, with numpy arrays for its tensors. Nothing in the file is ever executed.

    Arrays are read-only views into the file, loaded by the page when they are looked at, so it must not be written
    into while they are in use; those that share numbers in torch share them here. Big-endian files are copied. dicts,
    lists, tuples, text, numbers and None come as they are, torch.Size as a tuple, torch.dtype as numpy's, bfloat16
    and float8 as those of `ml_dtypes`. What scripts keep beside the weights, as `argparse.Namespace`, numbers of NumPy
    and paths, is None. As with torch, nothing checks that the numbers are those that were written.

    Raises:
        DataError: It is no such file, is damaged, names what a state dict does not need, or would unfold to far more
            than it is long; the sentence says what was found and what to do.
    """
    with opened(Path(path)) as file:
        return read_opened(file)


def read_opened(file: Mapped) -> Any:
    """As `read`, of a file's bytes.

    Raises:
        Refused: As `read`.
    """
    if file[:4] == b"PK\x03\x04":
        return _read_zip(file)
    if file[:1] == b"\x80":
        return _read_stream(file)
    raise Refused("was not written by torch.save", "give a .pth or .pt file")


def _read_zip(file: Mapped) -> Any:
    members = _members(file)
    roots = [name.removesuffix("data.pkl") for name in members if PurePosixPath(name).name == "data.pkl"]
    if len(roots) != 1:
        raise Refused("is a zip archive, but none of torch.save", "give a .pth or .pt file")
    (root,) = roots
    if f"{root}constants.pkl" in members:
        raise Refused("is a TorchScript program, of which nothing was run", SAVE_AGAIN)
    order = "little"
    if f"{root}byteorder" in members:
        start, size = _span(file, members[f"{root}byteorder"])
        order = file[start : start + min(size, 16)].decode("latin-1")
    if order not in ("little", "big"):
        raise Refused(f"says that its byte order is {printable(order)!r}")
    start, size = _span(file, members[f"{root}data.pkl"])
    if size > LONGEST:
        raise Refused(f"has a pickle of {size} bytes, where {LONGEST} are the most", SAVE_AGAIN)
    tree, _ = read_pickle(memoryview(file)[start : start + size], TABLE, storage_of)

    def find(storage: Storage) -> Span:
        member = members.get(f"{root}data/{storage.key}")
        if member is None:
            raise Refused(f"has no numbers under {printable(storage.key)}, which its pickle asks for")
        return _span(file, member)

    return arrays_of(tree, Storages(file.array(), find, swapped=order != sys.byteorder))


def _members(file: Mapped) -> Mapping[str, zipfile.ZipInfo]:
    """The table of contents. Nothing is ever unpacked or written: names are only looked up."""
    try:
        found = zipfile.ZipFile(file).infolist()  # type: ignore[arg-type]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, IndexError) as error:
        raise Refused("is a zip archive that ends early or is damaged") from error
    members = {member.orig_filename: member for member in found}
    if len(members) != len(found):
        raise Refused("has two members of one name, as only a forged archive has")
    if sum(member.file_size for member in found) > len(file):
        raise Refused("has members that are compressed or lie on one another, as torch.save writes none", SAVE_AGAIN)
    for name in members:
        if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
            raise Refused(f"has a member {printable(name)}, a name that leads out of the archive", SAVE_AGAIN)
    return members


def _span(file: Mapped, member: zipfile.ZipInfo) -> Span:
    """Where a member's bytes lie in the file."""
    name = printable(member.orig_filename)
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or member.compress_size != member.file_size:
        raise Refused(f"has a compressed or encrypted member {name}, as torch.save writes none", SAVE_AGAIN)
    at = member.header_offset
    header = file[at : at + _LOCAL_HEADER] if at >= 0 else b""
    start = at + _LOCAL_HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if header[:4] != b"PK\x03\x04" or start + member.file_size > len(file):
        raise Refused(f"has a member {name} that lies beyond its end")
    return start, member.file_size


def _read_stream(file: Mapped) -> Any:
    """Five pickles (a magic number, a version, the machine, the object, its storages), then the numbers."""
    view = memoryview(file)
    at = 0
    sizes: dict[str, tuple[int, int]] = {}  # numbers, and the bytes of one

    def persistent(identity: Any) -> Storage:
        storage = storage_of(identity)
        size = storage.whole, storage.dtype.itemsize
        if sizes.setdefault(storage.key, size) != size:
            raise Refused(f"gives two sizes to the numbers under {printable(storage.key)}")
        return storage

    def next_pickle() -> Any:
        nonlocal at
        value, length = read_pickle(view[at:], TABLE, persistent)
        at += length
        return value

    magic = next_pickle()
    if type(magic) is not int or magic != _MAGIC:
        raise Refused("is a pickle, but none of torch.save, and nothing of it was run", "give a .pth or .pt file")
    version = next_pickle()
    if type(version) is not int or version != _VERSION:
        raise Refused(f"is no version {_VERSION} of torch.save's stream")
    next_pickle()  # the machine that wrote it: the numbers are little-endian whatever it was
    tree = next_pickle()
    keys = next_pickle()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != sizes.keys():
        raise Refused("lists other storages than its pickle asks for")
    spans: dict[str, Span] = {}
    for key in keys:
        count, (expected, itemsize) = int.from_bytes(view[at : at + 8], "little", signed=True), sizes[key]
        start, size = at + 8, expected * itemsize
        if start + size > len(view):
            raise Refused(f"ends at byte {len(view)}, where {start + size} are due")
        if count != expected:
            raise Refused(f"has {count} numbers under {printable(key)}, where its pickle says {expected}")
        spans[key] = start, size
        at = start + size
    return arrays_of(tree, Storages(file.array(), lambda storage: spans[storage.key], sys.byteorder == "big"))
