"""Read a whole data set, of masks or of boxes, and find everything that is wrong with it at once."""

import os
from collections.abc import Sequence
from pathlib import Path

from segjax.data.check.box_report import BoxReport
from segjax.data.check.boxes import check_boxes
from segjax.data.check.mask_report import Report
from segjax.data.check.masks import check_masks
from segjax.data.formats.bands import choose, read_names
from segjax.data.formats.box_layouts import find_boxes
from segjax.data.formats.images import shown
from segjax.errors import DataError


def check(
    root: str | os.PathLike[str],
    *,
    workers: int | None = None,
    picture: str | os.PathLike[str] | None = None,
    bands: Sequence[str] = (),
) -> Report | BoxReport:
    """Read every image below a folder, with its mask or its boxes, and report all that is wrong, with counts.

    A bar shows how far it is where standard error is a terminal. Nothing is written into the folder.

    Args:
        root: a folder in one of the layouts that `layouts` and `box_layouts` of `segjax.data.formats` list, or a JSON
            file of COCO's format. A folder with masks and boxes is checked for its masks.
        workers: threads that read; by default one for every core.
        picture: the image file to draw examples into, if any image can be read.
        bands: which bands of the images are read, by number from 1 or name; all where none is named.

    Returns:
        A report, whatever the folder holds: a folder that is not there is a problem among others.

    Raises:
        DataError: that file cannot be written.
    """
    report = check_masks(root, workers=workers, picture=picture, bands=bands)
    if report.understood:
        return report
    try:
        found = find_boxes(root)
        names = read_names(Path(root))
        chosen = choose(bands, names, shown(root))
    except DataError as error:
        return BoxReport.of_nothing(root, error)
    if found is None:
        return report
    return check_boxes(found, workers=workers, picture=picture, chosen=chosen, names=names)
