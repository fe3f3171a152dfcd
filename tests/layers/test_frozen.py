from functools import partial
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import numpy as np
import pytest

from segjax import decoders, models
from segjax.encoders import ConvEncoder, RegNetY
from segjax.layers import Frozen, Normalized, belongs_to, parts_of_encoder, with_frozen_encoder

IMAGE = jax.random.uniform(jax.random.key(1), (2, 8, 10, 3)) * 255


def segmenter() -> Normalized:
    model = models.Segmenter(3, ConvEncoder(((4,), (8,))), decoders.UNetDecoder())
    return Normalized(model, (0.5,) * 3, (0.25,) * 3)


def arrays(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def test_variables_and_answers_are_those_of_the_module_that_is_not_trained():
    model = segmenter()
    frozen = with_frozen_encoder(model)
    variables, same = (initial(one) for one in (model, frozen))
    assert arrays(variables).keys() == arrays(same).keys()
    jax.tree.map(np.testing.assert_array_equal, variables, same)
    expected = jax.jit(partial(model.apply, train=False))(variables, IMAGE)
    np.testing.assert_array_equal(jax.jit(partial(frozen.apply, train=False))(variables, IMAGE), np.asarray(expected))
    encoder = ConvEncoder(((4,), (8,)))
    levels = jax.jit(partial(Frozen(encoder).apply, train=True))(inside(variables), IMAGE)
    wanted = jax.jit(partial(encoder.apply, train=False))(inside(variables), IMAGE)
    jax.tree.map(np.testing.assert_array_equal, levels, wanted)


def initial(model: nn.Module) -> Any:
    return jax.jit(partial(model.init, train=False))(jax.random.key(0), IMAGE)


def inside(variables: Any) -> Any:
    return {kind: tree["model"]["encoder"] for kind, tree in variables.items()}


def test_no_gradient_reaches_it_and_its_statistics_stay():
    frozen = with_frozen_encoder(segmenter())
    variables = initial(frozen)

    def loss(params: Any) -> Any:
        answer, updated = frozen.apply({**variables, "params": params}, IMAGE, train=True, mutable=["batch_stats"])
        return (answer**2).sum(), updated

    gradient, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for name, value in arrays(gradient).items():
        assert bool(np.any(value)) != name.startswith("model/encoder/")
    before = arrays(variables["batch_stats"])
    for name, value in arrays(updated["batch_stats"]).items():
        assert np.array_equal(value, before[name]) == name.startswith("model/encoder/")


@pytest.mark.parametrize("stays", ["stage1", "stage2"])
def test_parts_stay_and_a_gradient_passes_through_them(stays: str):
    model = segmenter()
    frozen = with_frozen_encoder(model, (stays,))
    variables = initial(frozen)
    jax.tree.map(np.testing.assert_array_equal, variables, initial(model))
    others = {**variables, "batch_stats": jax.tree.map(lambda x: x + 0.5, variables["batch_stats"])}

    def loss(params: Any) -> Any:
        answer, updated = frozen.apply({**others, "params": params}, IMAGE, train=True, mutable=["batch_stats"])
        return (answer**2).sum(), updated

    gradient, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for name, value in arrays(gradient).items():
        assert bool(np.any(value)) != name.startswith(f"model/encoder/{stays}/")
    before = arrays(others["batch_stats"])
    for name, value in arrays(updated["batch_stats"]).items():
        assert np.array_equal(value, before[name]) == name.startswith(f"model/encoder/{stays}/")
    if stays == "stage1":
        levels, _ = Frozen(ConvEncoder(((4,), (8,))), (stays,)).apply(
            inside(others), IMAGE, train=True, mutable=["batch_stats"]
        )
        np.testing.assert_array_equal(levels[0].features, at_rest(inside(others)))  # type: ignore[index]


def at_rest(variables: Any) -> Any:
    return ConvEncoder(((4,), (8,))).apply(variables, IMAGE, train=False)[0].features  # type: ignore[index]


@pytest.mark.parametrize("remat", [False, True])
def test_what_is_left_out_at_random_is_not_where_it_is_frozen(remat: bool):
    encoder = RegNetY((8, 16), (1, 1), 8, depth=3, drop_path=0.5, remat=remat)
    image = jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32)
    variables = jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), image)

    def without_a_key(parts: tuple[str, ...]) -> Any:
        run = partial(Frozen(encoder, parts).apply, train=True, mutable=["batch_stats"])
        return jax.eval_shape(run, variables, image)

    without_a_key(("s1", "s2"))
    with pytest.raises(flax.errors.InvalidRngError):
        without_a_key(("stem", "s1"))


def test_what_belongs_to_a_part_begins_with_its_name():
    for path in (("layer1",), ("layer1_0", "conv1", "kernel"), ("layer1", "0")):
        assert belongs_to(path, ["stem", "layer1"])
    for path in (("layer10",), ("layer2_0",), ("body", "layer1")):
        assert not belongs_to(path, ["stem", "layer1"])
    assert belongs_to(("features", "conv0", "kernel"), ["features_conv0"])


def test_a_model_without_an_encoder_has_nothing_to_freeze():
    with pytest.raises(ValueError, match="Dense has no field named encoder, and so nothing to freeze"):
        with_frozen_encoder(nn.Dense(3))
    with pytest.raises(ValueError, match="Dense has no field named encoder, and so nothing to freeze"):
        parts_of_encoder(nn.Dense(3))


def test_it_is_a_module_of_any_model():
    class Own(nn.Module):
        encoder: nn.Module

        @nn.compact
        def __call__(self, image, *, train):
            return self.encoder(image, train=train)[0].features

    frozen = with_frozen_encoder(Own(ConvEncoder(((4,),))))
    assert isinstance(frozen.encoder, Frozen)  # type: ignore[attr-defined]
    variables = initial(frozen)
    gradient = jax.jit(jax.grad(lambda x: frozen.apply(variables, x, train=True).sum()))(IMAGE)  # type: ignore[union-attr]
    assert not gradient.any()
