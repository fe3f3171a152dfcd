"""What encoders owe beside the torch modules whose weights they take."""

import numpy as np

from benchmarks.beside_torch import Pairing, differences, level_differences, state_of
from benchmarks.torch_zoo import timm  # noqa: F401 before others import it
from segjax.ops.geometry import Pair
from segjax.weights import convert


def check_levels(pairing: Pairing, size: Pair, dtype: type = np.float64) -> None:
    """Every level, in double or in single precision."""
    assert max(level_differences(pairing, size, dtype)) < (1e-10 if dtype == np.float64 else 1e-5)


def check_levels_and_gradients(pairing: Pairing, size: Pair, of: str = "", share: float = 1e-10) -> None:
    """Every level and the gradients by the image and all parameters, or those whose names begin so, in float64."""
    levels, gradients = differences(pairing, size, of)
    assert max(levels) < 1e-10
    assert len(gradients) > 1
    assert {name: each for name, each in gradients.items() if each >= share} == {}


def check_both_precisions(pairing: Pairing, even: Pair, odd: Pair) -> None:
    """Every level of an image that needs no padding in single precision, and all of one that does in double."""
    check_levels(pairing, even, np.float32)
    check_levels_and_gradients(pairing, odd)


def check_round_trip(pairing: Pairing) -> None:
    """What was taken from torch goes back bit for bit."""
    state = state_of(pairing.reference)
    for name, value in convert.to_torch(pairing.variables).items():
        np.testing.assert_array_equal(value, state[name])
