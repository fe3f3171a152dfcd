"""Which classes of a data set are kept, and under which names."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int32

from segjax.data.formats.annotations import Annotated
from segjax.errors import DataError, nearest


def kept_classes(
    said: Sequence[str], known: Sequence[str], source: str
) -> tuple[tuple[str, ...], Int32[np.ndarray, " k"]]:
    """The names of the classes to keep, and of every known one its number among them, -1 where it is dropped.

    Args:
        said: names; "vehicle=car+truck" keeps two as one, "person=pedestrian" renames one. None keeps all as they are.
        known: the classes of the data set, in the order of their numbers.
        source: what they are of, for messages.

    Raises:
        DataError: a class that is not known, or that is kept twice.
    """
    if not said:
        return tuple(known), np.arange(len(known), dtype=np.int32)
    names: list[str] = []
    places = {name: place for place, name in enumerate(known)}
    numbers = np.full(len(known), -1, np.int32)
    for one in said:
        name, joins, parts = one.partition("=")
        if one not in places and joins and not (name.strip() and parts.strip()):
            raise DataError(f"'{one}' does not say which classes are kept as what: write new=old, or new=one+other.")
        for part in [one] if one in places else (parts or name).split("+"):
            if part not in places:
                raise DataError(f"{source} has no class '{part}': name {nearest(part, known)}.")
            if numbers[places[part]] != -1:
                raise DataError(f"The class '{part}' of {source} is kept twice: name it once.")
            numbers[places[part]] = len(names)
        names.append(one if one in places else name.strip())
    if len(set(names)) < len(names):
        raise DataError(f"Two classes of {source} are kept under one name: join them by name=one+other.")
    return tuple(names), numbers


def with_classes(image: Annotated, numbers: Int32[np.ndarray, " k"]) -> Annotated:
    """An image with the objects of the classes that are kept."""
    labels = numbers[image.labels] if len(image.labels) else image.labels
    return replace(image, labels=labels).rows(np.flatnonzero(labels >= 0))
