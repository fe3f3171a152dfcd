import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from segjax.encoders import ConvEncoder
from segjax.errors import ExperimentError
from segjax.layers import Frozen
from segjax.train import Experiment, Recipe, Start, kernels

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
    for_optimizer = {"learning_rate", "schedule", "warmup", "weight_decay", "decayed", "clip", "encoder_rate"}
    for_model = {"dtype", "remat", "freeze", "start"}
    recipe = Recipe(steps=12, batch_size=6, ema=0.5, accumulate=3, evaluate_every=4, seed=5)
    built: Any = recipe.experiment(None, None, None)  # type: ignore[arg-type]
    names = {field.name for field in dataclasses.fields(Recipe)} - for_optimizer - for_model
    assert names <= {field.name for field in dataclasses.fields(Experiment)}
    default = Recipe()
    for name in names:
        assert getattr(built, name) == getattr(recipe, name)
        assert name == "patience" or getattr(recipe, name) != getattr(default, name)
    assert updates(built.optimizer)[0].tolist() == updates(recipe.optimizer())[0].tolist()


class Parts(nn.Module):
    encoder: nn.Module

    @nn.compact
    def __call__(self, image, *, train):
        return nn.Dense(2, name="head")(self.encoder(image, train=train)[0].features)


def test_a_recipe_freezes_the_encoder_of_the_model():
    built = Recipe(freeze=True).experiment(Parts(ConvEncoder(((2,),))), None, None)  # type: ignore[arg-type]
    assert isinstance(built.model.encoder, Frozen)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no field named encoder, and so nothing to freeze"):
        Recipe(freeze=True).experiment(nn.Dense(2), None, None)  # type: ignore[arg-type]


def test_what_a_recipe_starts_from_is_put_into_its_model():
    start = Start(lambda model, variables: {"params": (model, variables)})
    built = Recipe(start="imagenet").experiment(nn.Dense(2), None, None, start=start)  # type: ignore[arg-type]
    assert built.start is not None
    assert built.start({"params": 1}) == {"params": (nn.Dense(2), {"params": 1})}


@pytest.mark.parametrize("clip", [None, 1.0])
def test_the_encoder_has_a_rate_of_its_own_or_none(clip: float | None):
    recipe = Recipe(steps=9, weight_decay=0.5, clip=clip)
    params = {"model": {"encoder": {"conv": PARAMS}, "head": PARAMS}}

    def last(recipe: Recipe) -> Any:
        optimizer = recipe.optimizer()
        state = optimizer.init(params)
        gradient = jax.tree.map(lambda leaf: 2.0 * leaf, params)
        _, state = optimizer.update(gradient, state, params)
        update, state = optimizer.update(gradient, state, params)
        return jax.tree.map(np.asarray, update)["model"], state

    plain, state = last(recipe)
    tenth, _ = last(dataclasses.replace(recipe, encoder_rate=0.1))
    jax.tree.map(np.testing.assert_array_equal, tenth["head"], plain["head"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.1 * b, rtol=1e-6), tenth["encoder"], plain["encoder"])
    still, fewer = last(dataclasses.replace(recipe, freeze=True))
    assert not any(leaf.any() for leaf in jax.tree.leaves(still["encoder"]))
    assert all(leaf.any() for leaf in jax.tree.leaves(still["head"]))
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(fewer)) < sum(np.size(leaf) for leaf in jax.tree.leaves(state))


def test_an_encoder_that_is_not_there_has_no_rate():
    with pytest.raises(ExperimentError, match="no part named encoder: leave freeze and encoder_rate out"):
        Recipe(encoder_rate=0.1).optimizer().init(PARAMS)
    with pytest.raises(ExperimentError, match=r"encoder_rate is -0\.1; it is a factor"):
        Recipe(encoder_rate=-0.1).optimizer()
