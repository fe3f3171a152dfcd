"""What every data set looks like from outside: records, the source that gives them, and the data set that opens it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

if TYPE_CHECKING:
    from segjax.data.augment import Augment
    from segjax.data.statistics import Statistics

IGNORE = 255
"""The mask value of a pixel that neither trains nor scores."""


class Record(TypedDict):
    """One picture with what is known about it: the same things for every record of a source."""

    image: UInt8[np.ndarray, "h w c"]
    mask: NotRequired[UInt8[np.ndarray, "h w"]]
    """The class of every pixel; 255 is ignored."""
    boxes: NotRequired[Float32[np.ndarray, "m 4"]]
    """(x, y, w, h) in pixels: the top-left corner and the size, so that a whole image is (0, 0, w, h)."""
    labels: NotRequired[Int32[np.ndarray, " m"]]
    """The class of every box, from 0; always there with boxes."""
    crowd: NotRequired[Bool[np.ndarray, " m"]]
    """Boxes around many objects at once, COCO's `iscrowd`, which neither train nor score; without it none is."""
    attributes: NotRequired[Float32[np.ndarray, "m a"]]
    """Scores of every box in 0..1, one for each of the set's `attribute_names`; NaN where nobody gave one."""


class Source(Protocol):
    """Records by number, in any order and from any thread."""

    def __len__(self) -> int:
        """How many records there are."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """The record of that number; raises `DataError` where it cannot be read."""
        ...


@dataclass(frozen=True)
class Dataset:
    """A data set by name. Nothing is fetched or read before it is opened."""

    name: str
    class_names: tuple[str, ...]
    """Of the mask's classes, or of the objects' where records have boxes: no background then."""
    palette: tuple[tuple[int, int, int], ...]
    """The colour (red, green, blue in 0..255) of every class."""
    open: Callable[[str], Source]
    """`open("train")` or `open("test")`: fetches what is missing; raises `DataError` where that fails."""
    attribute_names: tuple[str, ...] = ()
    """What the attributes of boxes score: the emotions of faces, for example."""
    statistics: "Statistics | None" = None
    """What normalises its images; None to standardise them one by one."""
    augment: "Augment | None" = None
    """Changes that leave its labels true."""
