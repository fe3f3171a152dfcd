"""TIFF files of any layout, written from the specification with nothing of what reads them."""

import struct
import zlib

import numpy as np

_CODES = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d", 16: "Q"}


def packbits(data: bytes) -> bytes:
    """Literal runs alone, which is PackBits all the same."""
    return b"".join(bytes([len(part) - 1]) + part for part in (data[i : i + 128] for i in range(0, len(data), 128)))


def tiff_file(
    pixels, *, order="<", planar=1, compression=1, predictor=1, tile=None, rows=5, big=False, photometric=1, bits=None,
    extra=None, tags=(), more=(),
):  # fmt: skip
    """The bytes of a TIFF of (h, w, s); `tags` are (number, type, values), and `more` lists of such for other pages."""
    height, width, samples = pixels.shape
    bits = bits or 8 * pixels.dtype.itemsize
    planes = [pixels] if planar == 1 else [pixels[..., k : k + 1] for k in range(samples)]
    high, wide = tile or (rows, width)
    chunks = []
    for plane in planes:
        for y in range(0, height, high):
            for x in range(0, width, wide):
                part = plane[y : y + high, x : x + wide]
                if tile:
                    part = np.pad(part, ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0)))
                data = _coded(part, order, predictor, bits)
                chunks.append({1: bytes, 8: zlib.compress, 32773: packbits}[compression](data))
    head = 16 if big else 8
    offsets = [head + sum(map(len, chunks[:k])) for k in range(len(chunks))]
    where = [(324, 4, offsets), (325, 4, [*map(len, chunks)]), (322, 3, [wide]), (323, 3, [high])]
    where = where if tile else [(273, 4, offsets), (279, 4, [*map(len, chunks)]), (278, 3, [rows])]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    table = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * samples), (259, 3, [compression]), *where]
    table += [(262, 3, [photometric]), (277, 3, [samples]), (284, 3, [planar]), (317, 3, [predictor])]
    table += [(339, 3, [kind] * samples), *([(338, 3, extra)] if extra else []), *tags]
    body = b"".join(chunks)
    body += b"\0" * (len(body) % 2)
    pages, at = [table, *more], head + len(body)
    first = at
    for number, page in enumerate(pages):
        last = number == len(pages) - 1
        written = _directory(page, at, order, big, last)
        body, at = body + written, at + len(written)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HHHQ", 43, 8, 0, first) if big else struct.pack(f"{order}HI", 42, first)
    return mark + start + body


def _coded(part, order, predictor, bits):
    if bits < 8 or bits == 12:
        flat = part.reshape(part.shape[0], -1)
        digits = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        return np.packbits(digits.reshape(len(flat), -1).astype(np.uint8), axis=1).tobytes()
    if predictor == 3:
        high_first = part.astype(part.dtype.newbyteorder(">")).reshape(len(part), -1)
        planes = high_first.view(np.uint8).reshape(len(part), -1, part.dtype.itemsize).transpose(0, 2, 1)
        line = planes.reshape(len(part), -1, part.shape[2])
        return np.diff(line, axis=1, prepend=np.zeros_like(line[:, :1])).astype(np.uint8).tobytes()
    if predictor == 2:
        whole = part.view(f"u{part.dtype.itemsize}")
        part = np.diff(whole, axis=1, prepend=np.zeros_like(whole[:, :1]))
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _directory(table, at, order, big, last):
    count, entry, room = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    size = struct.calcsize(f"={count}") + len(table) * (struct.calcsize(f"={entry}") + room) + room
    written, tail = struct.pack(order + count, len(table)), b""
    for tag, kind, values in sorted(table):
        packed = values if kind == 2 else struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        written += struct.pack(order + entry, tag, kind, len(values))
        pointer = struct.pack(order + ("Q" if big else "I"), at + size + len(tail))
        written += packed.ljust(room, b"\0") if len(packed) <= room else pointer
        tail += b"" if len(packed) <= room else packed + b"\0" * (len(packed) % 2)
    after = 0 if last else at + size + len(tail)
    return written + struct.pack(order + ("Q" if big else "I"), after) + tail
