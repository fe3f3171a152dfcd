"""Saving and restoring a run, on Orbax."""

import contextlib
import dataclasses
import errno
import functools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import linen as nn
from orbax.checkpoint.checkpoint_managers import LatestN, PolicyCheckpointInfo, PreservationContext

from segjax.errors import ExperimentError
from segjax.train.state import TrainState, Variables, abstract, shapes


class Progress(TypedDict, total=False):
    """Numbers that are not arrays."""

    next_batch: int
    """Of the data; the step of the checkpoint."""
    train_seconds: float
    """Up to it."""
    image: Sequence[int]
    """h w c of the image that the model's variables were made for."""


_TRAINED_WITH = (
    "give the one that it was trained with, which is experiment.py in the folder of a run of the command line, or "
    "train in another folder."
)
_LAST = 2
"""How many of the last checkpoints are kept."""


class Checkpoints:
    """The checkpoints of one run, written in the background; a kill leaves the newest complete one readable.

    The last ones are kept, and the one that `keep` names. A checkpoint has the items `variables` (what `model.apply`
    takes), `ema` (averages of them, where the experiment keeps any), `state` (the rest of the train state), `progress`
    (where the data goes on) and `configuration` (what run.json holds).
    """

    def __init__(self, folder: Path, configuration: dict[str, Any] | None = None) -> None:
        self._kept = _LastAndBest(LatestN(_LAST))
        self._configuration = configuration or {}
        self._manager = _manager(folder, preservation_policy=self._kept, cleanup_tmp_directories=True)

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        """Begin to save; returns as soon as the arrays are copied.

        Raises:
            OSError: this checkpoint, or the one before it, cannot be written; those before are whole.
        """
        if step in self.steps():
            return
        rest = state.replace(params={}, collections={}, ema={})
        items = {
            "variables": ocp.args.StandardSave(_plain(state.variables)),
            "state": ocp.args.StandardSave(_plain(rest)),
            "progress": ocp.args.JsonSave(dict(progress)),
            "configuration": ocp.args.JsonSave(self._configuration),
        }
        if state.ema:
            items["ema"] = ocp.args.StandardSave(_plain(state.ema))
        with self._writing():
            self._manager.save(step, args=ocp.args.Composite(**items))

    def keep(self, step: int | None) -> None:
        """From here on keep the checkpoint of that step, as the best, whatever comes after it."""
        self._kept.best = step

    def steps(self) -> Sequence[int]:
        """The steps that there are checkpoints of, those that are being saved included."""
        return self._manager.all_steps()

    def latest(self) -> int:
        """The step of the newest complete checkpoint; 0 where there is none yet."""
        return self._manager.latest_step() or 0

    def restore(self, step: int, state: TrainState) -> tuple[TrainState, Progress]:
        """The checkpoint of that step, in the shape of `state` and where `state` is placed."""
        whole, state = state, _plain(state)
        rest = state.replace(params={}, collections={}, ema={})
        for item, expected in (("variables", state.variables), ("ema", state.ema), ("state", rest)):
            if expected:
                _check_shapes(self._manager, step, item, expected)
        items = {
            "variables": ocp.args.StandardRestore(abstract(state.variables)),
            "state": ocp.args.StandardRestore(abstract(rest)),
            "progress": ocp.args.JsonRestore(),
        }
        if state.ema:
            items["ema"] = ocp.args.StandardRestore(abstract(state.ema))
        restored = _read(self._manager, step, ocp.args.Composite(**items))
        variables = restored["variables"]
        state = restored["state"].replace(
            params=variables["params"],
            collections={name: values for name, values in variables.items() if name != "params"},
            ema=restored["ema"] if state.ema else {},
        )
        return _with_keys_of(whole, state), restored["progress"]

    def wait(self) -> None:
        """Return when everything is on disk.

        Raises:
            OSError: it cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish what is being saved and let go of the folder.

        Raises:
            OSError: it cannot be written.
        """
        with self._writing():
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what the system said, whoever asked it to write: Orbax raises ValueErrors, its own and TensorStore's."""
        try:
            yield
        except ValueError as error:
            folder, said = str(self._manager.directory), re.search(r"os_error_code='(\d+)'", str(error))
            if said is None and folder not in str(error):
                raise
            code = int(said[1]) if said else errno.ENOENT  # of what is gone Orbax says where it looked for it
            raise OSError(code, os.strerror(code), folder) from error


