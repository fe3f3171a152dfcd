import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
from segjax.export.onnx_shapes import _scale


def test_a_scale_gives_the_size_however_the_product_is_rounded():
    below = 0
    for size in range(1, 130):
        for out in range(1, 130):
            scale = _scale(size, out)
            assert int(np.float32(size) * scale) == int(size * float(scale)) == out
            below += size * float(np.float32(out / size)) < out
    assert below > 100  # as a division alone would be
