"""One training step, as a pure function to be compiled."""

import inspect
import reprlib
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Key

from segjax.errors import ExperimentError
from segjax.tasks.task import Batch, Task
from segjax.train.augmented import augmented
from segjax.train.by_device import apply_by_device, copies, is_real, mean_over_devices, total_of_copies
from segjax.train.experiment import Experiment
from segjax.train.state import Skipped, Tally, TrainState, Variables

_AUGMENT = 2**31
"""Folded into a step's key for what augments; parts of a batch are folded in by their number, from 0."""


def one_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    experiment: Experiment,
    task: Task,
    axis: str | None = None,
    mesh: Mesh | None = None,
) -> TrainState:
    """The state after one batch.

    Where the loss or the gradient is not finite, the step is counted and nothing else changes. `axis` names the mapped
    axis that the batch is split over, where there is one; loss, gradient and counts are then those of the whole batch.
    On a `mesh` whose axis `data` alone splits it, the gradients of a batch in parts are summed over devices once.

    Raises:
        ExperimentError: the loss is not one number, the outputs are none of the task, the optimizer needs more, or it
            or the model keeps something else after the step than before.
    """
    parts = parts_of(batch, jax.random.fold_in(key, state.step), experiment, axis)
    loss, gradients, collections, counts = _accumulate(state, parts, experiment, task, axis, mesh)
    norm = optax.tree.norm(gradients)
    applied = jnp.isfinite(loss) & jnp.isfinite(norm)

    told = {"value": loss} if _asks_for_loss(experiment.optimizer) else {}
    try:
        updates, opt_state = experiment.optimizer.update(gradients, state.opt_state, state.params, **told)
    except TypeError as error:
        if "required keyword-only argument" not in str(error):
            raise
        raise ExperimentError(
            f"The optimizer asks for more than the gradient, the weights and the loss of a step ({error}): take one "
            "that searches no line, such as optax.adamw."
        ) from error
    after = state.replace(
        params=optax.apply_updates(state.params, updates), collections=collections, opt_state=opt_state
    )
    if experiment.ema is not None:
        after = after.replace(ema=_moving_average(state.ema, after.variables, experiment.ema, state.step))
    _check_kept(state, after)
    after = _select(applied, after, state)
    added = Tally(steps=jnp.ones((), jnp.int32), loss=loss, gradient_norm=norm, counts=counts)
    added = _select(applied, added, jax.tree.map(jnp.zeros_like, added))
    step = state.step + 1
    return after.replace(
        step=step,
        skipped=Skipped(
            in_a_row=jnp.where(applied, 0, state.skipped.in_a_row + 1),
            last=jnp.where(applied, state.skipped.last, step),
        ),
        tally=jax.tree.map(jnp.add, state.tally, added),
    )


def several_steps(
    state: TrainState,
    batches: Sequence[Batch],
    key: Key[Array, ""],
    *,
    experiment: Experiment,
    task: Task,
    unrolled: bool,
    axis: str | None = None,
    mesh: Mesh | None = None,
) -> TrainState:
    """The state after some batches of one size, a step each, as `one_step` takes them.

    More than one are a loop in the program, or `unrolled` one after the other, as XLA:CPU runs a convolution's
    gradient a hundred times slower inside a loop.
    """
    step = partial(one_step, key=key, experiment=experiment, task=task, axis=axis, mesh=mesh)
    if unrolled or len(batches) == 1:
        return reduce(step, batches, state)
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *batches)
    return jax.lax.scan(lambda state, batch: (step(state, batch), None), state, stacked)[0]


def parts_of(
    batch: Batch, key: Key[Array, ""], experiment: Experiment, axis: str | None = None
) -> list[tuple[Batch, Key[Array, ""]]]:
    """What a step with this key works through one after the other: parts of the batch as it trains, each with its key.

    It is augmented where that is done on the device.
    """
    if experiment.augment is not None and experiment.augment_on == "device":
        batch = augmented(batch, jax.random.fold_in(key, _AUGMENT), experiment.augment, axis)
    count = experiment.accumulate
    if count == 1:
        return [(batch, key)]
    # Every count-th record, so that each device's share of the batch stays where it is.
    rows = {name: x.reshape(-1, count, *x.shape[1:]) for name, x in batch.items()}
    return [({name: x[:, i] for name, x in rows.items()}, jax.random.fold_in(key, i)) for i in range(count)]


