import numpy as np
import pytest

from benchmarks.parity import gradient_differences, level_differences, paired


@pytest.mark.parametrize("size", [(64, 64), (65, 97)])
def test_every_level_of_the_small_one_is_torchvisions(size: tuple[int, int]):
    differences = level_differences(paired("mobilenet_v3_small"), size)
    assert len(differences) == 5
    assert max(differences) < 1e-10


def test_every_level_of_the_large_one_is_torchvisions_in_float32():
    assert max(level_differences(paired("mobilenet_v3_large", np.float32), (33, 47))) < 1e-5


def test_gradients_are_torchvisions():
    """To fewer digits: torch's gradient of the hard sigmoid has a sixth in float32, in float64, too."""
    weight = "features.2.block.1.0.weight"
    assert max(gradient_differences(paired("mobilenet_v3_small"), (17, 23), weight)) < 1e-9
