import numpy as np
import pytest
from against_torch import check_gradients

from benchmarks.beside_torch import level_differences
from benchmarks.torch_encoders import paired


@pytest.mark.parametrize("size", [(64, 64), (65, 97)])
def test_every_level_of_the_small_one_is_torchvisions(size: tuple[int, int]):
    differences = level_differences(paired("mobilenet_v3_small"), size)
    assert len(differences) == 5
    assert max(differences) < 1e-10


def test_every_level_of_the_large_one_is_torchvisions_in_float32():
    assert max(level_differences(paired("mobilenet_v3_large"), (33, 47), np.float32)) < 1e-5


def test_gradients_are_torchvisions():
    """To fewer digits: torch's gradient of the hard sigmoid has a sixth in float32, in float64, too."""
    check_gradients(paired("mobilenet_v3_small"), (17, 23), r"blocks\.1\.0\.", 1e-9)
