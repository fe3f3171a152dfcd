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
    levels = [jnp.asarray(RNG.standard_normal((2, *size, 3)), jnp.float32) for size in ((7, 5), (4, 3), (2, 2))]
    total = 0.0
    for logits, weight in zip(levels, (4, 2, 1), strict=True):
        rows, columns = logits.shape[1:3]
        nearest = np.array(
            [[[mask[n, int((i + 0.5) * 7 / rows), int((j + 0.5) * 5 / columns)] for j in range(columns)]
              for i in range(rows)] for n in range(2)]
        )  # fmt: skip
        total += weight / 7 * float(losses.cross_entropy(logits, jnp.asarray(nearest)))
    found = losses.deep_supervision(losses.cross_entropy)(levels, jnp.asarray(mask))
    np.testing.assert_allclose(found, total, rtol=1e-6)
    alone = losses.deep_supervision(losses.dice, weights=(1, 0, 0))(levels, jnp.asarray(mask))
    np.testing.assert_allclose(alone, losses.dice(levels[0], jnp.asarray(mask)), rtol=1e-6)


def test_bands_of_labels_are_brought_to_every_level():
    mask = jnp.asarray(RNG.integers(0, 2, (2, 6, 4, 3)))
    levels = [jnp.asarray(RNG.standard_normal((2, *size, 3)), jnp.float32) for size in ((6, 4), (3, 2))]
    found = losses.deep_supervision(losses.sigmoid_dice)(levels, mask)
    whole, half = losses.sigmoid_dice(levels[0], mask), losses.sigmoid_dice(levels[1], mask[:, 1::2, 1::2])
    np.testing.assert_allclose(found, (2 * whole + half) / 3, rtol=1e-6)


def test_weights_that_are_not_as_many_as_the_levels_are_refused():
    with pytest.raises(ValueError, match="deep_supervision has 1 weights, but the model returned logits of 2 levels"):
        losses.deep_supervision(losses.dice, weights=(1,))([jnp.zeros((1, 4, 4, 2))] * 2, jnp.zeros((1, 4, 4), int))


def test_a_unet_gives_every_level_in_training_and_the_finest_in_evaluation():
    image = np.zeros((1, 9, 8, 3), np.float32)
    encoder, decoder = ConvEncoder(((4, 4),) * 3), UNetDecoder()
    model = DeeplySupervised(3, encoder, decoder)
    variables = model.init(jax.random.key(0), image, train=False)
    levels, _ = model.apply(variables, image, train=True, mutable=["batch_stats"])
    assert [logits.shape for logits in levels] == [(1, 9, 8, 3), (1, 5, 4, 3)]
    plain = Segmenter(3, encoder, decoder).apply(variables, image, train=False)
    np.testing.assert_array_equal(model.apply(variables, image, train=False), plain)
