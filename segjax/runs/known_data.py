"""The data set of an experiment by its name, and what it finds out about files of yours, remembered by its run."""

from typing import Any

from segjax.data import Dataset
from segjax.data.catalogue import CATALOGUE, Found, entry, found
from segjax.errors import ExperimentError
from segjax.runs.experiment_file import remember

_OPTIONS = {"classes": "class_names", "attributes": "attribute_names"}
"""What data sets call a knob, where they have another word for it."""


def known_data(data: str | Dataset, root: str | None = None, **knobs: Any) -> Found:
    """A data set by its name, with the crop and the class weights that were found out once for a run; or a given one.

    Args:
        data: The name, as `segjax data list` has it, or the data set.
        root: The folder of your images, or where a set of TFDS is kept.
        knobs: What is said of the data set, such as `bands`; None and () stand for what is not said.

    Raises:
        ExperimentError: a knob that the data set does not take, or no folder where it needs one.
        DataError: as `segjax.data.catalogue.by_name`.

    Examples:
        >>> runs.known_data("land_cover", groups=7).data.class_names[0]
        'water'
        >>> runs.known_data("packed")
        Traceback (most recent call last):
            ...
        segjax.errors.ExperimentError: The data set packed needs what `segjax data pack` wrote: give it by --root PATH.
    """
    said = {name: value for name, value in knobs.items() if value is not None and value != ()}
    if isinstance(data, Dataset):
        _refuse_others(said, data)
        return Found(data)
    row = entry(data)
    if row.yours is not None and root is None:
        raise ExperimentError(f"The data set {data} needs {row.yours.are}: give it by --root PATH.")
    strange = {name: said.pop(name) for name in list(said) if _OPTIONS.get(name, name) not in row.options}
    known = found(data, remember, root=root, **{_OPTIONS.get(name, name): value for name, value in said.items()})
    _refuse_others(strange, known.data)
    return known


def _refuse_others(said: dict[str, Any], data: Dataset) -> None:
    """Refuse what cannot be chosen of a data set, unless it is what it has."""
    for name, value in said.items():
        option = _OPTIONS.get(name, name)
        if getattr(data, option, None) != value:
            takers = " or ".join(row.name for row in CATALOGUE if option in row.options)
            raise ExperimentError(f"--{name} is for the data set {takers}, not for {data.name}: leave it out.")
