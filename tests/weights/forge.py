"""Files as torch.save would write them, and as it never would."""

import struct
import zipfile
from pathlib import Path

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
MACHINE = b"\x80\x02}X\x0d\0\0\0little_endian\x88s."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def integers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def asked(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return asked(module, name) + b"(" + b"".join(arguments) + b"tR"


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage", view: bytes = b"") -> bytes:
    return b"(" + text("storage") + asked("torch", kind) + text(key) + text("cpu") + integer(count) + view + b"tQ"


def tensor(
    numbers: bytes | None = None, offset: int = 0, shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,)
) -> bytes:
    return called(
        "torch._utils",
        "_rebuild_tensor_v2",
        storage() if numbers is None else numbers,
        integer(offset),
        integers(*shape),
        integers(*strides),
        b"\x89" + called("collections", "OrderedDict"),
    )


def pickle(value: bytes, key: str = "weight") -> bytes:
    """The pickle of {key: value}."""
    return b"\x80\x02}" + text(key) + value + b"s."


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def archive(path: Path, body: bytes, storages: dict[str, bytes] | None = None, **members: bytes) -> Path:
    """A zip archive as torch's, with a pickle and the numbers of its storages."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", body)
        for key, numbers in ({"0": FOUR} if storages is None else storages).items():
            file.writestr(f"archive/data/{key}", numbers)
        for name, content in members.items():
            file.writestr(f"archive/{name}", content)
    return path


def stream(path: Path, body: bytes, storages: dict[str, bytes] | None = None, itemsize: int = 4) -> Path:
    """A stream as torch's before 1.6."""
    kept = {"0": FOUR} if storages is None else storages
    keys = b"\x80\x02](" + b"".join(map(text, kept)) + b"e."
    numbers = b"".join(struct.pack("<q", len(one) // itemsize) + one for one in kept.values())
    path.write_bytes(MAGIC + b"\x80\x02M\xe9\x03." + MACHINE + body + keys + numbers)
    return path
