"""What an experiment finds out about images of a labelling tool, remembered by its run."""

from dataclasses import asdict
from typing import Any

from segjax.data import LabelledDefaults, labelled_defaults
from segjax.data.formats.held_out import say_once
from segjax.errors import ExperimentError
from segjax.runs.experiment_file import remember


def known_labelled(root: str | None, bands: tuple[str, ...] = ()) -> LabelledDefaults:
    """Classes, crop and bands of the data set `labelled`, found once for a run; what was guessed is said aloud.

    Raises:
        ExperimentError: no folder is given.
        DataError: as `segjax.data.labelled`.
    """
    if root is None:
        raise ExperimentError("The data set labelled needs a folder, or the file of a tool: give it by --root PATH.")

    def find() -> dict[str, Any]:
        known = labelled_defaults(root, bands)
        for note in known.notes:  # now, and not whenever the run is opened again
            say_once(note)
        return asdict(known)

    return LabelledDefaults.from_json(remember("labelled", find))
