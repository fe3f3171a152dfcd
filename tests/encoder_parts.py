"""What an encoder says of its parts, beside its variables."""

from typing import Any

import jax

from segjax.layers import belongs_to


def check_parts(encoder: Any, variables: Any) -> None:
    """Every variable belongs to a part of one stage, and every part has some."""
    paths = [[key.key for key in path[1:]] for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    for path in paths:
        assert sum(belongs_to(path, stage) for stage in encoder.parts) == 1, path
    for name in (name for stage in encoder.parts for name in stage):
        assert any(belongs_to(path, [name]) for path in paths), name
