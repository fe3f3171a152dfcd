"""What an experiment finds out about images with boxes in a file of COCO's format, remembered by its run."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from segjax.data import BoxDefaults, box_defaults
from segjax.data.formats.held_out import say_once
from segjax.errors import ExperimentError
from segjax.runs.experiment_file import remember


def known_boxes(path: str, images: str | None, *, test: str | None, given: Mapping[str, Any]) -> BoxDefaults:
    """How to train on the file, found once for a run, and said aloud: what there is, and what follows.

    `given` has the knobs that are said, by name and None where one is not, which go before.

    Raises:
        ExperimentError: no folder is given.
        DataError: as `segjax.data.box_defaults`.
    """

    def find() -> dict[str, Any]:
        if images is None:
            raise ExperimentError("Annotations need the folder that their file names start from: give it by --images.")
        known = box_defaults(path, images, test=test)
        say_once(known.note)
        say_once(_chosen(known, {name: value for name, value in given.items() if value is not None}))
        return asdict(known)

    return BoxDefaults.from_json(remember("boxes", find))


def _chosen(known: BoxDefaults, given: Mapping[str, Any]) -> str:
    """What was worked out, but for what was said."""
    seen = f"--crop {known.crop}" if known.fit is None else f"--fit {known.fit}"
    chosen = {"crop": seen, "stride": f"--stride {known.stride}", "max_boxes": f"--max-boxes {known.max_boxes}"}
    chosen["mosaic"] = f"--mosaic {known.mosaic:g}"
    said = {*given, *({"crop"} if "fit" in given else ())}
    return f"Worked out from them, unless you say otherwise: {' '.join(v for k, v in chosen.items() if k not in said)}"
