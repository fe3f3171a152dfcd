"""The image of a request: its bytes, bounded, and its pixels, read as `segjax predict` reads a file."""

import re
from collections.abc import AsyncIterator, Mapping

from segjax.data.formats.bands import Bands
from segjax.data.formats.images import extent, read_raster
from segjax.data.formats.rasters import Raster
from segjax.errors import DataError
from segjax.serve.limits import Limits, Refusal

NAME = "The image"
"""What sentences call it."""
_HOW = "send the bytes of an image file, as `curl --data-binary @FILE -H 'Content-Type: image/png'` does"
OTHERS = ("application/octet-stream", "application/x-npy")
"""The types of content besides images that a file may be sent as."""
_FORM = "multipart/form-data"


async def image_bytes(headers: Mapping[str, str], chunks: AsyncIterator[bytes], limits: Limits) -> bytes:
    """The bytes of the image file that a request carries, as its body or as the first file of a form.

    Raises:
        Refusal: 413 where there are too many, 415 where they are said to be something else, 422 where there are none.
    """
    said = headers.get("content-type", "").strip()
    kind = said.partition(";")[0].strip().lower()
    if kind not in (*OTHERS, _FORM) and not (kind.startswith("image/") and kind != "image/svg+xml"):
        raise Refusal(415, f"The request has {kind or 'no type of content'}, which is no image of pixels: {_HOW}.")
    most = limits.body * 2**20
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_long(int(length), limits)
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise _too_long(len(body), limits)
    data = bytes(body) if kind != _FORM else _first_file(bytes(body), said)
    if not data:
        raise Refusal(422, f"{NAME} has no bytes: {_HOW}.")
    return data


def read(data: bytes, bands: Bands | None, limits: Limits) -> Raster:
    """The pixels of an image file, upright.

    Raises:
        Refusal: 413 where there are too many, which the header says; 422 where the file cannot be read, or is not what
            the model was trained on.
    """
    most, samples = limits.pixels * 10**6, max(4, bands.count if bands else 3)
    try:
        found = extent(NAME, data=data)
        if found.pixels > most:
            raise Refusal(
                413, f"{NAME} has {found.pixels / 1e6:.1f} megapixels, and {limits.pixels} are taken: make it smaller."
            )
        if found.samples > most * samples:
            raise Refusal(
                413,
                f"{NAME} has {found.samples / 1e6:.1f} million numbers in {found.samples // found.pixels} bands, and "
                f"{limits.pixels * samples} are taken: make it smaller, or leave bands out.",
            )
        return read_raster(NAME, data=data) if bands is None else bands.read(NAME, data)
    except DataError as error:
        raise Refusal(422, str(error)) from error


def _too_long(length: int, limits: Limits) -> Refusal:
    return Refusal(
        413, f"The request has {length / 2**20:.1f} MiB or more, and {limits.body} are taken: make the image smaller."
    )


def _first_file(body: bytes, said: str) -> bytes:
    """Of a form (RFC 7578)."""
    boundary = re.search(r'boundary="?([^";]+)"?', said, re.IGNORECASE)
    # At the beginning of a line alone: the bytes of a file may hold the same.
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].strip().encode()) if boundary else []
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        if re.search(rb"; *filename\*?=", head, re.IGNORECASE):  # and no field that is called so
            return content
    raise Refusal(422, f"The form has no file in it: {_HOW}, or `curl -F image=@FILE`.")
