"""Everything that changes while training, as one pytree."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int

from segjax.errors import ExperimentError

Variables = Mapping[str, Any]


class Tally(struct.PyTreeNode):
    """What the steps since the last row of the log add up to; kept on the device, so that no step waits for it."""

    steps: Int[Array, ""]
    """Steps that were applied."""
    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    counts: Any
    """The task's own."""

    @classmethod
    def zero(cls, counts: Any) -> "Tally":
        """Nothing counted yet."""
        return cls(steps=jnp.zeros((), jnp.int32), loss=jnp.zeros(()), gradient_norm=jnp.zeros(()), counts=counts)


class Skipped(struct.PyTreeNode):
    """Steps that were not applied because their loss or gradient was not finite."""

    in_a_row: Int[Array, ""]
    """How many up to now without an applied one between them."""
    last: Int[Array, ""]
    """The number of the last of them, counted from 1; 0 where there was none."""


class TrainState(struct.PyTreeNode):
    """One training run at one step. Two runs with equal states go on in the same way, bit by bit."""

    step: Int[Array, ""]
    params: Any
    collections: dict[str, Any]
    """Every other collection of variables by name, such as `batch_stats`: what a model changes itself as it trains."""
    ema: Any
    """Exponential moving averages of the variables, as `model.apply` takes them; an empty dict where none are kept."""
    opt_state: optax.OptState
    skipped: Skipped
    tally: Tally

    @property
    def variables(self) -> Variables:
        """What `model.apply` takes."""
        return {"params": self.params, **self.collections}

    @classmethod
    def initial(
        cls, variables: Variables, optimizer: optax.GradientTransformation, counts: Any, *, ema: bool = False
    ) -> "TrainState":
        """The state before the first step; `counts` is the task's zero."""
        params = variables["params"]
        collections = {name: values for name, values in variables.items() if name != "params"}
        state = cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            collections=collections,
            ema={},
            opt_state=_of_its_own(optimizer.init(params), params),
            skipped=Skipped(in_a_row=jnp.zeros((), jnp.int32), last=jnp.zeros((), jnp.int32)),
            tally=Tally.zero(counts),
        )
        return state.replace(ema=jax.tree.map(jnp.copy, state.variables)) if ema else state


def _of_its_own(tree: Any, other: Any) -> Any:
    """The tree, without arrays of the other one or twice the same, as a step uses up each of its state's arrays once.

    Optimizers that look back at weights, such as `optax.contrib.sam`, begin with those of the model.
    """
    seen = {id(leaf) for leaf in jax.tree.leaves(other)}

    def own(leaf: Any) -> Any:
        leaf = jnp.copy(leaf) if id(leaf) in seen else leaf
        seen.add(id(leaf))
        return leaf

    return jax.tree.map(own, tree)


def started(variables: Variables, start: Callable[[Variables], Variables]) -> Variables:
    """What `start` makes of a model's initial variables.

    Raises:
        ExperimentError: it returns other arrays than the model has; the first that differs is named.
    """
    changed = start(variables)
    before, after = shapes(variables), shapes(changed)
    for name in sorted({*before, *after}, key=[*before, *after].index):
        if before.get(name) != after.get(name):
            theirs, ours = _of_shape(after.get(name)), _of_shape(before.get(name))
            raise ExperimentError(
                f"start returns {name} {theirs}, and the model has it {ours}; "
                "give back what it was called with, with other values in some places."
            )
    return jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), dict(variables), dict(changed))


def _of_shape(shape: tuple[int, ...] | None) -> str:
    return "not at all" if shape is None else f"of shape {shape}"


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a tree, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}


def abstract(tree: Any) -> Any:
    """The shapes and types of a tree's arrays, placed where they are placed."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)), tree)
