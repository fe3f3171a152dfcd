"""Where the first number that is not finite comes from."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from segjax.tasks.task import Batch, Task
from segjax.train.experiment import Experiment
from segjax.train.state import TrainState
from segjax.train.step import loss_of, parts_of


def first_bad_layer(experiment: Experiment, task: Task, state: TrainState, batch: Batch, key: Array) -> str:
    """Words that name what is not finite first in a step with that state before it and the run's key.

    It is a parameter, a layer's output, the loss, or a layer's gradient.
    """
    if bad := _first(state.params):
        return f"the parameter {bad}"
    seen: list[tuple[str, bool]] = []

    def watch(call: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        result = call(*arguments, **keywords)
        if context.method_name == "__call__":
            seen.append(("/".join(context.module.path) or "the model", _is_finite(result)))
        return result

    for part, part_key in parts_of(batch, jax.random.fold_in(key, state.step), experiment):
        arguments = state.params, state.collections, part, part_key, experiment, task
        with nn.intercept_methods(watch):
            loss, _ = loss_of(*arguments)
        for layer, finite in seen:
            if not finite:
                return f"the output of {layer}"
        if not _is_finite(loss):
            return "the loss; the model's outputs are finite"
        gradients, _ = jax.grad(loss_of, has_aux=True)(*arguments)
        if bad := _first(gradients):
            return f"the gradient of {bad}"
    return "nothing, when it is computed step by step"


def _is_finite(tree: Any) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def _first(tree: Any) -> str:
    """The path of the first leaf that is not finite; empty where there is none."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not _is_finite(leaf):
            return "/".join(str(getattr(key, "key", key)) for key in path)
    return ""
