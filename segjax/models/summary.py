"""How large the published models are, without making a single array."""

from collections.abc import Iterator
from functools import partial
from typing import Any, TypedDict

import jax
import jax.numpy as jnp

from segjax.models import PUBLISHED

SIZE = 256
"""Height and width of the image that the FLOPs are counted on."""


class Summary(TypedDict):
    """One published model with its default number of classes."""

    name: str
    parameters: int
    flops: float
    """Of one forward pass on one image of `SIZE` x `SIZE`; a multiply-add counts as two."""
    paper: str


def summaries() -> Iterator[Summary]:
    """Every published model, one by one, counted from its shapes alone; taps on padding are not counted."""
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    for name, make in PUBLISHED.items():
        model = make()
        variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        cost: Any = jax.jit(partial(model.apply, train=False)).lower(variables, image).cost_analysis()
        paper = (make.__doc__ or "").strip().splitlines()[0]
        parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        yield {"name": name, "parameters": parameters, "flops": float(cost["flops"]), "paper": paper}