def _plain(tree: Any) -> Any:
    """A tree with the numbers of random keys, as a model or an optimizer may hold them, in the place of the keys.

    Orbax writes those, and cannot read them into keys.
    """
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _with_keys_of(tree: Any, plain: Any) -> Any:
    """What `_plain` made of a tree like this one, which may be abstract, with keys again."""
    kinds: list[Any] = []

    def see(tree: Any) -> None:
        kinds.extend(jax.random.key_impl(leaf) if _is_key(leaf) else None for leaf in jax.tree.leaves(tree))

    jax.eval_shape(see, tree)
    leaves, structure = jax.tree.flatten(plain)
    pairs = zip(leaves, kinds, strict=True)
    keyed = [leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind) for leaf, kind in pairs]
    return jax.tree.unflatten(structure, keyed)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def complete_steps(folder: Path) -> Sequence[int]:
    """The steps that a run's folder of checkpoints holds complete ones of."""
    with _manager(folder, create=False) as manager:
        return manager.all_steps()


def read_variables(folder: Path, model: nn.Module, step: int) -> tuple[Variables, Progress]:
    """The variables and the progress of the checkpoint of that step, checked against the model.

    The variables are the averaged ones where the run keeps averages.
    """
    with _manager(folder, create=False) as manager:
        progress = _read(manager, step, ocp.args.Composite(progress=ocp.args.JsonRestore()))["progress"]
        image = jax.ShapeDtypeStruct((1, *progress["image"]), np.float32)  # any model takes floating point
        whole = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image)
        expected = jax.eval_shape(_plain, whole)
        item = "ema" if "ema" in _saved(manager, step) else "variables"
        _check_shapes(manager, step, item, expected)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), dict(expected))
        restored = _read(manager, step, ocp.args.Composite(**{item: ocp.args.StandardRestore(target)}))
        return _with_keys_of(whole, restored[item]), progress


@dataclasses.dataclass
class _LastAndBest:
    """Which checkpoints Orbax keeps."""

    last: LatestN
    best: int | None = None

    def should_preserve(
        self, checkpoints: Sequence[PolicyCheckpointInfo], *, context: PreservationContext
    ) -> Sequence[bool]:
        last = self.last.should_preserve(checkpoints, context=context)
        return [kept or one.step == self.best for kept, one in zip(last, checkpoints, strict=True)]


def _manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(**options),
        item_handlers={
            "variables": ocp.StandardCheckpointHandler(),
            "ema": ocp.StandardCheckpointHandler(),
            "state": ocp.StandardCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
            "configuration": ocp.JsonCheckpointHandler(),
        },
    )


def _read(manager: ocp.CheckpointManager, step: int, arguments: ocp.args.Composite) -> Any:
    try:
        return manager.restore(step, args=arguments)
    except Exception as error:
        raise _damaged(manager, step, error) from error


def _saved(manager: ocp.CheckpointManager, step: int) -> Sequence[str]:
    """The names of what was saved, of which a copy may have lost a part; Orbax's own answer reads every part."""
    try:
        text = (manager.directory / str(step) / "_CHECKPOINT_METADATA").read_text()
        return list(json.loads(text)["item_handlers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(manager, step, error) from error


def _damaged(manager: ocp.CheckpointManager, step: int, error: Exception | str) -> ExperimentError:
    said = error if isinstance(error, str) else _first_line(error)
    return ExperimentError(
        f"{manager.directory}/{step} is damaged ({said}); "
        "delete that folder, and the checkpoint before it will be used."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _check_shapes(manager: ocp.CheckpointManager, step: int, item: str, expected: Any) -> None:
    """Name the first array in which a checkpoint and an experiment differ."""
    try:
        found = shapes(manager.item_metadata(step)[item])
    except Exception as error:
        raise _damaged(manager, step, error) from error
    if not found:
        raise _damaged(manager, step, f"its {item} are missing")
    where = f"{manager.directory}/{step}"
    for name, shape in shapes(expected).items():
        other = found.pop(name, None)
        if other != shape:
            has = "does not have it" if other is None else f"has it as {other}"
            raise ExperimentError(
                f"{where}: the experiment has {name} of shape {shape}, the checkpoint {has}; {_TRAINED_WITH}"
            )
    if found:
        raise ExperimentError(
            f"{where}: the checkpoint has {next(iter(found))}, which the experiment does not have; {_TRAINED_WITH}"
        )
