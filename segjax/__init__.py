"""A functional JAX/Flax model zoo for semantic segmentation and object localization.

`segjax.ops`, `segjax.losses`, `segjax.metrics`, `segjax.upsampling` and `segjax.models` need jax, flax and numpy alone;
`segjax.data`, `segjax.train`, `segjax.inference` and `segjax.load` need the extra `train`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segjax.runs.load import load as load

__version__ = "0.1.0"
_MODULES = {
    "data",
    "decoders",
    "drawing",
    "encoders",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "runs",
    "tasks",
    "train",
    "upsampling",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that `segjax --help` is quick and `segjax.ops` never needs an extra.
    if name in _MODULES:
        return importlib.import_module(f"segjax.{name}")
    if name == "load":
        return importlib.import_module("segjax.runs.load").load
    raise AttributeError(f"module 'segjax' has no attribute {name!r}")
