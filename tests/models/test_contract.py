"""What every model owes, whichever its upsampler."""

from functools import partial
from itertools import product
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.nnx import bridge

from segjax import models
from segjax.decoders import FCNDecoder, FullyConnected, UNetDecoder
from segjax.encoders import ConvEncoder, resnet18
from segjax.layers import ConvBlock, Normalized, batch_norm
from segjax.upsampling import BY_NAME, ConvTranspose, MaxUnpool, bilinear_conv_transpose

CLASSES = 3
KEY = jax.random.key(0)


def encoder_decoder(upsample: Any = ConvTranspose, block=ConvBlock, widths=(8, 12), convs=1, skips=True):
    stages = tuple((width,) * convs for width in widths)
    return models.Segmenter(CLASSES, ConvEncoder(stages, block), UNetDecoder(stages[:-1], upsample, block, skips))


def scores(
    upsample=bilinear_conv_transpose, block=models.plain_block, stages=((8,), (8,), (12,)), dropout=0.0, **fields
):
    """FCN's, whose last climb is in one jump where it does not climb by levels."""
    decoder = FCNDecoder(CLASSES, hidden=16, window=3, dropout=dropout, upsample=upsample, block=block, **fields)
    return models.Segmenter(CLASSES, ConvEncoder((*stages, ()), block), decoder, head=None, to_image=upsample)


def mirror(upsample=MaxUnpool, block=ConvBlock, window=3, head=3, activation=jax.nn.relu, bottleneck=None):
    """SegNet's and DeconvNet's."""
    block = partial(block, window=window)
    climb = partial(block, activation=activation)
    if bottleneck is not None:
        bottleneck = FullyConnected(16, bottleneck, partial(block, window=3))
    decoder = UNetDecoder(((8,), (12, 8)), upsample, climb, skips=False, bottleneck=bottleneck)
    encoder = ConvEncoder(((8, 8), (12,), ()), block)
    return models.Segmenter(CLASSES, encoder, decoder, partial(nn.Conv, kernel_size=(head, head)))


def full_resolution(block=ConvBlock):
    return models.FullResolutionCNN(CLASSES, (8, 8), block)


FAMILIES = {
    "full_resolution": full_resolution,
    "fcn": partial(encoder_decoder, convs=2, skips=False, upsample=partial(ConvTranspose, overlap=1)),
    "fcn_scores": partial(scores, skips=1),
    "fcn_scores_by_levels": partial(scores, skips=2, climb=True),
    "segnet": mirror,
    "segnet_basic": partial(mirror, window=5, head=1, activation=None),
    "deconvnet": partial(mirror, head=1, bottleneck=2),
    "unet": encoder_decoder,
    "unet_without_skips": partial(encoder_decoder, widths=(8, 8, 12), skips=False),
}
UPSAMPLED = [name for name in FAMILIES if name != "full_resolution"]


def outputs(model, rows, columns, train=True):
    """Shapes of the logits and the variables, computing nothing."""
    image = jax.ShapeDtypeStruct((2, rows, columns, 3), jnp.float32)
    keys = {"params": KEY, "dropout": KEY}
    return jax.eval_shape(partial(model.init_with_output, train=train), keys, image)


def blocks_of_colour():
    """Two 16x16 pictures of four 8x8 blocks: the mask is the brightest channel, under noise."""
    rng = np.random.default_rng(0)
    mask = rng.integers(0, CLASSES, (2, 2, 2)).repeat(8, axis=1).repeat(8, axis=2)
    noise = rng.standard_normal((2, 16, 16, 3), np.float32) * 0.3
    return np.eye(CLASSES, dtype=np.float32)[mask] + noise, mask


IMAGE, MASK = blocks_of_colour()


def cross_entropy(logits, mask):
    return optax.softmax_cross_entropy_with_integer_labels(logits, mask).mean()


def without_gradient(gradients):
    """Parameters whose gradient is nothing but rounding, as that of a bias before batch normalisation is."""
    largest = {jax.tree_util.keystr(path): np.abs(leaf).max() for path, leaf in jax.tree.leaves_with_path(gradients)}
    return [name for name, size in largest.items() if size < 1e-6 * max(largest.values())]


OF_FEATURES = [name for name in BY_NAME if not name.startswith("max_unpool")]
BY_TURNS = [(family, OF_FEATURES[i % len(OF_FEATURES)]) for i, family in enumerate(3 * UPSAMPLED)]
"""Three with each family, and at least two families with each: they are called alike, as max-unpooling is not."""
UNPOOLED = product(UPSAMPLED, ("max_unpool", "max_unpool_of_skip"))


