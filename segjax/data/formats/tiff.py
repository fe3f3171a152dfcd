"""TIFF files by their tags: every layout, depth and byte order, as the numbers that are stored.

Pillow and OpenCV each know a closed list of combinations, and call the others damaged or read noise; libtiff, through
Pillow, only unpacks what is compressed here. The tags are those of TIFF 6.0 (Adobe, 1992), its supplements of 1995 and
2002 for tiles, predictors and floating point, BigTIFF, and GDAL's tag of no data.
"""

import io
import itertools
import struct
import zlib
from typing import BinaryIO, NamedTuple, TypeVar
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, Num, Shaped
from PIL import Image

from segjax.errors import DataError

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
DESCRIPTION, ORIENTATION, SAMPLES, ROWS, PLANAR, PREDICTOR, EXTRA, FORMAT, NODATA = (
    270,
    274,
    277,
    278,
    284,
    317,
    338,
    339,
    42113,
)
_STRIPS, _TILES = (273, 279), (324, 325)  # where they are, and how many bytes they have
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OVERVIEW, _MASK = 1, 4  # bits of SUBFILE
_TYPES = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 11: "f4", 12: "f8", 13: "u4"}
_TYPES |= {16: "u8", 17: "i8", 18: "u8"}  # BigTIFF's
_RAW, _LZW, _PACKBITS, _LZMA, _ZSTD, _DEFLATE = 1, 5, 32773, 34925, 50000, (8, 32946)
_LIBTIFFS = {_LZW, _PACKBITS, _LZMA, _ZSTD}  # which libtiff unpacks
_UNPACKED = {_RAW, *_DEFLATE, *_LIBTIFFS}
_PILLOWS = {2, 3, 4, 7}  # fax and JPEG
_NUMBERS = (0, 1, 2, 34892)  # grey with white as 0, grey, RGB, linear: what needs no conversion of colours
_KINDS = {1: "u", 2: "i", 3: "f"}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MOST_PAGES = 10_000


Stored = TypeVar("Stored", float, np.ndarray)


