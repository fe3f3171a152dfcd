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
        "islands",
        "Islands and lakes of Blue Marble with boxes: one in a crop, or all in a tile; fetched by itself (30 MB).",
        "segjax train experiments/islands.py, islands_many.py or islands_multitask.py",
    ),
    Entry(
        "trees",
        "951 boxes around tree crowns in four aerial photos, in tiles of 256x256; fetched by itself (21 MB).",
        "segjax train experiments/trees.py",
    ),
    Entry(
        "oxford_iiit_pet",
        "Cats and dogs with trimaps, by TFDS's own builder, which downloads 800 MB.",
        "segjax train experiments/pets_unet.py",
    ),
    Entry(
        "wider_face",
        "Faces in photos of crowds, by TFDS's own builder, which downloads 3.7 GB.",
        "segjax.data.wider_face() in an experiment; tfds_boxes() for other sets of TFDS with boxes",
    ),
    Entry(
        "COCO's format",
        "Your pictures with boxes, outlines and scores in a JSON file; `segjax data check PATH` looks for mistakes.",
        "segjax.data.coco() in an experiment, as in experiments/faces_emotions.py --images DIR --train FILE",
    ),
    Entry(
        "Pascal VOC",
        "Your pictures with boxes in XML files; `segjax data check PATH` looks for mistakes.",
        "segjax.data.voc() in an experiment",
    ),
    Entry(
        "a folder",
        "Your images/ and masks/, or the layout of another tool; `segjax data check PATH` looks for mistakes.",
        "segjax train experiments/folder.py --root PATH",
    ),
)