@pytest.mark.parametrize(("family", "upsampler"), [*BY_TURNS, *UNPOOLED])
def test_any_size_and_any_upsampler(family, upsampler):
    if family == "fcn_scores" and upsampler.startswith("max_unpool"):
        with pytest.raises(ValueError, match="MaxUnpool needs to know where"):  # the jump ends at the image's own place
            outputs(FAMILIES[family](upsample=BY_NAME[upsampler]), 8, 8)
        return
    block = partial(ConvBlock, dtype=jnp.bfloat16)
    model = FAMILIES[family](upsample=BY_NAME[upsampler], block=block)
    seen = set()
    for rows, columns in ((1, 1), (33, 47)):
        logits, variables = outputs(model, rows, columns)
        assert (logits.shape, logits.dtype) == ((2, rows, columns, CLASSES), jnp.float32)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
        seen.add(str(jax.tree.map(jnp.shape, variables)))
    assert len(seen) == 1  # no parameter depends on the image's size


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 9), (2, 3), (16, 16), (31, 64)])
def test_any_size(family, rows, columns):
    logits, _ = outputs(FAMILIES[family](), rows, columns)
    assert (logits.shape, logits.dtype) == ((2, rows, columns, CLASSES), jnp.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_statistics_come_with_normalisation_alone(family):
    for norm in (None, batch_norm):
        _, variables = outputs(FAMILIES[family](block=partial(ConvBlock, norm=norm)), 8, 8)
        assert set(variables) == ({"params", "batch_stats"} if norm else {"params"})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_learns_and_one_batch_can_be_overfitted(family):
    model = FAMILIES[family]()
    optimizer = optax.adam(1e-2)

    @jax.jit
    def start(key):
        variables = model.init({"params": key, "dropout": key}, IMAGE, train=False)
        return variables, optimizer.init(variables["params"])

    @jax.jit
    def step(variables, state):
        def loss(params):
            logits, updated = model.apply({**variables, "params": params}, IMAGE, train=True, mutable=["batch_stats"])
            return cross_entropy(logits, MASK), updated

        (value, updated), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        with jax.numpy_dtype_promotion("standard"):  # which optax needs
            updates, state = optimizer.update(gradients, state)
        return {"params": optax.apply_updates(variables["params"], updates), **updated}, state, value, gradients

    variables, state = start(KEY)
    first, losses = None, []
    for _ in range(60):
        variables, state, value, gradients = step(variables, state)
        losses.append(float(value))
        first = gradients if first is None else first
    assert without_gradient(first) == []
    assert min(losses) < 0.1, losses


@pytest.mark.parametrize("upsampler", BY_NAME)
def test_every_parameter_learns_under_any_upsampler(upsampler):
    model = FAMILIES["fcn"](upsample=BY_NAME[upsampler], convs=1)

    @jax.jit
    def gradients(key):
        variables = model.init(key, IMAGE, train=False)

        def loss(params):
            logits, _ = model.apply({**variables, "params": params}, IMAGE, train=True, mutable=["batch_stats"])
            return cross_entropy(logits, MASK)

        return jax.grad(loss)(variables["params"])

    assert without_gradient(gradients(KEY)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_jit_equals_eager_and_bfloat16_is_close(family):
    image = IMAGE[:, :11, :13]
    model = FAMILIES[family]()
    rng = np.random.default_rng(1)

    def draw(leaf):  # kernels around zero; scales and variances above it
        return rng.uniform(0.0, 1.0, leaf.shape).astype(np.float32) + (0.5 if leaf.ndim == 1 else -0.5)

    variables = jax.tree.map(draw, jax.eval_shape(partial(model.init, train=False), KEY, image))
    jitted = jax.jit(partial(model.apply, train=False))
    logits = np.asarray(jitted(variables, image))
    assert logits.std() > 0
    np.testing.assert_array_equal(logits, jitted(variables, image))
    eager = model.apply(variables, image, train=False)
    np.testing.assert_allclose(eager, logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    plain = family.startswith("fcn_scores")  # without normalisation, as published
    block = partial(models.plain_block if plain else ConvBlock, dtype=jnp.bfloat16)
    half = jax.jit(partial(FAMILIES[family](block=block).apply, train=False))(variables, image)
    assert half.dtype == jnp.float32
    assert np.all(np.isfinite(half))
    # The median, because rounding moves a few maxima, and what is unpooled with them.
    assert np.median(np.abs(half - logits)) < 0.03 * logits.std()


def test_dropout_needs_its_key_and_is_off_in_evaluation():
    model = FAMILIES["fcn_scores"](dropout=0.5)
    variables = jax.jit(partial(model.init, train=False))(KEY, IMAGE)
    train = jax.jit(lambda key: model.apply(variables, IMAGE, train=True, rngs={"dropout": key}))
    one, again, other = (train(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)
    with pytest.raises(Exception, match="dropout"):
        model.apply(variables, IMAGE, train=True)
    outputs(model, 8, 8, train=False)


def test_fused_scores_start_at_zero():
    plain, fused = (scores(skips=skips, climb=True) for skips in (0, 2))
    variables = jax.jit(partial(fused.init, train=False))(KEY, IMAGE)
    decoder = {k: v for k, v in variables["params"]["decoder"].items() if not k.startswith("score_pool")}
    params = variables["params"] | {"decoder": decoder}
    np.testing.assert_array_equal(
        jax.jit(partial(fused.apply, train=False))(variables, IMAGE),
        jax.jit(partial(plain.apply, train=False))({"params": params}, IMAGE),
    )


def test_another_encoder_keeps_its_name_and_must_have_a_level_per_width():
    stages = ((8,), (8, 8), (12,))
    encoder = ConvEncoder(stages, partial(ConvBlock, norm=None))
    for skips in (True, False):
        _, variables = outputs(models.Segmenter(CLASSES, encoder, UNetDecoder(((8,), (8,)), skips=skips)), 9, 9)
        assert set(variables["params"]) == {"encoder", "decoder", "head"}
        assert set(variables["params"]["encoder"]["stage2"]) == {"conv1", "conv2"}
        with pytest.raises(ValueError, match="A decoder of 1 stages climbs 2 levels, but the encoder gave 3"):
            outputs(models.Segmenter(CLASSES, encoder, UNetDecoder(((8,),), skips=skips)), 9, 9)


def test_fusing_more_poolings_than_there_are_is_refused():
    with pytest.raises(ValueError, match="cannot fuse the scores of 3 levels between the deepest and the finest of 4"):
        outputs(FAMILIES["fcn_scores"](skips=3), 8, 8)


@pytest.mark.parametrize("model", [models.Segmenter, models.DeeplySupervised])
def test_nnx_takes_a_model_inside_another_module(model):
    """As docs/contract.md says: by itself its field `head` stands where NNX keeps the submodule of that name."""
    image = jnp.zeros((1, 8, 8, 3))
    whole = Normalized(model(CLASSES, ConvEncoder(((4,), (4,))), UNetDecoder(((4,),))), (0.5,) * 3, (0.5,) * 3)
    bridged = bridge.lazy_init(bridge.ToNNX(whole, rngs=nnx.Rngs(0)), image, train=False)
    variables = {"params": nnx.to_pure_dict(nnx.state(bridged, nnx.Param))}
    expected = jax.eval_shape(partial(whole.init, train=False), KEY, image)
    assert jax.tree.map(jnp.shape, variables["params"]) == jax.tree.map(jnp.shape, expected["params"])
    assert jax.tree.map(jnp.shape, bridged(image, train=False)) == jax.tree.map(
        jnp.shape, jax.eval_shape(partial(whole.apply, train=False), expected, image)
    )


NOT_MADE: Any = resnet18
NO_MODELS = [
    (
        models.Segmenter(3, NOT_MADE, UNetDecoder()),
        r"Segmenter takes a module as its encoder, but got functools\.partial",
    ),
    (models.DeeplySupervised(3, NOT_MADE.func, UNetDecoder()), r"ResNet.*: make one, as encoders\.named\(NAME\) does"),
    (models.CenterNet(3, ConvEncoder(((4,),)), UNetDecoder.__name__), r"its decoder, but got 'UNet.* decoders\.named"),  # type: ignore[arg-type]
    (models.Localizer(3, NOT_MADE, models.RegressedBox()), "Localizer takes a module as its encoder"),
    (
        models.MultiHead(3, NOT_MADE, models.RegressedBox(), models.RegressedBox()),
        "MultiHead takes a module as its enc",
    ),
]


@pytest.mark.parametrize(("model", "said"), NO_MODELS, ids=[type(model).__name__ for model, _ in NO_MODELS])
def test_a_part_that_was_not_made_is_one_sentence(model: Any, said: str):
    with pytest.raises(ValueError, match=said):
        jax.eval_shape(partial(model.init, train=False), KEY, jnp.zeros((1, 16, 16, 3)))
