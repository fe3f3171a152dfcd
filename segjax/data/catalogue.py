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
    Entry(
        "nuclei",
        "Nuclei in slices of a fluorescence volume, 256x256; fetched by itself (20 MB).",
        "segjax train experiments/nuclei.py",
    ),
    Entry(
        "oxford_iiit_pet",
        "Cats and dogs with trimaps, by TFDS's own builder, which downloads 800 MB.",
        "segjax train experiments/pets_unet.py",
    ),
    Entry(
        "a folder",
        "Your images/ and masks/, or the layout of another tool; `segjax data check PATH` looks for mistakes.",
        "segjax train experiments/folder.py --root PATH",
    ),
)
