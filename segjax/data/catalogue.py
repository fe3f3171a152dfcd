"""The data sets that segjax knows, by name: for experiments, and for `segjax data list`."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any, NamedTuple

from segjax.data.dataset import Dataset
from segjax.data.formats.coco import coco
from segjax.data.formats.held_out import say_once
from segjax.data.formats.voc import voc
from segjax.data.sets.camvid import camvid
from segjax.data.sets.faces import faces
from segjax.data.sets.folder import FolderDefaults, folder, folder_defaults
from segjax.data.sets.islands import islands
from segjax.data.sets.labelled import LabelledDefaults, labelled, labelled_defaults
from segjax.data.sets.land_cover import land_cover
from segjax.data.sets.nuclei import nuclei
from segjax.data.sets.packed import PackedDefaults, packed, packed_defaults
from segjax.data.sets.pets import oxford_iiit_pet
from segjax.data.sets.trees import trees
from segjax.data.sets.wider_face import wider_face
from segjax.errors import DataError, nearest

Facts = FolderDefaults | LabelledDefaults | PackedDefaults


class Yours(NamedTuple):
    """Files of yours of which something is found out before a set is made of them."""

    are: str
    """What `root` has to be."""
    find: Callable[..., Facts]
    """Finds it out, by the options that its signature names."""
    again: Callable[[dict[str, Any]], Facts]
    """Makes it of what JSON kept of it."""


class Entry(NamedTuple):
    """One data set, or one way to bring yours."""

    name: str
    what: str
    use: str
    make: Callable[..., Dataset]
    """Makes it of the options that its signature names, and of `defaults`, which are what was found out."""
    yours: Yours | None = None

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """What it takes."""
        finds = {} if self.yours is None else inspect.signature(self.yours.find).parameters
        both = {**finds, **inspect.signature(self.make).parameters}
        return {name: both[name] for name in both if self.yours is None or name != "defaults"}


class Found(NamedTuple):
    """A data set, and what was found out about files of yours."""

    data: Dataset
    crop: int | None = None
    """Height and width of training crops that suit them."""
    class_weights: tuple[float, ...] = ()
    """By median frequency, of a folder of masks."""


CATALOGUE = (
    Entry(
        "land_cover",
        "NASA Blue Marble tiles, 64x64, with MODIS land cover in 4 or 7 groups; fetched by itself (33 MB).",
        "segjax train land_cover",
        land_cover,
    ),
    Entry(
        "nuclei",
        "Nuclei in slices of a fluorescence volume, 256x256; fetched by itself (20 MB).",
        "segjax train nuclei",
        nuclei,
    ),
    Entry(
        "camvid",
        "Photographs of roads from a car, 480x360, with 11 classes; fetched by git (187 MB).",
        "segjax train camvid",
        camvid,
    ),
    Entry(
        "islands",
        "Islands and lakes of Blue Marble, one with its box and mask in each crop; fetched by itself (30 MB).",
        "segjax train islands or islands_multitask",
        islands,
    ),
    Entry(
        "islands_many",
        "Islands and lakes of Blue Marble, all with their boxes in each tile; fetched by itself (30 MB).",
        "segjax train islands_many",
        lambda: islands("many"),
    ),
    Entry(
        "trees",
        "951 boxes around tree crowns in four aerial photos, in tiles of 256x256; fetched by itself (21 MB).",
        "segjax train trees",
        trees,
    ),
    Entry(
        "faces",
        "Drawn faces with eight emotions each, composed over aerial photos, 192x192; fetched by itself (31 and 21 MB).",
        "segjax train faces",
        faces,
    ),
    Entry(
        "oxford_iiit_pet",
        "Cats and dogs with trimaps, by TFDS's own builder, which downloads 800 MB.",
        "segjax train pets",
        lambda root=None: oxford_iiit_pet(root),
    ),
    Entry(
        "wider_face",
        "Faces in photos of crowds, by TFDS's own builder, which downloads 3.7 GB.",
        "segjax train wider_face; segjax.data.tfds_boxes() for other sets of TFDS with boxes",
        lambda root=None: wider_face(root),
    ),
    Entry(
        "coco",
        "Your images with boxes, outlines and scores in a JSON file; `segjax data check PATH` looks for mistakes.",
        "segjax train detection --coco FILE --images DIR; segjax train faces_emotions --root DIR --train FILE",
        lambda root, train, test=None, val=None, class_names=None, attribute_names=(), masks=False: coco(
            root, train, test, val=val, class_names=class_names, attribute_names=attribute_names, masks=masks
        ),
    ),
    Entry(
        "voc",
        "Your images with boxes in XML files, as Pascal VOC has them; `segjax data check PATH` looks for mistakes.",
        "segjax train detection --data voc --root DIR",
        voc,
    ),
    Entry(
        "labelled",
        "Your images as labelme, VIA, Label Studio, Labelbox, Supervisely or YOLO left them; `segjax data check PATH`.",
        "segjax train detection --data labelled --root PATH; segjax train segmentation --data labelled --root PATH",
        labelled,
        Yours("a folder, or the file of a tool", labelled_defaults, LabelledDefaults.from_json),
    ),
    Entry(
        "folder",
        "Your images/ and masks/, or the layout of another tool, labels that overlap among them; `segjax data check "
        "PATH` looks for mistakes.",
        "segjax train folder --root PATH",
        folder,
        Yours(
            "a folder",
            lambda root, bands=(), class_names=(), fold=None: folder_defaults(root, bands, class_names, fold),
            FolderDefaults.from_json,
        ),
    ),
    Entry(
        "packed",
        "Any of these as `segjax data pack SET --out DIR` wrote it: a folder, or a bucket's s3://... or gs://...",
        "segjax train segmentation --data packed --root DIR; segjax train detection --data packed --root s3://...",
        packed,
        Yours("what `segjax data pack` wrote", packed_defaults, PackedDefaults.from_json),
    ),
)
NAMES = tuple(entry.name for entry in CATALOGUE)


def entry(name: str) -> Entry:
    """The row of one of `NAMES`.

    Raises:
        DataError: There is none; it offers the nearest.
    """
    found = next((entry for entry in CATALOGUE if entry.name == name), None)
    if found is None:
        raise DataError(f"{name} is no data set; name one, such as {nearest(name, NAMES)}.")
    return found


def by_name(name: str, **options: Any) -> Dataset:
    """The data set of one of `NAMES`.

    Args:
        name: As `segjax data list` has it.
        options: What the set's own function takes, such as `groups` of land cover, and what is found out about files of
            yours, such as `bands` of a folder; `root` is the folder of your images, or where TFDS keeps its sets. None
            and () stand for what is not given.

    Raises:
        DataError: There is no such set, it does not take an option, or it needs one that is not given; and what its own
            functions raise.
    """
    return found(name, **options).data


def found(
    name: str, remember: Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]] | None = None, **options: Any
) -> Found:
    """The data set of one of `NAMES`, and what was found out about files of yours, whose notes are said aloud.

    Args:
        name: As for `by_name`, which also says the `options`.
        remember: Returns what was found before under a name or, where nothing was, what the function that it is given
            finds now, each as JSON keeps it.

    Raises:
        DataError: as `by_name`.
    """
    row = entry(name)
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    known = row.options
    if strange := given.keys() - known.keys():
        takes = f"only {', '.join(known)}" if known else "no option"
        raise DataError(f"The data set {name} does not take {', '.join(sorted(strange))}: it takes {takes}.")
    if missing := [key for key, one in known.items() if one.default is one.empty and key not in given]:
        raise DataError(f"The data set {name} needs {' and '.join(missing)}: say which.")
    if (yours := row.yours) is None:
        return Found(row.make(**given))

    def find() -> Facts:
        facts = yours.find(**_taken(given, inspect.signature(yours.find).parameters))
        for note in facts.notes:  # now, and not whenever what was found is read again
            say_once(note)
        return facts

    facts = find() if remember is None else yours.again(remember(name, lambda: asdict(find())))
    made = row.make(defaults=facts, **_taken(given, inspect.signature(row.make).parameters))
    return Found(made, facts.crop, facts.class_weights)


def _taken(given: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in names}
