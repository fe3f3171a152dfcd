"""What is named as not finite is what the step itself computes, with all that a recipe may ask of it."""

import dataclasses
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from segjax.data import Augment, Dataset
from segjax.tasks import Segmentation
from segjax.train import Experiment
from segjax.train.diagnose import first_bad_layer
from segjax.train.state import TrainState
from segjax.train.step import one_step

DATA = Dataset("noise", ("a", "b"), ((0, 0, 0),) * 2, lambda split: [])
KEY = jax.random.key(0)
BATCH: dict[str, Any] = {"image": np.ones((8, 4, 4, 3), np.uint8), "mask": np.zeros((8, 4, 4), np.uint8)}
LOSS = "the loss; the model's outputs are finite"


class Dropping(nn.Module):
    @nn.compact
    def __call__(self, image, *, train):
        x = nn.Dropout(0.5, deterministic=not train, name="drop")(image / 255)
        return nn.Conv(2, (1, 1), name="head")(x)


def found(loss: Any, batch: dict[str, Any] = BATCH, **settings: Any) -> str:
    """What is named for a step that was not applied."""
    experiment = Experiment(Dropping(), DATA, loss, optax.sgd(0.1), steps=1, batch_size=8, **settings)
    task = Segmentation(DATA)
    variables = jax.jit(partial(experiment.model.init, train=False))(KEY, batch["image"])
    state = TrainState.initial(variables, experiment.optimizer, task.zero())
    state = dataclasses.replace(state, step=jnp.array(6))
    step = jax.jit(partial(one_step, experiment=experiment, task=task))
    assert int(step(state, batch, KEY).skipped.last) == 7
    return first_bad_layer(experiment, task, state, batch, KEY)


def test_the_other_mask_of_mixup_is_looked_at():
    loss = lambda logits, mask: jnp.where((mask == 1).any(), jnp.nan, logits.mean())  # noqa: E731
    mixed = BATCH | {"other_mask": np.ones_like(BATCH["mask"]), "share": np.full(8, 0.5, np.float32)}
    assert found(loss, mixed) == LOSS


def test_each_part_is_looked_at_with_its_own_dropout():
    seen = []

    def loss(logits, mask):
        """Of one outcome of the dropout alone: that of the last part."""
        if not isinstance(logits, Tracer):
            seen.append(float(logits.mean()))
        return logits.mean() / (mask != 1).all()

    batch = BATCH | {"mask": np.arange(8, dtype=np.uint8).reshape(8, 1, 1) % 4 // 3 * np.ones((8, 4, 4), np.uint8)}
    assert found(loss, batch, accumulate=4) == LOSS
    assert len(set(seen[-4:])) == 4


def test_images_are_augmented_as_on_the_device():
    loss = lambda logits, mask: logits.mean() / (mask.shape[1] != 2)  # noqa: E731
    assert found(loss, augment=Augment(crop=(2, 2)), augment_on="device") == LOSS
