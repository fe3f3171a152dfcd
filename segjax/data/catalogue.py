"""The data sets that segjax knows, for `segjax data list`."""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from segjax.data.augment import Augment
from segjax.data.formats.coco import coco
from segjax.data.formats.voc import voc
from segjax.data.record import Dataset
from segjax.data.sets.islands import islands
from segjax.data.sets.land_cover import land_cover
from segjax.data.sets.nuclei import nuclei
from segjax.data.sets.pets import oxford_iiit_pet
from segjax.data.sets.trees import trees
from segjax.data.sets.wider_face import wider_face
from segjax.data.statistics import Statistics
from segjax.errors import DataError


class Entry(NamedTuple):
    """One data set, or one way to bring yours."""

    name: str
    what: str
    use: str


CATALOGUE = (
    Entry(
        "land_cover",
        "NASA Blue Marble tiles, 64x64, with MODIS land cover in 4 or 7 groups; fetched by itself (33 MB).",
        "segjax train land_cover",
    ),
    Entry(
        "nuclei",
        "Nuclei in slices of a fluorescence volume, 256x256; fetched by itself (20 MB).",
        "segjax train nuclei",
    ),
    Entry(
        "islands",
        "Islands and lakes of Blue Marble with boxes: one in a crop, or all in a tile; fetched by itself (30 MB).",
        "segjax train islands, islands_many or islands_multitask",
    ),
    Entry(
        "trees",
        "951 boxes around tree crowns in four aerial photos, in tiles of 256x256; fetched by itself (21 MB).",
        "segjax train trees",
    ),
    Entry(
        "oxford_iiit_pet",
        "Cats and dogs with trimaps, by TFDS's own builder, which downloads 800 MB.",
        "segjax train pets",
    ),
    Entry(
        "wider_face",
        "Faces in photos of crowds, by TFDS's own builder, which downloads 3.7 GB.",
        "segjax train wider_face; segjax.data.tfds_boxes() for other sets of TFDS with boxes",
    ),
    Entry(
        "COCO's format",
        "Your pictures with boxes, outlines and scores in a JSON file; `segjax data check PATH` looks for mistakes.",
        "segjax train detection --data coco --root DIR --train FILE; segjax train faces_emotions",
    ),
    Entry(
        "Pascal VOC",
        "Your pictures with boxes in XML files; `segjax data check PATH` looks for mistakes.",
        "segjax train detection --data voc --root DIR",
    ),
    Entry(
        "a folder",
        "Your images/ and masks/, or the layout of another tool; `segjax data check PATH` looks for mistakes.",
        "segjax train folder --root PATH",
    ),
)

_PHOTO = Statistics((0.48, 0.45, 0.40), (0.27, 0.26, 0.27))
_BLUE_MARBLE = Statistics((0.41, 0.49, 0.48), (0.20, 0.16, 0.20), 0.5)
_COLOUR: dict[str, Any] = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
_FLIPS: dict[str, Any] = {"flip_horizontal": True, "flip_vertical": True}
_ISLAND = Augment(**_FLIPS, **_COLOUR, quarter_turns=True)
_FACES = Augment(flip_horizontal=True, scale=(0.5, 1.5), **_COLOUR)
_NUCLEI = Augment(crop=(128, 128), **_FLIPS, scale=(0.8, 1.25), rotate=180, brightness=0.3, contrast=0.3)
_PETS = Augment(crop=(224, 224), flip_horizontal=True, scale=(0.5, 1.5), rotate=10, brightness=0.3, contrast=0.3)
_SETS: dict[str, tuple[Callable[..., Dataset], Statistics | None, Augment]] = {
    "land_cover": (land_cover, Statistics((0.39, 0.40, 0.40), (0.20, 0.17, 0.17), 0.5), Augment(**_FLIPS)),
    "nuclei": (nuclei, Statistics((0.15,) * 3, (0.2,) * 3), _NUCLEI),
    "islands": (islands, _BLUE_MARBLE, _ISLAND),
    "islands_many": (
        lambda: islands("many"),
        _BLUE_MARBLE,
        dataclasses.replace(_ISLAND, crop=(128, 128), scale=(0.8, 1.25)),
    ),
    "trees": (trees, None, Augment(crop=(128, 128), **_FLIPS, **_COLOUR, scale=(0.8, 1.25))),
    "oxford_iiit_pet": (lambda root=None: oxford_iiit_pet(root), _PHOTO, _PETS),
    "wider_face": (lambda root=None: wider_face(root), _PHOTO, dataclasses.replace(_FACES, crop=(512, 512))),
    "coco": (lambda root, **rest: coco(root, **rest), _PHOTO, _FACES),
    "voc": (lambda root, **rest: voc(root, **rest), _PHOTO, _FACES),
}
NAMES = tuple(_SETS)


def by_name(name: str, **options: Any) -> Dataset:
    """The data set of that name."""
    if name not in _SETS:
        near = difflib.get_close_matches(name, NAMES, n=3) or NAMES
        raise DataError(f"{name} is no data set; name one, such as {' or '.join(near)}.")
    make, statistics, augment = _SETS[name]
    given = {key: value for key, value in options.items() if value is not None}
    return dataclasses.replace(make(**given), statistics=statistics, augment=augment)
