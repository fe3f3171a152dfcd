"""What the tests of files that torch writes share."""

import numpy as np
import pytest

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])


def bits(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def torch_bits(tensor) -> bytes:
    numbers = tensor.detach().resolve_conj().resolve_neg().contiguous().view(-1)
    return numbers.view(pytest.importorskip("torch").uint8).numpy().tobytes()