class Page(NamedTuple):
    """One image of a TIFF file, as its tags describe it."""

    tags: dict[int, Shaped[np.ndarray, " n"]]
    order: str
    """`<` where the file's numbers begin with their lowest byte, `>` where they end with it."""

    def number(self, tag: int, default: int = 1) -> int:
        """The first number of a tag."""
        return int(self.tags[tag][0]) if tag in self.tags and len(self.tags[tag]) else default

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and samples of a pixel."""
        return self.number(HEIGHT, 0), self.number(WIDTH, 0), self.number(SAMPLES)

    @property
    def pixels(self) -> int:
        """Of the image, or of one of its tiles where that is larger: what reading takes memory for."""
        height, width, _ = self.shape
        tile = self.number(_TILE_HEIGHT) * self.number(_TILE_WIDTH) if _TILES[0] in self.tags else 0
        return max(height * width, tile)

    @property
    def is_image(self) -> bool:
        """Whether it is neither an overview nor a mask of another page."""
        return not self.number(SUBFILE, 0) & (_OVERVIEW | _MASK)

    @property
    def has_alpha(self) -> bool:
        """Whether the last sample of a pixel is said to be its opacity; GDAL says so of four bands of 8 bits."""
        return EXTRA in self.tags and int(self.tags[EXTRA][-1]) in (1, 2)

    @property
    def nodata(self) -> float | None:
        """The value of pixels without data, as GDAL writes it."""
        text = self.tags.get(NODATA)
        try:
            return None if text is None else float(text.tobytes().rstrip(b"\0 ").decode("ascii").replace(",", "."))
        except ValueError:
            return None

    def brightness(self, stored: Stored) -> Stored:
        """What a sample, or all of them, are from black on: white may be stored as 0, and few bits go up to 255."""
        white = 2 ** self.number(BITS) - 1
        if self.number(FORMAT) != 1:
            return stored
        level = white - stored if self.number(PHOTOMETRIC) == 0 else stored
        return level * (255 // white) if self.plain and white < 255 else level

    def labels(self, stored: np.ndarray) -> np.ndarray:
        """What samples are as labels: the stored numbers without opacity but, of two where white is 0, 1 for white."""
        stored = stored[..., :-1] if self.has_alpha else stored
        return 1 - stored if self.number(PHOTOMETRIC, 1) == 0 and self.number(BITS) == 1 else stored

    @property
    def counts_from_white(self) -> bool:
        """Whether white is stored as 0 among more than two numbers: of labels these are meant, and not how bright."""
        return self.number(PHOTOMETRIC, 1) == 0 and self.number(BITS) > 1 and self.is_unpacked

    @property
    def nodata_brightness(self) -> float | None:
        """The value of pixels without data among those of `brightness`."""
        return None if self.nodata is None else self.brightness(self.nodata)

    @property
    def is_unpacked(self) -> bool:
        """Whether its compression and its colours are read here."""
        return self.number(COMPRESSION) in _UNPACKED and self.number(PHOTOMETRIC, 1) in (*_NUMBERS, 4)

    @property
    def is_of_numbers(self) -> bool:
        """Whether its samples are grey, RGB or bands, once unpacked: JPEG makes RGB of its YCbCr."""
        photometric = self.number(PHOTOMETRIC, 1)
        return photometric in (*_NUMBERS, 4) or (photometric == 6 and self.number(COMPRESSION) == 7)

    @property
    def description(self) -> bytes:
        """What its writer says of it, as OME-TIFF does in XML."""
        text = self.tags.get(DESCRIPTION)
        return b"" if text is None else text.tobytes().rstrip(b"\0 ")

    @property
    def plain(self) -> bool:
        """Whether it is grey or RGB of up to 8 bits, or in colours that must be converted."""
        converted = self.number(PHOTOMETRIC, 1) not in _NUMBERS or self.number(COMPRESSION) in _PILLOWS
        simple = self.shape[2] in (1, 3) and EXTRA not in self.tags and self.number(FORMAT) == 1
        known = self.number(COMPRESSION) in _UNPACKED | _PILLOWS
        return self.number(BITS) <= 8 and known and (simple or (converted and self.shape[2] in (1, 3, 4)))

    @property
    def for_pillow(self) -> bool:
        """Whether Pillow is to read it: colours that must be converted, and sooner than here what libtiff unpacks."""
        unpacks = self.number(COMPRESSION) in _LIBTIFFS and self.number(BITS) == 8 and self.order == "<"
        return self.plain and (not self.is_unpacked or (unpacks and not self.has_gaps))

    @property
    def has_gaps(self) -> bool:
        """Whether strips or tiles have no bytes, as GDAL leaves out empty ones; Pillow reads the file's beginning."""
        return any((self.tags[counts] == 0).any() for _, counts in (_STRIPS, _TILES) if counts in self.tags)


def read_pages(stream: BinaryIO) -> list[Page]:
    """The tags of all images in a TIFF or BigTIFF file, none where it is no such file.

    Raises:
        struct.error, ValueError: the file is cut short or damaged.
    """
    stream.seek(0)
    start = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        return []
    version = struct.unpack(f"{order}H", start[2:4])[0]
    if version not in (42, 43):
        return []
    big = version == 43
    (at,) = struct.unpack(f"{order}Q", start[8:16]) if big else struct.unpack(f"{order}I", start[4:8])
    pages: list[Page] = []
    seen: set[int] = set()
    while at and at not in seen and len(pages) < _MOST_PAGES:
        seen.add(at)
        tags, at = _directory(stream, at, order, big)
        pages.append(Page(tags, order))
    return pages


def _directory(stream: BinaryIO, at: int, order: str, big: bool) -> tuple[dict[int, np.ndarray], int]:
    end = stream.seek(0, io.SEEK_END)
    if at >= end:
        raise ValueError("its directory lies behind its end")
    stream.seek(at)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", stream.read(8 if big else 2))
    entry, head, offset = (20, f"{order}HHQ", f"{order}Q") if big else (12, f"{order}HHI", f"{order}I")
    if count * entry > end:
        raise ValueError("its directory is longer than the file")
    table, after = stream.read(count * entry), stream.read(8 if big else 4)
    room = struct.calcsize(offset)
    tags = {}
    for place in range(0, count * entry, entry):
        tag, type_, length = struct.unpack(head, table[place : place + entry - room])
        if type_ not in _TYPES:
            continue
        dtype = np.dtype(_TYPES[type_]).newbyteorder(order)  # type: ignore[arg-type]
        size, value = length * dtype.itemsize, table[place + entry - room : place + entry]
        if size > end:
            raise ValueError(f"its tag {tag} is longer than the file")
        if size > room:
            stream.seek(struct.unpack(offset, value)[0])
            value = stream.read(size)
        tags[tag] = np.frombuffer(value, dtype, length)  # which raises where the file ends before
    return tags, struct.unpack(offset, after)[0] if len(after) == room else 0


