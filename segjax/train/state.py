"""Everything that changes while training, as one pytree."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int

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
    batch_stats: Any
    """Running statistics of batch normalisation; an empty dict for a model without."""
    ema: Any
    """Exponential moving averages of the variables, as `model.apply` takes them; an empty dict where none are kept."""
    opt_state: optax.OptState
    skipped: Skipped
    tally: Tally

    @property
    def variables(self) -> Variables:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.batch_stats else {"params": self.params}

    @classmethod
    def initial(
        cls, variables: Variables, optimizer: optax.GradientTransformation, counts: Any, *, ema: bool = False
    ) -> "TrainState":
        """The state before the first step; `counts` is the task's zero."""
        params = variables["params"]
        state = cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            ema={},
            opt_state=optimizer.init(params),
            skipped=Skipped(in_a_row=jnp.zeros((), jnp.int32), last=jnp.zeros((), jnp.int32)),
            tally=Tally.zero(counts),
        )
        return state.replace(ema=jax.tree.map(jnp.copy, state.variables)) if ema else state


def abstract(tree: Any) -> Any:
    """The shapes and types of a tree's arrays, placed where they are placed."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)), tree)
