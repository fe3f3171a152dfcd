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
    loss: Float[Array, ""]
    confusion: Int[Array, "k k"]

    @classmethod
    def zero(cls, num_classes: int) -> "Tally":
        """Nothing counted yet."""
        counts = jnp.zeros((num_classes, num_classes), jnp.int32)
        return cls(steps=jnp.zeros((), jnp.int32), loss=jnp.zeros(()), confusion=counts)


class TrainState(struct.PyTreeNode):
    """One training run at one step. Two runs with equal states go on in the same way, bit by bit."""

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    """Running statistics of batch normalisation; an empty dict for a model without."""
    opt_state: optax.OptState
    tally: Tally

    @property
    def variables(self) -> Variables:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.batch_stats else {"params": self.params}

    @classmethod
    def initial(cls, variables: Variables, optimizer: optax.GradientTransformation, num_classes: int) -> "TrainState":
        """The state before the first step."""
        params = variables["params"]
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            tally=Tally.zero(num_classes),
        )


def abstract(tree: Any) -> Any:
    """The shapes and types of a tree's arrays, placed where they are placed."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)), tree)
