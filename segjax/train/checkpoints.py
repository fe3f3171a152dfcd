"""Saving and restoring a run, on Orbax."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from flax import linen as nn
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from segjax.train.errors import ExperimentError
from segjax.train.state import TrainState, Variables, abstract

Progress = dict[str, Any]
"""Numbers that are not arrays: the `next_batch` of the data, `train_seconds` so far, and the images' `channels`."""

Which = Literal["last", "best"]


class Checkpoints:
    """The checkpoints of one run, written in the background; a kill leaves the newest complete one readable.

    The last ones are kept, and the best by its score. A checkpoint has the items `variables` (what `model.apply`
    takes), `ema` (averages of them, where the experiment keeps any), `state` (the rest of the train state), `progress`
    (where the data goes on) and `configuration` (what run.json holds).
    """

    def __init__(self, folder: Path, configuration: dict[str, Any] | None = None, keep: int = 2) -> None:
        policies = [LatestN(keep), BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)]
        self._configuration = configuration or {}
        self._manager = _manager(
            folder, preservation_policy=AnyPreservationPolicy(policies), cleanup_tmp_directories=True
        )

    def save(self, step: int, state: TrainState, progress: Progress, score: float | None = None) -> None:
        """Begin to save; returns as soon as the arrays are copied."""
        if step in self._manager.all_steps():
            return
        rest = state.replace(params={}, batch_stats={}, ema={})
        items = {
            "variables": ocp.args.StandardSave(state.variables),
            "state": ocp.args.StandardSave(rest),
            "progress": ocp.args.JsonSave(progress | {"next_batch": step}),
            "configuration": ocp.args.JsonSave(self._configuration),
        }
        if state.ema:
            items["ema"] = ocp.args.StandardSave(state.ema)
        metrics = None if score is None else {"score": score}
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def latest(self) -> int:
        """The step of the newest complete checkpoint; 0 where there is none yet."""
        return self._manager.latest_step() or 0

    def restore(self, step: int, state: TrainState) -> tuple[TrainState, Progress]:
        """The checkpoint of that step, in the shape of `state` and where `state` is placed."""
        self._check(step, "variables", state.variables)
        rest = state.replace(params={}, batch_stats={}, ema={})
        items = {
            "variables": ocp.args.StandardRestore(abstract(state.variables)),
            "state": ocp.args.StandardRestore(abstract(rest)),
            "progress": ocp.args.JsonRestore(),
        }
        if state.ema:
            self._check(step, "ema", state.ema)
            items["ema"] = ocp.args.StandardRestore(abstract(state.ema))
        restored = self._read(step, ocp.args.Composite(**items))
        variables = restored["variables"]
        state = restored["state"].replace(
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            ema=restored["ema"] if state.ema else {},
        )
        return state, restored["progress"]

    def wait(self) -> None:
        """Return when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish what is being saved and let go of the folder."""
        self._manager.close()

    def _check(self, step: int, item: str, expected: Any) -> None:
        _check_shapes(self._manager, step, item, expected)

    def _read(self, step: int, arguments: ocp.args.Composite) -> Any:
        return _read(self._manager, step, arguments)


def read_variables(folder: Path, model: nn.Module, which: Which = "last") -> tuple[int, Variables, Progress]:
    """The step, the variables and the progress of the newest or the best checkpoint, checked against the model.

    The variables are the averaged ones where the run keeps averages.
    """
    with _manager(folder, create=False) as manager:
        step = manager.latest_step() if which == "last" else manager.best_step()
        if step is None:
            raise ExperimentError(f"{folder} holds no complete checkpoint yet; train for longer, then try again.")
        progress = _read(manager, step, ocp.args.Composite(progress=ocp.args.JsonRestore()))["progress"]
        image = jax.ShapeDtypeStruct((1, 32, 32, int(progress["channels"])), np.uint8)
        expected = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        item = "ema" if (folder / str(step) / "ema").exists() else "variables"
        _check_shapes(manager, step, item, expected)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), dict(expected))
        restored = _read(manager, step, ocp.args.Composite(**{item: ocp.args.StandardRestore(target)}))
        return step, restored[item], progress


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def _manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    logging.set_verbosity(logging.FATAL)  # what goes wrong is raised as well, and said once
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(best_fn=_score, **options),
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
        raise ExperimentError(
            f"{manager.directory}/{step} is damaged ({_first_line(error)}); delete that folder, "
            "and the checkpoint before it will be used."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _check_shapes(manager: ocp.CheckpointManager, step: int, item: str, expected: Any) -> None:
    """Name the first parameter in which a checkpoint and a model differ."""
    name = jax.tree_util.keystr
    folder = manager.directory
    try:
        found = manager.item_metadata(step)[item]
        leaves = jax.tree_util.tree_leaves_with_path(found)
    except Exception as error:
        raise ExperimentError(f"{folder}/{step} is damaged ({_first_line(error)}); delete that folder.") from error
    shapes = {name(path): tuple(leaf.shape) for path, leaf in leaves}
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
