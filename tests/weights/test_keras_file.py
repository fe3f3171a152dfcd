import sys

import numpy as np
import pytest

from segjax.errors import DataError
from segjax.weights import read

h5py = pytest.importorskip("h5py")
KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as made:
        conv = made.create_group("block1/layers/conv2d/vars")
        conv.attrs["name"] = "block1_conv1"
        conv["0"], conv["1"] = KERNEL, np.arange(5.0)
        norm = made.create_group("layers/norm/vars")
        for i in range(4):
            norm[str(i)] = np.full(3, i, np.float32)
        dense = made.create_group("layers/dense/vars")
        dense["0"] = np.arange(6.0).reshape(2, 3)
    return path


def test_arrays_come_under_torchs_names_and_in_its_layouts(file):
    found = read(file)
    assert list(found) == [
        "block1_conv1.weight",
        "block1_conv1.bias",
        "layers/dense.weight",
        *(f"layers/norm.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
    ]
    assert found["block1_conv1.weight"].shape == (5, 4, 2, 3)
    assert found["block1_conv1.weight"][4, 1, 0, 2] == KERNEL[0, 2, 1, 4]
    np.testing.assert_array_equal(found["layers/dense.weight"], np.arange(6.0).reshape(2, 3).T)
    assert [found[f"layers/norm.{name}"][0] for name in ("bias", "running_var")] == [1, 3]


def test_keras_own_layout_is_read_as_its_convolution(file):
    """The kernel in torch's layout convolves as Keras's does: with the output channels first."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((1, 6, 7, 4)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (1, 2))
    expected = np.einsum("nhwcij,ijcd->nhwd", windows, KERNEL)
    weight = torch.from_numpy(read(file)["block1_conv1.weight"].copy())
    y = torch.nn.functional.conv2d(torch.from_numpy(x.transpose(0, 3, 1, 2)), weight)
    np.testing.assert_allclose(y.numpy().transpose(0, 2, 3, 1), expected, rtol=1e-4)


def test_what_is_no_file_of_weights_is_refused(tmp_path, file):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as made:
        made["model_weights/conv/kernel:0"] = KERNEL
    with pytest.raises(DataError, match=r"has model_weights/conv/kernel:0, which no weights of Keras 3 have: give a"):
        read(path)
    with h5py.File(path, "w") as made:
        made.create_dataset("layers/a/vars/0", (1 << 28,), np.float32, chunks=(1 << 20,), compression="gzip")
    with pytest.raises(DataError, match="unfolds to far more than it is long"):
        read(path)
    with h5py.File(path, "w") as made:
        made.create_dataset("layers/a/vars/0", (4,), np.uint8, external=[("/etc/passwd", 0, 4)])
    with pytest.raises(DataError, match="layers/a/vars/0 that is no plain array of numbers"):
        read(path)
    with h5py.File(path, "w") as made:
        made["layers/a/vars/0"] = h5py.ExternalLink(str(file), "layers/dense/vars/0")
    with pytest.raises(DataError, match="holds no arrays of layers"):
        read(path)
    path.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match="is an HDF5 file that ends early or is damaged: fetch it again"):
        read(path)


def test_without_h5py_it_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"read with h5py: `pip install 'segjax\[weights\]'`\.$"):
        read(file)
