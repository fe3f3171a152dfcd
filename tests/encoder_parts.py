"""What an encoder says of its parts, beside its variables."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.errors import DataError
from segjax.layers import belongs_to
from segjax.weights.convert import from_torch, to_torch
from segjax.weights.loading import unused_by


def check_parts(encoder: Any, variables: Any) -> None:
    """Every variable belongs to a part of one stage, and every part has some."""
    paths = [[key.key for key in path[1:]] for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    for path in paths:
        assert sum(belongs_to(path, stage) for stage in encoder.parts) == 1, path
    for name in (name for stage in encoder.parts for name in stage):
        assert any(belongs_to(path, [name]) for path in paths), name


def check_fewer(fewer: Any, variables: Any, whole: Any) -> None:
    """Weights of the whole encoder fit one of fewer levels, and those with more in the stages that it has do not."""
    state = to_torch(jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), whole))
    unused = unused_by(fewer, None)
    assert jax.tree.structure(from_torch(state, variables, unused=unused)) == jax.tree.structure(variables)
    for name in (name for stage in fewer.parts for name in stage):
        with pytest.raises(DataError, match="1 left over"):
            from_torch({**state, f"{name}.more.weight": np.zeros((1, 1))}, variables, unused=unused)


def check_refusals(encoder: Any, most: int) -> None:
    """Levels that it does not have, and an image that is no batch, are one sentence; nothing is computed."""

    def shapes(encoder: Any, *image: int) -> None:
        jax.eval_shape(lambda: encoder.init(jax.random.key(0), jnp.zeros(image), train=False))

    for depth in (0, -1, most + 1, 99) if hasattr(encoder, "depth") else ():
        with pytest.raises(ValueError, match=rf"^depth is 1 to {most} levels of this encoder, got {depth}\."):
            shapes(encoder.clone(depth=depth), 1, 8, 8, 3)
    with pytest.raises(ValueError, match=r"^the image has shape \(8, 8, 3\): expected a batch, \(n, h, w, c\)"):
        shapes(encoder, 8, 8, 3)