def _accumulate(
    state: TrainState,
    parts: Sequence[tuple[Batch, Key[Array, ""]]],
    experiment: Experiment,
    task: Task,
    axis: str | None,
    mesh: Mesh | None,
) -> tuple[Array, Any, Any, Any]:
    """Loss, gradient, changed collections and counts of a batch that is worked through in parts.

    The parts are unrolled: XLA:CPU runs a convolution's gradient a hundred times slower inside a loop.
    """
    count = len(parts)
    collections = state.collections
    if mesh is not None and not _is_shared(len(parts[0][0]["image"]), count, mesh):
        mesh = None
    params = state.params if mesh is None else copies(state.params, mesh)
    total: Any = None
    for part, key in parts:
        if total is not None:
            # One part after the other, or their activations would be alive together: for a TPU by a barrier. XLA:CPU
            # drops it, so the images are made to depend on the gradient before them: 1 is added where its norm is NaN,
            # which is where the step will not be applied.
            part, total = jax.lax.optimization_barrier((part, total))
            wrong = jnp.isnan(optax.tree.norm(total[1]))
            part = {name: x + wrong.astype(x.dtype) if name == "image" else x for name, x in part.items()}
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (collections, counts)), gradients = gradient_of(
            params, collections, part, key, experiment, task, axis, mesh
        )
        added = (loss / count, jax.tree.map(lambda g: g / count, gradients)) if count > 1 else (loss, gradients)
        total = (*added, counts) if total is None else jax.tree.map(jnp.add, total, (*added, counts))
    loss, gradients, counts = total
    if mesh is not None:
        gradients = total_of_copies(gradients)
    if axis is not None:
        gradients = jax.lax.pmean(gradients, axis)
        collections = mean_over_devices(collections, axis)
    return loss, gradients, collections, counts


def _is_shared(images: int, count: int, mesh: Mesh) -> bool:
    """Whether each device differentiates its share of the images of each of `count` parts by itself.

    One part has nothing to save; strips of rows, and parts of which devices have no equal shares, are left to XLA.
    """
    return count > 1 and mesh.shape["data"] == mesh.size > 1 and images % mesh.size == 0


def loss_of(
    params: Any,
    collections: Any,
    batch: Batch,
    key: Array,
    experiment: Experiment,
    task: Task,
    axis: str | None = None,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, ""], tuple[Any, Any]]:
    """The loss of a part of a batch, with the collections that it changes and what the task counts.

    On a mesh `params` are copies, one for each of its devices.
    """

    def apply(params: Any, collections: Any, images: Array, key: Array) -> Any:
        rngs = {"dropout": key}
        return experiment.model.apply(
            {"params": params, **collections}, images, train=True, mutable=list(collections), rngs=rngs
        )

    applied = apply if mesh is None else apply_by_device(apply, mesh)
    outputs, updated = applied(params, collections, batch["image"], key)
    if axis is not None:
        # A loss is not always the mean of its parts: ignored pixels and Dice's sums belong to the whole batch.
        outputs, batch = jax.tree.map(lambda x: jax.lax.all_gather(x, axis, axis=0, tiled=True), (outputs, dict(batch)))
    counts = task.count(jax.lax.stop_gradient(outputs), batch)  # first, as it says which logits it needs
    loss = _single(experiment.loss(outputs, task.targets(batch)))
    if "other_mask" in batch:  # MixUp
        other = _single(experiment.loss(outputs, task.targets({**batch, "mask": batch["other_mask"]})))
        share = batch["share"][0]
        loss = share * loss + (1 - share) * other
    return loss, ({**collections, **updated}, counts)


def _single(loss: Any) -> Float[Array, ""]:
    """What a loss returned, if that can be differentiated.

    Raises:
        ExperimentError: it is no number, or several.
    """
    is_array = hasattr(loss, "shape")
    if isinstance(loss, float) or (is_array and loss.shape == () and jnp.issubdtype(loss.dtype, jnp.floating)):
        return jnp.asarray(loss)
    what = f"{loss.dtype} of shape {loss.shape}" if is_array else reprlib.repr(loss)
    raise ExperimentError(
        f"The loss returned {what}; let it return one floating-point number, such as the mean over a batch."
    )


def _asks_for_loss(optimizer: optax.GradientTransformation) -> bool:
    """Whether it takes `value`, by which some choose their rate, as `optax.contrib.reduce_on_plateau` does."""
    taken = inspect.signature(optimizer.update).parameters.values()
    return any(one.name == "value" or one.kind is one.VAR_KEYWORD for one in taken)


def _moving_average(ema: Any, variables: Variables, decay: float, step: Array) -> Any:
    """The average moves faster in the first steps, so that the initial values are soon forgotten.

    What is no real number, such as a count, is as it is now.
    """
    decay = jnp.minimum(decay, (1 + step) / (10 + step))  # type: ignore[assignment]
    average = lambda old, new: decay * old + (1 - decay) * new if is_real(new) else new  # noqa: E731
    return jax.tree.map(average, ema, dict(variables))


def _check_kept(before: TrainState, after: TrainState) -> None:
    """Refuse a step after which there are other arrays than before, or one of another shape or type."""
    old, new = ({_name(path): _type(leaf) for path, leaf in jax.tree.leaves_with_path(one)} for one in (before, after))
    for name in [*old, *new]:
        was, became = (kept.get(name, "not there") for kept in (old, new))
        if was != became:
            raise ExperimentError(
                f"{name} is {was} before a step and {became} after it: let the model or the optimizer keep one of the "
                "same shape and type from the start."
            )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _type(x: Any) -> str:
    array = jax.typeof(x)
    return f"{array.dtype.name}[{','.join(map(str, array.shape))}]"


def _select(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    """One of two trees; by `jnp.where` each array would be a function of its own, to be traced and lowered."""
    return jax.tree.map(lambda a, b: jax.lax.select(condition, jnp.asarray(a), b), yes, no)