def read_pixels(
    stream: BinaryIO, page: Page, name: str, window: tuple[slice, slice] | None = None
) -> Num[np.ndarray, "h w s"]:
    """All samples of a page, or of some rows and columns, as they are stored, in the numbers that hold them.

    Of strips and tiles those are read that the window touches.

    Raises:
        DataError: it is coded in a way that is not read; the sentence says which.
        ValueError, OSError, zlib.error: it is cut short or damaged.
    """
    height, width, samples = page.shape
    bits, kind = page.number(BITS), _KINDS.get(page.number(FORMAT), "")
    _refuse_unknown(page, bits, kind, name)
    separate = page.number(PLANAR) == 2
    tiled = _TILES[0] in page.tags
    rows, columns = (
        (page.number(_TILE_HEIGHT), page.number(_TILE_WIDTH))
        if tiled
        else (min(page.number(ROWS, height), height) or height, width)
    )
    of_chunk = 1 if separate else samples
    across, down = -(-width // columns), -(-height // rows)
    chunks = across * down * (samples if separate else 1)
    offset_tag, count_tag = _TILES if tiled else _STRIPS
    raw = rows * -(-columns * of_chunk * bits // 8)
    offsets = page.tags.get(offset_tag, np.zeros(0, int))
    counts = page.tags.get(count_tag, np.full(chunks, raw))
    if min(len(offsets), len(counts)) < chunks or not min(height, width, samples):
        raise ValueError(f"its tags name {min(len(offsets), len(counts))} of {chunks} parts")
    dtype = np.dtype(f"{kind}{bits // 8}" if bits in (8, 16, 32, 64) else "u1" if bits < 8 else "u2")
    nodata = page.nodata
    fill = nodata if nodata is not None and _holds(dtype, nodata) else 0
    high, wide = window or (slice(0, height), slice(0, width))
    pixels = np.empty((high.stop - high.start, wide.stop - wide.start, samples), dtype)
    touched = itertools.product(
        range(samples if separate else 1),
        range(high.start // rows, -(-high.stop // rows)),
        range(wide.start // columns, -(-wide.stop // columns)),
    )
    for plane, y, x in touched:
        number = (plane * down + y) * across + x
        top, left = y * rows - high.start, x * columns - wide.start  # in the window
        target = pixels[
            max(top, 0) : top + rows, max(left, 0) : left + columns, plane : plane + 1 if separate else samples
        ]
        if not counts[number]:
            target[...] = fill  # GDAL leaves out what is empty
            continue
        stream.seek(int(offsets[number]))
        packed = stream.read(int(counts[number]))
        here = rows if tiled else min(rows, height - y * rows)
        chunk = _chunk(packed, page, (here, columns, of_chunk), bits, dtype)[max(-top, 0) :, max(-left, 0) :]
        target[...] = chunk[: len(target), : target.shape[1]]
    return pixels


def opaque(
    stream: BinaryIO, pages: list[Page], image: Page, name: str, window: tuple[slice, slice] | None = None
) -> Bool[np.ndarray, "h w"] | None:
    """Where an image has pixels, as a mask in the same file says (GDAL's internal one); None without a mask."""
    for page in pages:
        if page.number(SUBFILE, 0) & _MASK and page.shape[:2] == image.shape[:2]:
            return read_pixels(stream, page, name, window)[..., 0] != 0
    return None


def _refuse_unknown(page: Page, bits: int, kind: str, name: str) -> None:
    compression, photometric = page.number(COMPRESSION), page.number(PHOTOMETRIC, 1)
    for tag, what in ((BITS, "bits a sample"), (FORMAT, "formats of numbers")):
        if tag in page.tags and len(set(page.tags[tag].tolist())) > 1:
            different = ", ".join(map(str, page.tags[tag].tolist()))
            raise DataError(f"{name} is a TIFF whose bands have different {what} ({different}): save them all alike.")
    if compression not in _UNPACKED:
        raise DataError(
            f"{name} is a TIFF of {bits} bits whose compression (number {compression}) is not read: save it again with "
            "deflate, as `gdal_translate -co COMPRESS=DEFLATE` does."
        )
    if photometric not in (*_NUMBERS, 4):
        raise DataError(
            f"{name} is a TIFF of {bits} bits whose colours (photometric interpretation {photometric}) are neither "
            "grey nor RGB: convert it."
        )
    known = bits in (16, 32, 64) if kind == "f" else bits in (8, 16, 32, 64) or (kind == "u" and 0 < bits < 16)
    if not kind or not known:
        what = {"f": "floating point", "i": "signed whole numbers"}.get(kind, "a kind that is not read")
        raise DataError(f"{name} is a TIFF with samples of {bits} bits, {what}: save it with 8, 16 or 32 bits.")


def _chunk(
    packed: bytes, page: Page, shape: tuple[int, int, int], bits: int, dtype: np.dtype
) -> Num[np.ndarray, "rows columns s"]:
    """The samples of one strip or tile."""
    rows, columns, samples = shape
    row = -(-columns * samples * bits // 8)
    if page.number(FILL_ORDER) == 2:
        packed = packed.translate(_REVERSED)
    data = _unpack(packed, page.number(COMPRESSION), rows, row)
    if len(data) < rows * row:
        raise ValueError(f"{rows * row - len(data)} bytes of a part are missing")
    values = np.frombuffer(data, np.uint8, rows * row).reshape(rows, row)
    predictor = page.number(PREDICTOR)
    if predictor == 3:
        # Differences of bytes over the whole row, in which all highest bytes come first.
        summed = values.reshape(rows, -1, samples).cumsum(axis=1, dtype=np.uint8)
        planes = summed.reshape(rows, dtype.itemsize, columns * samples)
        whole = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(dtype.newbyteorder(">"))
        return whole.reshape(shape).astype(dtype)
    if bits not in (8, 16, 32, 64):
        digits = np.unpackbits(values, axis=1)[:, : columns * samples * bits].reshape(rows, -1, bits)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint16)
        return (digits * weights).sum(-1, dtype=np.uint16).reshape(shape).astype(dtype)
    stored = values.view(dtype.newbyteorder(page.order)).reshape(shape)  # type: ignore[arg-type]
    if predictor != 2:
        return stored
    whole_numbers = np.dtype(f"u{dtype.itemsize}")
    return stored.astype(dtype).view(whole_numbers).cumsum(axis=1, dtype=whole_numbers).view(dtype)


def _unpack(packed: bytes, compression: int, rows: int, row: int) -> bytes:
    if compression == _RAW:
        return packed
    if compression in _DEFLATE:
        return zlib.decompressobj().decompress(packed, rows * row)
    # A grey image of as many bytes, in a file of its own, is what libtiff unpacks for us.
    tags = [(WIDTH, row), (HEIGHT, rows), (BITS, 8), (COMPRESSION, compression), (PHOTOMETRIC, 1), (_STRIPS[0], 8)]
    tags += [(SAMPLES, 1), (ROWS, rows), (_STRIPS[1], len(packed))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    file = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + table + b"\0" * 4
    with Image.open(io.BytesIO(file), formats=["TIFF"]) as grey:
        return grey.tobytes()


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether numbers of the type can have the value."""
    if dtype.kind == "f":
        return True
    return value == int(value) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max if np.isfinite(value) else False


def channels_of_ome(description: bytes) -> int:
    """How many bands the pages of an OME-TIFF are, by the XML in its first one; 0 where they are none of one image."""
    try:
        pixels = next(one for one in ElementTree.fromstring(description).iter() if one.tag.endswith("}Pixels"))
        depth, times, channels = (int(pixels.get(f"Size{axis}", 1)) for axis in "ZTC")
    except (ElementTree.ParseError, StopIteration, ValueError):
        return 0
    return channels if depth == times == 1 else 0
