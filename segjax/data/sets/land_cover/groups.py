"""The groups of land cover classes that are told apart."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from segjax.data.record import IGNORE

NumGroups = Literal[4, 7]


class Group(NamedTuple):
    """Several IGBP classes that are told apart from the others, not from each other."""

    name: str
    color: tuple[int, int, int]
    igbp: tuple[int, ...]


# Urban land (13) is none of these and is ignored: it is 0.4% of the land, and no pixel of 7 km is only city.
# Forest with the savannas is land under at least 10% of tree canopy, which is the FAO's definition of forest.
# Permanent wetlands (11) are told by their plants. Snow and ice (15) count as barren: nothing grows there.
# The seven groups split two of the four. The colours stay apart (CIELAB distance over 30) for readers with any of the
# three kinds of colour blindness.
GROUPS: dict[int, tuple[Group, ...]] = {
    4: (
        Group("water", (62, 121, 214), (0,)),
        Group("forest", (38, 65, 30), (1, 2, 3, 4, 5, 8, 9)),
        Group("open vegetation", (168, 222, 50), (6, 7, 10, 11, 12, 14)),
        Group("barren", (249, 205, 158), (15, 16)),
    ),
    7: (
        Group("water", (80, 154, 220), (0,)),
        Group("forest", (3, 59, 69), (1, 2, 3, 4, 5)),
        Group("savanna", (119, 134, 114), (8, 9)),
        Group("shrubland", (142, 76, 28), (6, 7)),
        Group("grassland", (176, 248, 130), (10, 11)),
        Group("cropland", (251, 126, 18), (12, 14)),
        Group("barren", (243, 224, 200), (15, 16)),
    ),
}


def regroup(igbp: UInt8[np.ndarray, "h w"], groups: int) -> UInt8[np.ndarray, "h w"]:
    """The mask of a grouping: the number of the group of every pixel, 255 where it is in none."""
    group_of = np.full(256, IGNORE, np.uint8)
    for number, group in enumerate(GROUPS[groups]):
        group_of[list(group.igbp)] = number
    return group_of[igbp]
