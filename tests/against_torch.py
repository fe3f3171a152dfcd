"""What encoders owe beside the torch modules whose weights they take."""

from typing import Any

import numpy as np

from benchmarks.beside_torch import Pairing, Reference, gradient_differences, level_differences, state_of
from benchmarks.torch_zoo import timm  # noqa: F401 before others import it
from segjax.ops.geometry import Pair
from segjax.weights import convert


def check_levels(encoder: Any, reference: Reference, size: Pair) -> None:
    """Every level in double precision."""
    assert max(level_differences(Pairing(encoder, reference), size)) < 1e-10


def check_single_precision_and_gradients(encoder: Any, reference: Reference, size: Pair) -> None:
    """Every level in single precision, and the gradients by the image and all parameters in double precision."""
    pairing = Pairing(encoder, reference)
    assert max(level_differences(pairing, size, np.float32)) < 1e-5
    check_gradients(pairing, size)


def check_gradients(pairing: Pairing, size: Pair, of: str = "", share: float = 1e-10) -> None:
    """By the image and all parameters, or those whose names begin so, in double precision."""
    differences = gradient_differences(pairing, size, of)
    assert len(differences) > 1
    assert {name: each for name, each in differences.items() if each >= share} == {}


def check_round_trip(encoder: Any, reference: Reference) -> None:
    """What was taken from torch goes back bit for bit."""
    state = state_of(reference)
    for name, value in convert.to_torch(Pairing(encoder, reference).variables).items():
        np.testing.assert_array_equal(value, state[name])
