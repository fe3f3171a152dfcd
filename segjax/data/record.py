"""What every data set is made of: records, the source that gives them, and the names of its splits."""

from typing import Literal, NotRequired, Protocol, TypedDict, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int32, Num, UInt

IGNORE = 255
"""The mask value of a pixel that neither trains nor scores; `ignored` says it of more than 255 classes."""

Split = Literal["train", "val", "test"]
"""What trains; what is scored meanwhile and decides what is kept; what is scored once, at the end."""


class Record(TypedDict):
    """One image with what is known about it: the same things for every record of a source."""

    image: Num[np.ndarray, "h w c"]
    """uint8, uint16 or float32, as it is stored: a model normalises it."""
    mask: NotRequired[UInt[np.ndarray, "h w *k"]]
    """The class of every pixel, uint8 in which 255 is ignored or, of more than 255 classes, uint16 in which 65535 is.
    Of a set whose labels may overlap, uint8 (h w k): 1 where a pixel has the label, 0 where not, 255 where ignored."""
    boxes: NotRequired[Float32[np.ndarray, "m 4"]]
    """(x, y, w, h) in pixels: the top-left corner and the size, so that a whole image is (0, 0, w, h)."""
    labels: NotRequired[Int32[np.ndarray, " m"]]
    """The class of every box, from 0; always there with boxes."""
    crowd: NotRequired[Bool[np.ndarray, " m"]]
    """Boxes around many objects at once, COCO's `iscrowd`, which neither train nor score; without it none is."""
    attributes: NotRequired[Float32[np.ndarray, "m a"]]
    """Scores of every box in 0..1, one for each of the set's `attribute_names`; NaN where nobody gave one."""


class Source(Protocol):
    """Records by number, in any order and from any thread.

    It may have more, of which none is asked for:

    - `name_of(index) -> str`: what scores and sentences call a record; else it goes by its number.
    - `stored_jpeg(index) -> bytes | None`: the JPEG that the image was read from, if it is one, to be packed as it is.
    - `worth_keeping: bool`: whether records take time to read and are always the same, so that memory may hold them.
    """

    def __len__(self) -> int:
        """How many records there are."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """The record of that number.

        Raises:
            DataError: it cannot be read.
        """
        ...


def refuse_unknown_split(name: str, split: str) -> None:
    """Refuse a split that no data set has; sentences call the set by that name.

    Raises:
        ValueError: it is none of `Split`.
    """
    if split not in get_args(Split):
        raise ValueError(f"{name} has the splits train, val and test, not {split!r}.")
