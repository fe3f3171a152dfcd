import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from segjax import encoders, losses
from segjax.data import Augment, Dataset
from segjax.encoders import ConvEncoder
from segjax.errors import ExperimentError
from segjax.layers import Frozen
from segjax.train import Experiment, Recipe, Start, kernels
from segjax.train.freezing import frozen_parts

COUNTS = ("steps", "batch_size", "accumulate", "evaluate_every", "patience")
DATA = Dataset("dots", ("ground", "dot"), ((0, 0, 0), (255, 255, 255)), open=lambda split: [])
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
    for update, wanted in zip(updates(recipe.optimizer(MODEL)), updates(expected), strict=True):
        np.testing.assert_allclose(update, wanted, rtol=1e-6)


def test_every_knob_of_a_recipe_reaches_the_experiment_or_its_model():
    """A field of one name in both is handed on; those of the optimizer and of the model are listed here."""
    for_optimizer = {"learning_rate", "schedule", "warmup", "weight_decay", "decayed", "clip"}
    for_optimizer |= {"encoder_rate", "layer_decay"}
    for_model = {"dtype", "remat", "freeze", "unfreeze_at", "start"}
    recipe = Recipe(steps=12, batch_size=6, ema=0.5, accumulate=3, evaluate_every=4, seed=5, augment="device")
    built: Any = recipe.experiment(MODEL, DATA, losses.cross_entropy)
    for_augment = {field.name for field in dataclasses.fields(Augment)}
    names = {field.name for field in dataclasses.fields(Recipe)} - for_optimizer - for_model - for_augment - {"augment"}
    assert built.augment_on == recipe.augment  # `augment` is how, there
    assert names <= {field.name for field in dataclasses.fields(Experiment)}
    default = Recipe()
    for name in names:
        assert getattr(built, name) == getattr(recipe, name)
        assert name == "patience" or getattr(recipe, name) != getattr(default, name)
    assert updates(built.optimizer)[0].tolist() == updates(recipe.optimizer(MODEL))[0].tolist()


class Parts(nn.Module):
    encoder: nn.Module

    @nn.compact
    def __call__(self, image, *, train):
        return nn.Dense(2, name="head")(self.encoder(image, train=train)[0].features)


MODEL = Parts(ConvEncoder(((2,), (2,))))


def test_a_recipe_freezes_the_encoder_of_the_model():
    built = Recipe(freeze="all").experiment(Parts(ConvEncoder(((2,),))), DATA, losses.cross_entropy)
    assert isinstance(built.model.encoder, Frozen)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no field named encoder, and so nothing to freeze"):
        Recipe(freeze="all").experiment(nn.Dense(2), DATA, losses.cross_entropy)


def test_what_a_recipe_starts_from_is_put_into_its_model():
    start = Start(lambda model, variables: {"params": (model, variables)})
    built = Recipe(start="imagenet").experiment(nn.Dense(2), DATA, losses.cross_entropy, start=start)
    assert built.start is not None
    assert built.start({"params": 1}) == {"params": (nn.Dense(2), {"params": 1})}


@pytest.mark.parametrize("clip", [None, 1.0])
def test_the_encoder_has_a_rate_of_its_own_or_none(clip: float | None):
    recipe = Recipe(steps=9, weight_decay=0.5, clip=clip)
    params = {"model": {"encoder": {"conv": PARAMS}, "head": PARAMS}}

    def last(recipe: Recipe) -> Any:
        optimizer = recipe.optimizer(MODEL)
        state = optimizer.init(params)
        gradient = jax.tree.map(lambda leaf: 2.0 * leaf, params)
        _, state = optimizer.update(gradient, state, params)
        update, state = optimizer.update(gradient, state, params)
        return jax.tree.map(np.asarray, update)["model"], state

    plain, state = last(recipe)
    tenth, _ = last(dataclasses.replace(recipe, encoder_rate=0.1))
    jax.tree.map(np.testing.assert_array_equal, tenth["head"], plain["head"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.1 * b, rtol=1e-6), tenth["encoder"], plain["encoder"])
    still, fewer = last(dataclasses.replace(recipe, freeze="all"))
    assert not any(leaf.any() for leaf in jax.tree.leaves(still["encoder"]))
    assert all(leaf.any() for leaf in jax.tree.leaves(still["head"]))
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(fewer)) < sum(np.size(leaf) for leaf in jax.tree.leaves(state))


def test_an_encoder_that_is_not_there_has_no_rate():
    with pytest.raises(ExperimentError, match="no part named encoder: leave freeze, encoder_rate and layer_decay out"):
        Recipe(encoder_rate=0.1).optimizer(MODEL).init(PARAMS)


STAGES = {"model": {"encoder": {"stage1": PARAMS, "stage2": PARAMS}, "head": PARAMS}}


def first_update(optimizer: optax.GradientTransformation, state: Any = None) -> tuple[Any, Any]:
    """For a gradient of 2 everywhere, and the state after it."""
    gradient = jax.tree.map(lambda leaf: 2.0 * leaf, STAGES)
    update, state = optimizer.update(gradient, state or optimizer.init(STAGES), STAGES)
    return jax.tree.map(np.asarray, update)["model"], state


def close(found: Any, expected: float) -> None:
    jax.tree.map(lambda leaf: np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-9), found)


