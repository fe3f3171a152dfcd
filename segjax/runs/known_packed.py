"""What a packed set says of itself, remembered by the run that trains on it."""

from dataclasses import asdict

from segjax.data.sets.packed import PackedDefaults, packed_defaults
from segjax.errors import ExperimentError
from segjax.runs.experiment_file import remember


def known_packed(root: str | None) -> PackedDefaults:
    """Classes, statistics and augmentation of the data set `packed`, asked for once for a run.

    Raises:
        ExperimentError: no folder is given.
        DataError: as `segjax.data.packed`.

    Examples:
        >>> runs.known_packed(None)
        Traceback (most recent call last):
            ...
        segjax.errors.ExperimentError: The data set packed needs what `segjax data pack` wrote: give it by --root DIR.
    """
    if root is None:
        raise ExperimentError("The data set packed needs what `segjax data pack` wrote: give it by --root DIR.")
    return PackedDefaults.from_json(remember("packed", lambda: asdict(packed_defaults(root))))
