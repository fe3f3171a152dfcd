import numpy as np
from against_torch import check_levels, check_levels_and_gradients

from benchmarks.torch_encoders import paired


def test_every_level_of_the_large_one_is_torchvisions_in_float32():
    check_levels(paired("mobilenet_v3_large"), (64, 64), np.float32)


def test_levels_and_gradients_of_the_small_one_are_torchvisions():
    """Gradients to fewer digits: torch's gradient of the hard sigmoid has a sixth in float32, in float64, too."""
    check_levels_and_gradients(paired("mobilenet_v3_small"), (65, 97), r"blocks\.1\.0\.", 1e-9)
