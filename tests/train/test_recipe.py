import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax.train import Experiment, Recipe, kernels

PARAMS = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}


def updates(optimizer: optax.GradientTransformation, steps: int = 4) -> list[Any]:
    """What an optimizer adds to parameters, step by step, for gradients that grow."""
    state, params, found = optimizer.init(PARAMS), PARAMS, []
    for step in range(steps):
        gradient = jax.tree.map(lambda leaf, step=step: (10.0 + step) * leaf, PARAMS)
        update, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, update)
        found += jax.tree.leaves(update)
    return found


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(steps=9), optax.adamw(optax.cosine_onecycle_schedule(9, 2e-3), weight_decay=1e-4, mask=kernels)),
        (
            Recipe(steps=9, learning_rate=0.1, weight_decay=0.5, decayed="all", clip=1.0),
            optax.chain(
                optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_onecycle_schedule(9, 0.1), weight_decay=0.5)
            ),
        ),
        (Recipe(steps=9, schedule="constant", weight_decay=0.0), optax.adam(2e-3)),
    ],
)
def test_the_optimizer_is_what_the_knobs_say(recipe: Recipe, expected: optax.GradientTransformation):
    for update, wanted in zip(updates(recipe.optimizer()), updates(expected), strict=True):
        np.testing.assert_allclose(update, wanted, rtol=1e-6)


def test_every_knob_of_a_recipe_reaches_the_experiment_or_its_model():
    """A field of one name in both is handed on; those of the optimizer and of the model are listed here."""
    for_optimizer = {"learning_rate", "schedule", "warmup", "weight_decay", "decayed", "clip"}
    for_model = {"dtype", "remat"}
    recipe = Recipe(steps=12, batch_size=6, ema=0.5, accumulate=3, evaluate_every=4, seed=5)
    built: Any = recipe.experiment(None, None, None)  # type: ignore[arg-type]
    names = {field.name for field in dataclasses.fields(Recipe)} - for_optimizer - for_model
    assert names <= {field.name for field in dataclasses.fields(Experiment)}
    default = Recipe()
    for name in names:
        assert getattr(built, name) == getattr(recipe, name)
        assert name == "patience" or getattr(recipe, name) != getattr(default, name)
    assert updates(built.optimizer)[0].tolist() == updates(recipe.optimizer())[0].tolist()
