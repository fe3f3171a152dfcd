"""Weights: sets of them by name, and files of PyTorch, safetensors and Keras, of which nothing is ever executed.

variables = weights.load(encoder, variables, "resnet34.imagenet")
"""

import importlib
from typing import TYPE_CHECKING, Any

from segjax.weights.catalogue import RECORDS, named, of_encoder
from segjax.weights.first_kernel import fit_first_kernel
from segjax.weights.record import Record
from segjax.weights.state_dict import read

if TYPE_CHECKING:
    from segjax.weights.loading import load as load
    from segjax.weights.loading import save as save

__all__ = ["RECORDS", "Record", "fit_first_kernel", "load", "named", "of_encoder", "read", "save"]


def __getattr__(name: str) -> Any:
    # What meets variables needs jax, which what reads files does without.
    if name in ("load", "save"):
        return getattr(importlib.import_module("segjax.weights.loading"), name)
    raise AttributeError(f"module 'segjax.weights' has no attribute {name!r}")
