"""Islands and lakes from space, each with its box: NASA's Blue Marble image of the Earth with a land-sea mask.

The image is Blue Marble Next Generation at 4 arc minutes (5400 x 2700 pixels); the mask is basemap's, drawn from the
GSHHG shorelines at 1.25 arc minutes, of which every pixel of the image gets the shares of land and of lake. A pixel is
land or lake where more than half of it is, and an object is a connected component of one of them.

What is kept, and why:
- 75 N to 55 S, and nothing that the antimeridian cuts.
- Objects whose longer side is 10 to 250 pixels and whose shorter one is at least 4. The others are too small to be
  seen, or continents.
- Objects that can be seen where the mask has them. The middle between the object's colour and that of a ring around it
  parts the pixels there in two; the box around the connected component must overlap the object's by an IoU of 0.6,
  the two colours must be apart, and a lake must be darker than its shore. Most lakes fail: bogs, rivers, dry or frozen
  lakes and reservoirs that were not there yet. So do islands whose strait is too narrow to see.
- Twelve bands of 30 degrees of longitude, of which every third is for testing, and of the others every sixth for
  validation: the first and the seventh. An object and every crop that shows it lies within one band, so that no pixel
  is in two splits.
"""

from dataclasses import replace
from typing import Literal

from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.record import Record, refuse_unknown_split
from segjax.data.statistics import Statistics

CLASSES = ("island", "lake")
COLOURS = ((230, 159, 0), (86, 180, 233))


def islands(objects: Literal["one", "many"] = "one") -> Dataset:
    """Islands and lakes with their boxes: one in every crop of 64 x 64 pixels, or all in every tile of 192 x 192.

    "one": 1649 crops to train (12 of every island and 24 of every lake, fewer where there is no room: 70 islands and 37
    lakes), 79 to validate (3 and 5 of 13 other islands and 8 other lakes) and 140 to test (of 25 and 14 others). The
    object is at a random place and of random size: the longer side of its box is 10 to 45 of 64 pixels, 25 in the
    middle. The mask is 1 on an island and 2 on a lake, of that object alone. The mean box of the training crops has a
    mean IoU of 0.12 with the test boxes.

    "many": 132 tiles to train, which overlap by half, with 294 boxes; 22 to validate, which do not touch, with 18
    boxes, 11 of them without any; 41 to test, likewise, with 38 boxes, 20 without any. The mask is 1 on islands and 2
    on lakes. What is too small or too unclear, and what lies mostly outside the tile, is `crowd` and 255 in the mask.
    Continents are not marked, nor are a few reservoirs of northern Canada that are younger than the shorelines.

    The first `open` fetches a wheel (30 MB) and builds the set in a few seconds; both stay in `data_dir()`. The image
    is as it was published, and dark: a square root of it is easier to learn from. The world has few objects to learn
    from, and all crops of one object are alike: flip them and give them quarter turns.

    Blue Marble: Stöckli, Vermote, Saleous, Simmon and Herring 2005. Shorelines: Wessel and Smith 1996,
    doi:10.1029/96JB00104.

    Raises:
        ValueError: `objects` is another word.
    """
    if objects not in ("one", "many"):
        raise ValueError(f'islands has crops of "one" object or tiles of "many", not {objects!r}.')

    def open_split(split: str) -> list[Record]:
        refuse_unknown_split("islands", split)
        # They bring TensorFlow Datasets, which takes a second to import.
        from segjax.data.sets.islands.builder import Islands
        from segjax.data.sets.prepare import prepared

        return [
            Record(
                image=example["image"],
                mask=example["mask"][..., 0],
                boxes=example["boxes"],
                labels=example["labels"],
                crowd=example["crowd"],
            )
            for example in prepared(Islands, objects, split)
        ]

    augment = Augment(
        flip_horizontal=True, flip_vertical=True, quarter_turns=True, brightness=0.2, contrast=0.2, saturation=0.2
    )
    return Dataset(
        f"islands/{objects}",
        CLASSES,
        COLOURS,
        open_split,
        statistics=Statistics(mean=(0.41, 0.49, 0.48), std=(0.20, 0.16, 0.20), gamma=0.5),
        augment=augment if objects == "one" else replace(augment, crop=(128, 128), scale=(0.8, 1.25)),
    )
