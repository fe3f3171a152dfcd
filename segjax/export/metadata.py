"""What an exported file says of itself, in the way of its format.

ONNX has a place for it. A StableHLO or TFLite file is followed by a zip archive with one file in it, as TFLite's own
metadata has it: whoever reads the model does not see it, and `zipfile`, which looks from the end, sees nothing else.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from segjax.errors import ExportError
from segjax.strict_json import as_json

NAME = "metadata.json"
KEY = "segjax"
"""The key of ONNX's `metadata_props` under which all of it is, as JSON."""


def with_archive(model: bytes, metadata: dict[str, Any]) -> bytes:
    """The bytes of a model, with a zip archive of its metadata behind them."""
    file = io.BytesIO()
    file.write(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(NAME), as_json(metadata, indent=2))  # without the time of day: same bytes
    return file.getvalue()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What an exported file says of itself: its input and outputs, classes, palette, licence, and how it was checked.

    Raises:
        ExportError: the file cannot be read, or holds nothing of the kind; or the package onnx is not there.
    """
    path = Path(path)
    try:
        if path.suffix == ".onnx" or not zipfile.is_zipfile(path):
            return json.loads(_onnx_properties(path.read_bytes())[KEY])
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(NAME))
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror}).") from error
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path} says nothing of itself: give a file that `segjax export` wrote.") from error


def _onnx_properties(content: bytes) -> dict[str, str]:
    """What an ONNX file with these bytes says by name; ValueError where they are none."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise ExportError(f"What an ONNX file says is read by {error.name}: `pip install 'segjax[export]'`.") from error
    try:
        return {each.key: each.value for each in onnx.load_from_string(content).metadata_props}
    except DecodeError as error:
        raise ValueError(str(error)) from error
