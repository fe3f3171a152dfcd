"""How far an encoder with real weights is from PyTorch with the same: values of torch's maps of a photo, kept here."""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from segjax.errors import DataError

LIMIT = 2e-5
"""The largest error of an encoder in float32 that is right; torch's own is up to 4e-6."""
_FILE = Path(__file__).with_name("reference.json")


class Stage(NamedTuple):
    """What is known of a map of torch's, computed in float64."""

    shape: tuple[int, ...]
    """h w c."""
    mean: float
    std: float
    largest: float
    """Of its absolute values."""
    probes: Sequence[tuple[int, int, int, float]]
    """Values at row, column, channel."""

    def error(self, features: Float[np.ndarray, "h w c"]) -> float:
        """The largest difference from what is known, as a share of the largest value."""
        found = [float(features.mean(dtype=np.float64)) - self.mean, float(features.std(dtype=np.float64)) - self.std]
        found += [float(features[row, column, channel]) - value for row, column, channel, value in self.probes]
        return float(max(map(abs, found)) / self.largest)


def references(name: str) -> dict[str, list[Stage]]:
    """The maps that are known of the weights of that name, by the photo's preparation, an even and an odd size.

    No record has them but those of a package registry.
    """
    runs: dict[str, list[dict[str, Any]]] = json.loads(_FILE.read_text()).get(name, {})
    return {
        run: [Stage(tuple(s["shape"]), s["mean"], s["std"], s["abs_max"], s["probes"]) for s in stages]
        for run, stages in runs.items()
    }


def photo(run: str, size: int) -> Float[np.ndarray, "h w 3"]:
    """A photo in 0..255 as a reference has it: `china_resized` to `size`, or `china_halved` to 213x213.

    Likewise `chelsea` and `coffee`; china is scikit-learn's, the others are scikit-image's.

    Raises:
        DataError: the library that has the photo, or Pillow, is not installed, or its file is decoded to other pixels.
    """
    name, _, how = run.partition("_")
    known = json.loads(_FILE.read_text())["photos"][name]
    spec = importlib.util.find_spec(known["package"])
    if spec is None or spec.origin is None or importlib.util.find_spec("PIL") is None:
        library = known["distribution"]
        raise DataError(f"The photo {name} is {library}'s, read with Pillow: `pip install {library} pillow`.")
    from PIL import Image

    file = Path(spec.origin).parent / known["file"]
    pixels = np.asarray(Image.open(file))
    if hashlib.sha256(pixels.tobytes()).hexdigest() != known["decoded_sha256"]:
        raise DataError(f"{file} has other pixels here than the reference is of: try another version of Pillow.")
    if how == "resized":
        square = Image.fromarray(_centre(pixels, min(pixels.shape[:2])))
        return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), np.float64)
    side = min(pixels.shape[:2]) // 2
    halves = _centre(pixels, 2 * side).reshape(side, 2, side, 2, 3)
    return halves.mean((1, 3), dtype=np.float64)


def _centre(pixels: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "side side 3"]:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
