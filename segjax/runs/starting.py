"""What a run starts from: weights by name, a file of them, or another run."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn
from flax import traverse_util

from segjax.cache.files import in_bucket
from segjax.data import Statistics
from segjax.errors import ExperimentError
from segjax.layers import inputs_of
from segjax.runs.experiment_file import remember
from segjax.runs.load import load_experiment
from segjax.runs.run import experiment_of, open_run
from segjax.runs.saved import is_saved, open_saved, saved_model
from segjax.train.checkpoints import read_variables
from segjax.train.devices import is_first_process
from segjax.train.experiment import Experiment
from segjax.train.inputs import Start
from segjax.train.mirror import brought
from segjax.train.state import Variables
from segjax.weights.catalogue import RECORDS, of_encoder
from segjax.weights.loading import found, loaded, place_of_encoder

_SHOWN = 6


def start_from(said: str | None, encoder: str | nn.Module | None) -> Start | None:
    """What a recipe's `start` stands for; the run remembers it, and needs neither a network nor another run again.

    Args:
        said: imagenet, a name that `segjax weights` lists, a file of weights, hub:OWNER/NAME@REVISION, a run folder or
            one of its checkpoints, or what `segjax.from_pretrained` takes, a repository as hub:OWNER/NAME@REVISION;
            None for no start.
        encoder: The encoder's name, whose own weights imagenet stands for.

    Raises:
        ExperimentError: imagenet without such a name, or a run that cannot be used.
        DataError: weights that there are not, or that cannot be had.
    """
    if said is None:
        return None
    facts = remember("start", lambda: _facts(said, encoder))
    known = facts["inputs"]
    if isinstance(known, dict):
        known = Statistics(tuple(known["mean"]), tuple(known["std"]), known["gamma"], known.get("stored", "uint8"))
    return Start(partial(_from_run if facts["run"] else _from_weights, facts["source"]), known)


def _facts(said: str, encoder: str | nn.Module | None) -> dict[str, Any]:
    """What is to be remembered: where the weights are, and how images were normalised for them."""
    said = str(brought(said)) if in_bucket(said) else said
    model = None
    if said != "imagenet" and said not in RECORDS:  # a folder of that name, as one of images, is ./imagenet
        model = saved_model(said)
        if model is None and Path(said).is_dir():
            model = _run(Path(said))[0].model
    if model is not None:
        source = str(Path(said).absolute()) if Path(said).exists() else said
        return {"source": source, "run": True, "inputs": inputs_of(model)}
    if said == "imagenet" and not isinstance(encoder, str):
        raise ExperimentError(
            "There are ImageNet weights of encoders that have a name: give one, such as --encoder mobilenet_v2, or say "
            "which weights, --start NAME."
        )
    name = of_encoder(str(encoder)).name if said == "imagenet" else said
    found(name, ["imagenet"])  # what is wrong with it is said now, and not after a run was made
    if name not in RECORDS:
        return {"source": str(Path(name).absolute()) if Path(name).is_file() else name, "run": False, "inputs": None}
    return {"source": name, "run": False, "inputs": {**RECORDS[name].statistics, "gamma": 1.0, "stored": "uint8"}}


def _run(path: Path) -> tuple[Experiment, int | None]:
    """The experiment of a run folder, or of that of a checkpoint, and the checkpoint's step."""
    of_checkpoint = path.parent.name == "checkpoints" and path.name.isdecimal()
    folder = path.parents[1] if of_checkpoint else path
    return experiment_of(open_run(folder)), int(path.name) if of_checkpoint else None


def _from_weights(source: str, model: nn.Module, variables: Variables) -> Variables:
    place = place_of_encoder(variables)
    if not place:
        raise ExperimentError(
            f"{type(model).__name__} has no part named encoder that {source} could be put in; leave --start out."
        )
    values, channels = loaded(model, variables, source)
    taken = {path for path in _flat(variables) if path[1 : 1 + len(place)] == place}
    _say(source, variables, taken, "" if channels is None else f", the first kernel's 3 channels for {channels}")
    return values


def _from_run(source: str, model: nn.Module, variables: Variables) -> Variables:
    there, here = _flat(_trained(source)), _flat(variables)
    taken = {name for name, value in here.items() if name in there and there[name].shape == value.shape}
    if not taken:
        raise ExperimentError(f"{source} has nothing of the names and shapes of this model: start from another run.")
    _say(source, variables, taken)
    return traverse_util.unflatten_dict({name: there[name] if name in taken else here[name] for name in here})


def _trained(source: str) -> Variables:
    """The variables of a saved model, a run, or one of its checkpoints."""
    if is_saved(source):
        return open_saved(source)[1]
    path = Path(source)
    experiment, step = _run(path)
    if step is None:
        return load_experiment(path, experiment=experiment)[1]
    return read_variables(path.parent, experiment.model, step)[0]


def _say(source: str, variables: Mapping[str, Any], taken: set[tuple[str, ...]], changed: str = "") -> None:
    """One line: how much is taken, what was changed of it, and what is new."""
    here = _flat(variables)
    numbers = sum(np.size(here[name]) for name in taken)
    new = _parts({name[1:] for name in here.keys() - taken}, {name[1:] for name in taken})
    more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    if is_first_process():
        print(
            f"Starting from {source}: {len(taken)} arrays of {numbers:,} numbers are taken{changed}; "
            f"new: {', '.join(new[:_SHOWN]) or 'nothing'}{more}.",
            file=sys.stderr,
        )


def _parts(new: set[tuple[str, ...]], taken: set[tuple[str, ...]]) -> list[str]:
    """The largest parts of a model of which nothing is taken."""
    mixed = {name[:i] for name in taken for i in range(len(name) + 1)}
    return sorted({"/".join(next(name[:i] for i in range(len(name) + 1) if name[:i] not in mixed)) for name in new})


def _flat(variables: Variables) -> dict[tuple[str, ...], Any]:
    return traverse_util.flatten_dict(dict(variables))
