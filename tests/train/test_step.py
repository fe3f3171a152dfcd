from functools import partial, reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax import losses
from segjax.data import Dataset
from segjax.errors import ExperimentError
from segjax.layers import ConvBlock
from segjax.models import unet
from segjax.tasks import Segmentation
from segjax.train import Experiment
from segjax.train.state import TrainState
from segjax.train.step import one_step, several_steps

DATA = Dataset("noise", ("a", "b"), ((0, 0, 0),) * 2, lambda split: [])
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
BATCH = {
    "image": RNG.integers(0, 255, (6, 8, 8, 3)).astype(np.uint8),
    "mask": RNG.integers(0, 2, (6, 8, 8)).astype(np.uint8),
}


class Plain(nn.Module):
    """No batch normalisation, so that a batch is no more than its parts."""

    @nn.compact
    def __call__(self, image, *, train):
        return nn.Conv(2, (3, 3), dtype=jnp.float32)(nn.relu(nn.Conv(4, (3, 3))(image / 255)))


def steps(count: int, model: nn.Module = Plain(), optimizer=optax.sgd(0.1, 0.9), loss=losses.cross_entropy, **settings):
    experiment = Experiment(model, DATA, loss, optimizer, steps=1, batch_size=6, **settings)
    task = Segmentation(DATA)
    variables = model.init(KEY, BATCH["image"], train=False)
    state = TrainState.initial(variables, experiment.optimizer, task.zero(), ema=experiment.ema is not None)
    step = jax.jit(partial(one_step, key=KEY, experiment=experiment, task=task))
    states = [state]
    for _ in range(count):
        states.append(step(states[-1], BATCH))
    return states


def assert_close(found, expected, rtol=1e-5):
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale), found, expected)


def test_a_batch_in_parts_has_the_gradient_of_the_whole():
    whole, parts = steps(2), steps(2, accumulate=3)
    assert_close(parts[-1].params, whole[-1].params)
    assert_close(parts[-1].tally, whole[-1].tally)
    assert float(jnp.abs(whole[-1].params["Conv_0"]["kernel"] - whole[0].params["Conv_0"]["kernel"]).max()) > 1e-3


def test_an_optimizer_may_choose_its_rate_by_the_loss():
    slower = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, rtol=0.9)  # each loss is a plateau
    found: list[Any] = steps(3, optimizer=optax.chain(optax.sgd(0.1), slower))
    assert [float(state.opt_state[1].scale) for state in found] == [1, 1, 0.5, 0.25]
    plain = steps(1, optimizer=optax.sgd(0.1))
    assert_close(found[1].params, plain[1].params)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"optimizer": optax.lbfgs()}, "The optimizer asks for more than .* 'value_fn'.*: take one that searches"),
        ({"loss": lambda logits, mask: (logits - 1).mean((1, 2, 3))}, r"loss returned float32 of shape \(6,\); let it"),
        ({"loss": lambda logits, mask: mask.sum()}, r"The loss returned uint\d+ of shape \(\); let it return one"),
        ({"loss": lambda logits, mask: (logits.mean(), 1)}, r"The loss returned \(.*\); let it return one floating"),
        ({"loss": lambda logits, mask: None}, "The loss returned None; let it return one floating-point number"),
        # Before the loss may say something else, or nothing.
        ({"model": nn.Dense(1)}, "last axis of the model's logits is 1, and it must be 2, .* num_classes=2"),
    ],
)
def test_what_no_step_can_be_made_of_is_said_while_it_is_traced(changed: dict[str, Any], sentence: str):
    class Untrained(nn.Module):
        classes: nn.Module

        def __call__(self, image, *, train):
            return self.classes(image / 255)

    model = Untrained(changed.pop("model", nn.Dense(2)))
    with pytest.raises(ExperimentError, match=sentence):
        steps(1, model, **changed)


@pytest.mark.parametrize("mapped", [False, True])
def test_several_steps_in_one_loop_are_those_of_as_many_calls(mapped: bool):
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, image, *, train):
            return nn.Conv(2, (1, 1))(ConvBlock((3,))(image / 255, train=train))

    optimizer, task = optax.sgd(0.1, 0.9), Segmentation(DATA)
    experiment = Experiment(Normed(), DATA, losses.cross_entropy, optimizer, steps=1, batch_size=6, ema=0.3)
    state = TrainState.initial(Normed().init(KEY, BATCH["image"], train=False), optimizer, task.zero(), ema=True)
    step = partial(one_step, key=KEY, experiment=experiment, task=task)
    batches = [BATCH, {"image": BATCH["image"], "mask": 1 - BATCH["mask"]}]  # another one, so that order is seen
    expected = reduce(jax.jit(step), batches, state)
    run = partial(several_steps, key=KEY, experiment=experiment, task=task, unrolled=False)
    if mapped:
        run = jax.pmap(partial(run, axis="data"), "data", in_axes=(None, 0), out_axes=None)
        batches = [{name: x[None] for name, x in batch.items()} for batch in batches]
    found = jax.jit(run)(state, batches)
    assert int(found.step) == int(found.tally.steps) == 2
    for name in ("params", "collections", "ema", "opt_state", "tally"):
        assert_close(getattr(found, name), getattr(expected, name))


