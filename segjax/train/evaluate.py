"""Scores of a model on a data set."""

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Int, UInt8

from segjax import metrics
from segjax.train import devices
from segjax.train.state import Variables

EvaluationStep = Callable[[Variables, dict[str, Array]], Int[Array, "k k"]]


class Scores(TypedDict):
    """Scores over all counted pixels of a split, in 0..1; a class that never occurs has neither IoU nor Dice (None)."""

    miou: float
    iou: dict[str, float | None]
    dice: dict[str, float | None]
    pixel_accuracy: float


def initial_variables(model: nn.Module, image: UInt8[np.ndarray, "n h w c"], key: Array) -> Variables:
    """A model's variables before training; the same for the same key."""
    # It runs once: optimising the random numbers' code would take several times as long as running it.
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(lambda key: model.init(key, image, train=False), compiler_options=options)(key)


def make_evaluation_step(model: nn.Module, num_classes: int) -> EvaluationStep:
    """A compiled function from variables and a batch to the batch's confusion matrix."""

    def step(variables: Variables, batch: dict[str, Array]) -> Array:
        logits: Any = model.apply(variables, batch["image"], train=False)
        return metrics.confusion_matrix(logits.argmax(-1), batch["mask"], num_classes)

    return devices.compile_step(step)


def evaluate(
    step: EvaluationStep, variables: Variables, batches: Iterable[dict[str, Any]], class_names: tuple[str, ...]
) -> Scores:
    """Score every batch; the counts are summed as int64, so any number of pixels is exact."""
    k = len(class_names)
    confusion = np.zeros((k, k), np.int64)
    for batch in batches:
        confusion += np.asarray(jax.device_get(step(variables, batch)))

    def by_class(scores: Any) -> dict[str, float | None]:
        values = [None if np.isnan(score) else float(score) for score in np.asarray(scores)]
        return dict(zip(class_names, values, strict=True))

    return {
        "miou": float(metrics.mean_iou(confusion)),
        "iou": by_class(metrics.iou(confusion)),
        "dice": by_class(metrics.dice(confusion)),
        "pixel_accuracy": float(metrics.pixel_accuracy(confusion)),
    }
