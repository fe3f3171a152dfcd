"""Keras's `.weights.h5` files, read with h5py, an extra: https://keras.io/api/models/model_saving_apis/weights_saving_and_loading."""

import posixpath
from pathlib import Path
from typing import Any

import numpy as np

from segjax.errors import DataError
from segjax.weights.mapped import Refused, printable

_UNFOLDED = 1 << 28
_GIVE = "give a .weights.h5 file, as `model.save_weights` of Keras 3 writes it"


def read_at(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the layers of a file: `NAME.weight`, `NAME.bias`, in torch's layouts (output, input, h, w).

    A layer is called as Keras calls it. Four vectors are a batch normalisation: weight, bias, running_mean and
    running_var.

    Raises:
        Refused: It is of another format, damaged, or would unfold to far more than it is long.
        DataError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path} is a Keras file, read with h5py: `pip install 'segjax[weights]'`.") from None
    layers: dict[str, dict[int, np.ndarray]] = {}
    most = 4 * path.stat().st_size + _UNFOLDED

    def visit(name: str, value: Any) -> None:
        nonlocal most
        folder, _, last = name.rpartition("/")
        if not isinstance(value, h5py.Dataset):
            return
        if posixpath.basename(folder) != "vars" or not last.isdecimal():
            raise Refused(f"has {printable(name)}, which no weights of Keras 3 have", _GIVE)
        # Numbers of another file, or computed ones, would be read without a word.
        if value.external or value.is_virtual or value.dtype.kind not in "fiu":
            raise Refused(f"has {printable(name)} that is no plain array of numbers", _GIVE)
        most -= value.nbytes
        if most < 0:
            raise Refused("unfolds to far more than it is long", _GIVE)
        layer = value.parent.attrs.get("name", posixpath.dirname(folder))
        layers.setdefault(str(layer), {})[int(last)] = value[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)  # follows no link to another file
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise Refused("is an HDF5 file that ends early or is damaged") from error
    if not layers:
        raise Refused("holds no arrays of layers", _GIVE)
    return {f"{layer}.{name}": array for layer, parts in layers.items() for name, array in _of_torch(parts).items()}


def _of_torch(parts: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = [parts[i] for i in sorted(parts)]
    names = ["weight", "bias", "running_mean", "running_var"]
    if len(arrays) > 2 and (len(arrays) > 4 or any(array.ndim != 1 for array in arrays)):
        names = [f"vars.{i}" for i in sorted(parts)]
    kernels = (np.moveaxis(array, (-1, -2), (0, 1)) if array.ndim > 1 else array for array in arrays)
    return dict(zip(names, kernels, strict=False))
