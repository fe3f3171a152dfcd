"""Scores of a split: the same whatever is in a batch together, and those of what is predicted."""

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax import decoders, encoders, losses, models, upsampling
from segjax.data import Dataset, Source
from segjax.errors import ExperimentError
from segjax.inference import predict_mask
from segjax.layers import Standardized
from segjax.metrics import mean_iou
from segjax.train import Experiment
from segjax.train.devices import Layout, Placement
from segjax.train.evaluate import evaluate, initial_variables, make_evaluation_step, split_batches

SIZES = ((9, 17), (30, 12), (12, 30))


class Wide(nn.Module):
    """Sees far, and in the padding of its convolution where there is any."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(4, (9, 9))(jnp.asarray(image, jnp.float32))
        return nn.Conv(3, (1, 1))(jnp.tanh(x) + x.mean((1, 2), keepdims=True))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_scores_are_those_of_what_is_predicted_whatever_the_batch(batch_size: int):
    rng = np.random.default_rng(0)
    records = [
        {"image": rng.integers(0, 256, (*size, 3), np.uint8), "mask": rng.integers(0, 3, size, np.uint8)}
        for size in SIZES
    ]
    data = Dataset("noise", ("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), lambda split: cast(Source, records))
    model = Standardized(Wide())
    experiment = Experiment(model, data, losses.cross_entropy, optax.sgd(0.1), steps=1, batch_size=batch_size)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.uint8), train=False)
    task, placement = experiment.task_of_data, Placement(Layout(1), batch_size)
    step = make_evaluation_step(model, task, placement)
    (scores,) = evaluate(step, [(variables, task)], split_batches(experiment, data.open("test")), placement)
    counts = np.zeros((3, 3), int)
    for record in records:
        np.add.at(counts, (record["mask"], predict_mask(model, variables, record["image"])), 1)
    assert scores["miou"] == pytest.approx(mean_iou(counts), abs=1e-9)


def test_parts_that_do_not_fit_together_are_one_sentence_and_a_model_of_the_users_keeps_its_error():
    class Torn(nn.Module):
        @nn.compact
        def __call__(self, image, *, train: bool):
            raise ValueError("mine")

    climb = decoders.UNetDecoder(upsample=upsampling.MaxUnpool)
    image, key = np.zeros((1, 32, 32, 3), np.uint8), jax.random.key(0)
    with pytest.raises(ExperimentError, match="MaxUnpool needs to know where a pooling"):
        initial_variables(Standardized(models.Segmenter(3, encoders.mobilenet_v2(), climb)), image, key)
    with pytest.raises(ValueError, match="mine"):
        initial_variables(Standardized(Torn()), image, key)
