"""Saving and restoring a run, on Orbax."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from flax import linen as nn

from segjax.train.experiment import ExperimentError
from segjax.train.state import TrainState, Variables, abstract

Progress = dict[str, float]
"""Numbers that are not arrays: `train_seconds` so far, and the images' `channels`."""


class Checkpoints:
    """The checkpoints of one run, written in the background; a kill leaves the newest complete one readable.

    A checkpoint has three items: `variables` (what `model.apply` takes, all that inference needs), `state` (the rest of
    the train state) and `progress` (a JSON object of numbers).
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._manager = _manager(folder, max_to_keep=keep, cleanup_tmp_directories=True)

    def save(self, step: int, state: TrainState, progress: Progress) -> None:
        """Begin to save; returns as soon as the arrays are copied."""
        if step in self._manager.all_steps():
            return
        rest = state.replace(params={}, batch_stats={})
        self._manager.save(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(state.variables),
                state=ocp.args.StandardSave(rest),
                progress=ocp.args.JsonSave(progress),
            ),
        )

    def restore(self, state: TrainState) -> tuple[TrainState, Progress] | None:
        """The newest checkpoint in the shape of `state` and where `state` is placed; None where there is none yet."""
        step = self._manager.latest_step()
        if step is None:
            return None
        rest = state.replace(params={}, batch_stats={})
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(abstract(state.variables)),
                state=ocp.args.StandardRestore(abstract(rest)),
                progress=ocp.args.JsonRestore(),
            ),
        )
        variables = restored["variables"]
        state = restored["state"].replace(params=variables["params"], batch_stats=variables.get("batch_stats", {}))
        return state, restored["progress"]

    def wait(self) -> None:
        """Return when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish what is being saved and let go of the folder."""
        self._manager.close()


def read_variables(folder: Path, model: nn.Module) -> tuple[int, Variables, Progress]:
    """The step, the variables and the progress of the newest checkpoint, checked against the shapes the model has."""
    with _manager(folder, create=False) as manager:
        step = manager.latest_step()
        if step is None:
            raise ExperimentError(f"{folder} holds no complete checkpoint yet; train for longer, then try again.")
        progress = manager.restore(step, args=ocp.args.Composite(progress=ocp.args.JsonRestore()))["progress"]
        image = jax.ShapeDtypeStruct((1, 32, 32, int(progress["channels"])), np.uint8)
        expected = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        _check_shapes(folder, expected, manager.item_metadata(step)["variables"])
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), dict(expected))
        restored = manager.restore(step, args=ocp.args.Composite(variables=ocp.args.StandardRestore(target)))
        return step, restored["variables"], progress


def _manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    logging.set_verbosity(logging.FATAL)  # what goes wrong is raised as well, and said once
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(**options),
        item_handlers={
            "variables": ocp.StandardCheckpointHandler(),
            "state": ocp.StandardCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
        },
    )


def _check_shapes(folder: Path, expected: Any, found: Any) -> None:
    name = jax.tree_util.keystr
    shapes = {name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(found)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        shape = shapes.pop(name(path), None)
        if shape != tuple(leaf.shape):
            has = "does not have it" if shape is None else f"has it as {shape}"
            raise ExperimentError(
                f"{folder}: the model has {name(path)} of shape {tuple(leaf.shape)}, the checkpoint {has}; "
                "the experiment file in the run folder must be the one that it was trained with."
            )
    if shapes:
        raise ExperimentError(f"{folder}: the checkpoint has {next(iter(shapes))}, which the model does not have.")
