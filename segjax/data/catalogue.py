"""The data sets that segjax knows, for `segjax data list`."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One data set, or one way to bring yours."""

    name: str
    what: str
    use: str


CATALOGUE = (
    Entry(
        "land_cover",
        "NASA Blue Marble tiles, 64x64, with MODIS land cover in 4 or 7 groups; fetched by itself (33 MB).",
        "segjax train experiments/land_cover.py",
    ),
)
