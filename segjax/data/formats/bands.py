"""Which bands of its image files a set reads, at which depth, and which are shown as red, green and blue."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8

from segjax.data.formats.channels import read_channels
from segjax.data.formats.images import read_raster, shown
from segjax.data.formats.rasters import WHITE, Depth, Raster
from segjax.data.formats.scenes import Window, open_scene
from segjax.errors import DataError, counted

NAMES_FILE = "bands.txt"
_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class Bands:
    """What all images of a set are: numbers of one type, and so many bands."""

    depth: Depth = "uint8"
    count: int = 3
    chosen: tuple[int, ...] | None = None
    """The numbers, from 1, of the bands that are read; None for all without opacity, and grey as three equal ones."""
    names: tuple[str, ...] = ()
    """Of those that are read, where the set names them."""
    low: tuple[float, ...] = ()
    """What is shown as black, of every band that is read."""
    high: tuple[float, ...] = ()
    """What is shown as white; empty for images of 8 bits, which are shown as they are."""
    channels: tuple[str, ...] = ()
    """What the names of the files of an image's channels end with, where each is a file of its own."""

    @property
    def as_rgb(self) -> tuple[int, int, int]:
        """The places of the bands that are shown as red, green and blue: by their names, or the first three."""
        names = [name.casefold() for name in self.names]
        if all(colour in names for colour in _RGB):
            red, green, blue = (names.index(colour) for colour in _RGB)
            return red, green, blue
        return (0, 1, 2) if self.count >= 3 else (0, 0, 0)

    def read(self, path: str | os.PathLike[str], data: bytes | None = None, window: Window | None = None) -> Raster:
        """Read an image file as those of the set, or its bytes where they are already in memory.

        A window is of a file of which `open_scene` gives such.

        Raises:
            DataError: it cannot be read, or has another depth or number of bands.
        """
        scene = None if window is None else open_scene(path)
        if data is not None:
            found = read_raster(path, bands=self.chosen, data=data)
        elif scene is None or window is None:
            found = read_channels(path, self.channels, self.chosen)
        else:
            found = scene.read(window).bands(self.chosen, shown(path))
        self.refuse_others(found.pixels, shown(path))
        return found

    @classmethod
    def measured(cls, mean: Sequence[float], std: Sequence[float], depth: Depth) -> "Bands":
        """What images are of which those are the mean and deviation of every band, in stored numbers over `WHITE`."""
        low, high = display_range(mean, std, depth)
        return cls(depth, len(mean), (1,) if len(mean) == 1 else None, low=low, high=high)

    def refuse_others(self, image: Num[np.ndarray, "h w c"], name: str) -> None:
        """Refuse an image that is not as those of the set.

        Raises:
            DataError: it has another depth or number of bands.
        """
        if image.dtype != self.depth:
            raise DataError(
                f"{name} has {image.dtype} where the images of the set have {self.depth}: save it as they are, for "
                "nobody can know how its values compare with theirs."
            )
        if image.shape[2] != self.count:
            raise DataError(
                f"{name} has {counted(image.shape[2], 'band')} where the images of the set have {self.count}: choose "
                "those that are the same by --bands."
            )

    def shown(self, image: Num[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
        """An image as people look at it: three bands, from the set's dark to the set's bright."""
        places = list(self.as_rgb)
        rgb = image if places == [0, 1, 2] and image.shape[2] == 3 else image[..., places]
        if not self.high:
            return np.ascontiguousarray(rgb)
        low, high = (np.array(part, np.float32)[places] for part in (self.low, self.high))
        return (np.clip((rgb - low) / np.maximum(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def display_range(
    mean: Sequence[float], std: Sequence[float], depth: Depth
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is shown as black and as white: two deviations around the mean of every band; nothing for 8 bits.

    The mean and deviation are those of the stored numbers over `WHITE`.
    """
    if depth == "uint8":
        return (), ()
    low, high = np.array(mean) - 2 * np.array(std), np.array(mean) + 2 * np.array(std)
    white = WHITE[depth]
    return tuple((low * white).tolist()), tuple((high * white).tolist())


def read_names(root: Path) -> tuple[str, ...]:
    """The names of the bands of a folder's images, one a line of its bands.txt; none where there is no such file.

    Raises:
        DataError: the file is no text, or names two alike.
    """
    file = root / NAMES_FILE
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(file)} cannot be read ({error}): write the name of one band a line.") from None
    if len({name.casefold() for name in names}) < len(names):
        raise DataError(f"{shown(file)} names two bands alike: give each a name of its own.")
    return names


def miscounted(names: Sequence[str], count: int) -> str | None:
    """What bands.txt is refused for where it names more or fewer bands than images have; None where it does not."""
    if not names or len(names) == count:
        return None
    return f"names {counted(len(names), 'band')}, and the images have {count}"


def choose(asked: Sequence[str], names: Sequence[str], where: str) -> tuple[int, ...] | None:
    """The numbers of the bands that are asked for by number, from 1, or by name; None where none is.

    Raises:
        DataError: there is no such band, or one is asked for twice.
    """
    numbers = []
    known = {name.casefold(): number for number, name in enumerate(names, start=1)}
    for one in asked:
        number = known.get(one.casefold(), int(one) if one.isdecimal() else 0)
        if number < 1:
            called = ", ".join(names) if names else f"none has a name; {NAMES_FILE} gives them"
            raise DataError(f"{where} has no band {one!r}: give --bands their numbers, from 1, or names ({called}).")
        numbers.append(number)
    if len(set(numbers)) < len(numbers):
        raise DataError(f"--bands {' '.join(asked)} asks for a band twice: name each once.")
    return tuple(numbers) or None
