"""Linear layers."""

from functools import partial
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from segjax.ops.pointwise import linear


def _product(x: Float[Array, "*n c"], kernel: Float[Array, "c k"], *_: Any, **__: Any) -> Float[Array, "*n k"]:
    return linear(x, kernel)


Dense: partial[nn.Dense] = partial(nn.Dense, dot_general=_product)
"""`nn.Dense` by `segjax.ops.pointwise`, whose gradients suit a CPU."""