def test_a_batch_in_parts_needs_the_memory_of_a_part():
    def bytes_of(accumulate: int) -> int:
        model = unet(2, 8, depth=1, block=ConvBlock)
        experiment = Experiment(
            model, DATA, losses.cross_entropy, optax.sgd(0.1), steps=1, batch_size=8, accumulate=accumulate
        )
        task = Segmentation(DATA)
        image = jax.ShapeDtypeStruct((8, 32, 32, 3), jnp.uint8)
        variables = jax.eval_shape(partial(model.init, train=False), KEY, image)
        initial = partial(TrainState.initial, optimizer=experiment.optimizer, counts=task.zero())
        batch = {"image": image, "mask": jax.ShapeDtypeStruct((8, 32, 32), jnp.uint8)}
        step = jax.jit(partial(one_step, experiment=experiment, task=task))
        memory = step.lower(jax.eval_shape(initial, variables), batch, KEY).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    assert bytes_of(4) < 0.4 * bytes_of(1)


def test_averaged_weights_follow_the_plain_formula_and_hold_the_statistics():
    states = steps(4, unet(2, 4, depth=1, block=ConvBlock), ema=0.3)
    expected = jax.tree.map(lambda x: np.asarray(x, np.float64), states[0].variables)
    for number, state in enumerate(states[1:]):
        decay = min(0.3, (1 + number) / (10 + number))
        expected = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * np.asarray(b), expected, state.variables)
    assert_close(states[-1].ema, expected, rtol=1e-6)
    assert states[-1].ema.keys() == {"params", "batch_stats"}


class Counting(nn.Module):
    """Keeps a count and a mean of its own, in collections that nobody else knows."""

    @nn.compact
    def __call__(self, image, *, train):
        count = self.variable("counts", "batches", lambda: jnp.zeros((), jnp.int32))
        mean = self.variable("means", "of_batches", lambda: jnp.zeros(()))
        if train:
            count.value += 1
            mean.value = (image / 255).mean()
        return Plain()(image, train=train)


def test_any_collection_of_variables_is_carried_on_and_averaged_where_it_is_real():
    states = steps(3, Counting(), ema=0.5, accumulate=2)
    assert [int(state.collections["counts"]["batches"]) for state in states] == [0, 2, 4, 6]
    np.testing.assert_allclose(
        states[-1].collections["means"]["of_batches"], BATCH["image"][1::2].mean() / 255, rtol=1e-5
    )
    assert states[-1].ema["counts"] == states[-1].collections["counts"]
    assert 0 < states[1].ema["means"]["of_batches"] < states[-1].ema["means"]["of_batches"]
    assert states[-1].variables.keys() == states[-1].ema.keys() == {"params", "counts", "means"}


class Keeping(nn.Module):
    """A count that training makes another array of."""

    added: Any
    from_the_start: bool = True

    @nn.compact
    def __call__(self, image, *, train):
        self.variable("kept", "other", lambda: jnp.zeros(()))
        if train or self.from_the_start:
            count = self.variable("kept", "count", lambda: jnp.zeros((), jnp.int32))
            count.value = count.value + self.added if train else count.value
        return Plain()(image, train=train)


FORGETS = optax.GradientTransformation(lambda params: (0, 1), lambda updates, state, params=None: (updates, (0,)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"model": Keeping(0.5)}, r"collections/kept/count is int32\[\] before a step and float32\[\] after it: "),
        ({"model": Keeping(np.ones(3, np.int32))}, r"count is int32\[\] before a step and int32\[3\] after it"),
        ({"model": Keeping(1, from_the_start=False)}, r"count is not there before a step and int32\[\] after it"),
        ({"optimizer": FORGETS}, r"opt_state/1 is int32\[\] before a step and not there after it"),
    ],
)
def test_what_a_step_makes_another_array_of_is_refused_by_its_name(changed: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        steps(1, **changed)


def test_numbers_are_float32_whatever_is_computed_in():
    state = steps(2, unet(2, 4, depth=1, block=partial(ConvBlock, dtype=jnp.bfloat16)))[-1]
    kept = (state.params, state.collections, state.opt_state, state.tally.loss)
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}
    assert np.isfinite(state.tally.loss)


def test_the_loss_of_mixup_is_that_of_both_masks():
    other = RNG.integers(0, 2, (6, 8, 8)).astype(np.uint8)
    batch = {**BATCH, "other_mask": other, "share": np.full(6, 0.25, np.float32)}
    [state] = steps(0)
    experiment = Experiment(Plain(), DATA, losses.cross_entropy, optax.sgd(0.1, 0.9), steps=1, batch_size=6)
    step = jax.jit(partial(one_step, key=KEY, experiment=experiment, task=Segmentation(DATA)))
    mixed, one, two = (step(state, b).tally.loss for b in (batch, BATCH, {**BATCH, "mask": other}))
    np.testing.assert_allclose(mixed, 0.25 * one + 0.75 * two, rtol=1e-5)