def test_rates_of_stages_are_those_computed_by_hand():
    """Adam's first update is -1 for any gradient, and decay adds a tenth of the parameters, which are 1."""
    recipe = Recipe(steps=9, schedule="constant", learning_rate=0.01, weight_decay=0.1, decayed="all")
    decayed = dataclasses.replace(recipe, layer_decay=0.8, encoder_rate=0.5)
    update, _ = first_update(decayed.optimizer(MODEL))
    close(update["head"], -0.01 * 1.1)
    close(update["encoder"]["stage2"], -0.01 * 1.1 * 0.5 * 0.8)
    close(update["encoder"]["stage1"], -0.01 * 1.1 * 0.5 * 0.8**2)


def test_what_is_frozen_begins_as_new_where_it_is_trained_at_last():
    """With the rate that the schedule has by then, and Adam's moments of its own."""
    recipe = Recipe(steps=10, learning_rate=0.01, weight_decay=0.1, decayed="all", freeze="1", unfreeze_at=4)
    rate: Any = optax.cosine_onecycle_schedule(10, 0.01)
    frozen, whole = recipe.optimizer(MODEL), recipe.optimizer(MODEL, unfrozen=True)
    state = None
    for step in range(4):
        update, state = first_update(frozen, state)
        close(update["encoder"]["stage1"], 0.0)
        close(update["encoder"]["stage2"], -rate(step) * 1.1)
    assert jax.tree.structure(state) == jax.tree.structure(whole.init(STAGES))
    update, _ = first_update(whole, state)
    close(update, -rate(4) * 1.1)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"freeze": "stage9"}, "stage9 is no part of ConvEncoder; name one, such as stage[12] or stage[12]"),
        ({"freeze": "3"}, "freeze is 3; ConvEncoder has 2 stages, in order stage1, stage2"),
    ],
)
def test_an_encoder_that_cannot_be_trained_so_is_said(knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        Recipe(**knobs).experiment(MODEL, DATA, losses.cross_entropy)


@pytest.mark.parametrize(
    ("knob", "value", "sentence"),
    [
        *((knob, 0, "it must be a whole number, at least 1") for knob in COUNTS),
        *((knob, -1, "it must be a whole number, at least 0") for knob in ("seed", "warmup")),
        *((knob, -0.5, "it must be a number, at least 0") for knob in ("learning_rate", "weight_decay")),
        ("learning_rate", np.inf, "it must be a number, at least 0"),
        ("warmup", 1000, "steps of 1000; give it fewer"),
        ("clip", 0.0, "it is the largest norm of the gradient, above 0"),
        ("clip", np.nan, "it is the largest norm of the gradient, above 0"),
        ("ema", 1.0, "it is the share of the average that a step keeps"),
    ],
)
def test_a_number_that_cannot_be_meant_is_said_with_what_can(knob: str, value: float, sentence: str):
    with pytest.raises(ExperimentError, match=f"^{knob} is {value}.*{sentence}"):
        Recipe(**{knob: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"unfreeze_at": 4}, "unfreeze_at is 4, and nothing is frozen: say what"),
        ({"freeze": "all", "unfreeze_at": 0}, "unfreeze_at is 0; it must be a whole number, at least 1"),
        ({"freeze": "all", "unfreeze_at": 1000}, "unfreeze_at is 1000; of 1000 steps it is one from 1 to 999"),
        ({"steps": 2.5}, r"steps is 2\.5; it must be a whole number"),
        ({"batch_size": "8"}, "batch_size is '8'; it must be a whole number"),
        ({"freeze": 2}, "freeze is 2; it must be a string or None, such as '2'"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5; it is a factor of learning rates, above 0 and up to 1"),
        ({"encoder_rate": -0.1}, r"encoder_rate is -0\.1; it is a factor"),
        ({"mosaic": 2.0}, "mosaic is between 0 and 1, not 2"),
        ({"augment": "device", "jpeg": 50}, "jpeg cannot be done on the device"),
    ],
)
def test_knobs_that_do_not_go_together_are_refused_before_there_is_a_model(knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        Recipe(**knobs)


def test_an_encoder_that_does_not_say_its_parts_has_no_stages():
    for recipe in (Recipe(freeze="2"), Recipe(layer_decay=0.5)):
        with pytest.raises(ExperimentError, match="Dense does not say its parts"):
            recipe.experiment(Parts(nn.Dense(2)), DATA, losses.cross_entropy)


def test_parts_are_named_as_torch_names_them():
    model = Parts(encoders.densenet121())
    assert frozen_parts("features.conv0, features_denseblock1", model) == ("features_conv0", "features_denseblock1")
    assert frozen_parts("1", model) == ("features_conv0", "features_norm0")
    assert frozen_parts("all", model) is None


def test_a_recipe_says_how_images_are_augmented():
    own = Augment(crop=(8, 8), rotate=10, brightness=0.2)
    changed = Recipe(rotate=0.0, mixup=0.2, scale=(0.5, 2.0)).augmented(own)
    assert changed == Augment(crop=(8, 8), brightness=0.2, scale=(0.5, 2.0), mixup=0.2)
    assert Recipe().augmented(own) is own
    assert Recipe(rare_crops=0.5).augmented(own) == Augment(crop=(8, 8), rotate=10, brightness=0.2, rare_crops=0.5)
    with pytest.raises(ExperimentError, match="rare_crops says where crops are taken"):
        Recipe(rare_crops=0.5).augmented(None)
