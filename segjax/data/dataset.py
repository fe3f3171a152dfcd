"""A data set: what it is called, what its classes are, how its splits are opened, and what training wants to know."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num, UInt8

from segjax.data.augment import Augment
from segjax.data.checked import CheckedSource
from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import misnamed
from segjax.data.record import Source
from segjax.data.statistics import Statistics
from segjax.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """A data set by name. Nothing is fetched or read before it is opened.

    Raises:
        DataError: two classes have one name, or a class or an attribute has none, or control characters in it.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
        >>> colours = (0, 0, 0), (0, 255, 0)
        >>> mine = data.Dataset("mine", ("ground", "tree"), colours, open=lambda split: [record] * 4)
        >>> len(mine.open("val"))
        4
    """

    name: str
    class_names: tuple[str, ...]
    """Of the mask's classes, or of the objects' where records have boxes: no background then."""
    palette: tuple[tuple[int, int, int], ...]
    """The colour (red, green, blue in 0..255) of every class."""
    open: Callable[[str], Source]
    """`open("train")`, `open("val")` or `open("test")`: fetches what is missing; raises `DataError` where that fails.

    No pixel is in two of them. What is opened is a `CheckedSource`: a record that is not what `Record` says is refused.
    """
    attribute_names: tuple[str, ...] = ()
    """What the attributes of boxes score: the emotions of faces, for example."""
    statistics: Statistics | None = None
    """Mean and deviation of its images, for `segjax.layers.Normalized`; None to standardise each image by itself."""
    augment: Augment | None = None
    """Changes that leave its labels true, in the strengths that were measured to help."""
    multilabel: bool = False
    """Whether its classes are labels that may overlap: the mask has a band for each, and there is no background."""
    bands: Bands | None = None
    """What its image files are read as; without it, by what `statistics` says."""

    @property
    def images(self) -> Bands | None:
        """What all of its images are, and files to predict must be; None where nothing says it."""
        if self.bands is not None or self.statistics is None:
            return self.bands
        return Bands.measured(self.statistics.mean, self.statistics.std, self.statistics.depth)

    def shown(self, image: Num[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
        """One of its images as people look at it."""
        from segjax.drawing import brightened

        return brightened(image) if self.images is None else self.images.shown(image)

    def __post_init__(self) -> None:
        if wrong := misnamed(self.class_names, self.attribute_names):
            raise DataError(f"{self.name} {wrong}.")
        # In this one place, so that no way into training or scoring goes past the check.
        object.__setattr__(self, "open", self._checking(self.open))

    def _checking(self, open_split: Callable[[str], Source]) -> Callable[[str], Source]:
        def open_checked(split: str) -> Source:
            source = open_split(split)
            if isinstance(source, CheckedSource):  # `dataclasses.replace` gives what was wrapped before
                source = source.source
            classes, attributes = len(self.class_names), len(self.attribute_names)
            name = f"{self.name}'s {split} split"
            return CheckedSource(source, name, classes, attributes, self.images, self.multilabel)

        return open_checked
