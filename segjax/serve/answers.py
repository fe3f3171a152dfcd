"""What is found in an image as the bytes of an answer: the same that `segjax predict` writes into files."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from segjax.drawing import Palette, paint
from segjax.errors import nearest
from segjax.inference import Found, Tells
from segjax.inference.outputs import png
from segjax.serve.limits import Refusal
from segjax.strict_json import as_json

TYPES = {"mask": "image/png", "json": "application/json", "probabilities": "application/x-npy"}
"""The type of content of each output."""


class Asked(NamedTuple):
    """What a request asks for."""

    output: str
    label: int | None = None
    """Whose mask it is, of labels that may overlap."""


def asked(output: str | None, label: str | None, accept: str, outputs: Sequence[str], tells: Tells) -> Asked:
    """What `?output=` and `?label=` say or, without them, the header Accept.

    Raises:
        Refusal: 422 for what is not found in images by this model, and 406 where nothing that is accepted is.
    """
    if output is None:
        output = _accepted(accept, outputs)
    elif output not in outputs:
        raise Refusal(422, f"There is no output {output!r}: ask for {' or '.join(outputs)}.")
    labels = tells.labels
    if output != "mask" or labels is None or not labels.overlap:
        return Asked(output)
    if label is None or label not in labels.class_names:
        which = nearest(label or "", labels.class_names)
        what = "no label is named" if label is None else f"there is no label {label!r}"
        raise Refusal(422, f"Labels may overlap, and each has a mask of its own; {what}: add ?label=, such as {which}.")
    return Asked(output, list(labels.class_names).index(label))


def _accepted(accept: str, outputs: Sequence[str]) -> str:
    wanted = {} if accept.strip(" ,") else {"*/*": 1.0}
    for one in filter(None, accept.split(",")):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        wanted[kind] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
    order, fit = list(wanted), []
    for output in outputs:
        known = TYPES[output]
        # The most specific range says how welcome a type is (RFC 9110, 12.5.1).
        ranges = (known, f"{known.partition('/')[0]}/*", "*/*")
        kind = next((one for one in ranges if one in wanted), None)
        if kind is not None and wanted[kind]:
            fit.append((-wanted[kind], order.index(kind), output))
    if fit:
        return min(fit, key=lambda one: one[:2])[-1]
    types = " or ".join(TYPES[output] for output in outputs)
    raise Refusal(406, f"Nothing of what the request accepts ({accept}) is made here: accept {types}.")


def answer(found: Found, ask: Asked, tells: Tells, size: tuple[int, int]) -> bytes:
    """The bytes that a request asks for; `size` is height and width of its image."""
    if ask.output == "mask":
        assert tells.labels is not None
        return png(tells.labels.images(np.asarray(found.mask))[ask.label or 0])
    if ask.output == "probabilities":
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(found.probabilities, "<f4"))
        return file.getvalue()
    height, width = size
    return as_json({"width": width, "height": height} | _as_json(found, tells)).encode()


def _as_json(found: Found, tells: Tells) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if tells.objects is not None and found.objects is not None:
        said["boxes"] = tells.objects.rows(found.objects)
    if tells.labels is not None and found.mask is not None:
        names = tells.labels.class_names if tells.labels.overlap else [None]
        said["masks"] = [
            {"label": name, "png": _text(image)} | _painted(image, tells.labels.palette)
            for name, image in zip(names, tells.labels.images(found.mask), strict=True)
        ]
    return said


def _painted(image: Image.Image, palette: Palette) -> dict[str, str]:
    """The mask in colours where it is of 16 bits, which browsers draw in 8."""
    return {} if image.mode == "P" else {"painted": _text(Image.fromarray(paint(np.asarray(image), palette)))}


def _text(image: Image.Image) -> str:
    return base64.b64encode(png(image)).decode()
