"""A data set: what it is called, what its classes are, how its splits are opened, and what training wants to know."""

from collections.abc import Callable
from dataclasses import dataclass

from segjax.data.augment import Augment
from segjax.data.checked import CheckedSource
from segjax.data.record import Source
from segjax.data.statistics import Statistics


@dataclass(frozen=True)
class Dataset:
    """A data set by name. Nothing is fetched or read before it is opened."""

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

    def __post_init__(self) -> None:
        # In this one place, so that no way into training or scoring goes past the check.
        object.__setattr__(self, "open", self._checking(self.open))

    def _checking(self, open_split: Callable[[str], Source]) -> Callable[[str], Source]:
        def open_checked(split: str) -> Source:
            source = open_split(split)
            if isinstance(source, CheckedSource):  # `dataclasses.replace` gives what was wrapped before
                source = source.source
            classes, attributes = len(self.class_names), len(self.attribute_names)
            return CheckedSource(source, f"{self.name}'s {split} split", classes, attributes)

        return open_checked
