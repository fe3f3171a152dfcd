from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.models import DeeplySupervised, Segmenter

RNG = np.random.default_rng(0)


def test_levels_are_weighed_and_compared_with_the_nearest_pixel_of_the_mask():
    mask = RNG.integers(0, 3, (2, 7, 5))
    levels = [RNG.standard_normal((2, *size, 3), np.float32) for size in ((7, 5), (4, 3), (2, 2))]
    total = 0.0
    for logits, weight in zip(levels, (4, 2, 1), strict=True):
        rows, columns = logits.shape[1:3]
        nearest = np.array(
            [[[mask[n, int((i + 0.5) * 7 / rows), int((j + 0.5) * 5 / columns)] for j in range(columns)]
              for i in range(rows)] for n in range(2)]
        )  # fmt: skip
        total += weight / 7 * float(jax.jit(losses.cross_entropy)(logits, nearest))
    found = jax.jit(losses.deep_supervision(losses.cross_entropy))(levels, mask)
    np.testing.assert_allclose(found, total, rtol=1e-6)
    alone = jax.jit(losses.deep_supervision(losses.dice, weights=(1, 0, 0)))(levels, mask)
    np.testing.assert_allclose(alone, jax.jit(losses.dice)(levels[0], mask), rtol=1e-6)


def test_bands_of_labels_are_brought_to_every_level():
    mask = RNG.integers(0, 2, (2, 6, 4, 3))
    levels = [RNG.standard_normal((2, *size, 3), np.float32) for size in ((6, 4), (3, 2))]
    found = jax.jit(losses.deep_supervision(losses.sigmoid_dice))(levels, mask)
    dice = jax.jit(losses.sigmoid_dice)
    whole, half = dice(levels[0], mask), dice(levels[1], mask[:, 1::2, 1::2])
    np.testing.assert_allclose(found, (2 * whole + half) / 3, rtol=1e-6)


def test_weights_that_are_not_as_many_as_the_levels_are_refused():
    with pytest.raises(ValueError, match="deep_supervision has 1 weights, but the model returned logits of 2 levels"):
        losses.deep_supervision(losses.dice, weights=(1,))([jnp.zeros((1, 4, 4, 2))] * 2, jnp.zeros((1, 4, 4), int))
    with pytest.raises(ValueError, match="needs logits of at least one level, and the model returned none"):
        losses.deep_supervision(losses.dice)([], jnp.zeros((1, 4, 4), int))


def test_a_unet_gives_every_level_in_training_and_the_finest_in_evaluation():
    image = np.zeros((1, 9, 8, 3), np.float32)
    encoder, decoder = ConvEncoder(((4, 4),) * 3), UNetDecoder()
    model = DeeplySupervised(3, encoder, decoder)
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(0), image)
    trained = partial(model.apply, train=True, mutable=["batch_stats"])
    levels, _ = jax.eval_shape(trained, variables, image)
    assert [logits.shape for logits in levels] == [(1, 9, 8, 3), (1, 5, 4, 3)]
    run, plain = (jax.jit(partial(each.apply, train=False)) for each in (model, Segmenter(3, encoder, decoder)))
    np.testing.assert_array_equal(run(variables, image), plain(variables, image))
