"""The published configurations have the papers' parameters, counted here layer by layer."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from segjax import models

VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + [(512, 512)] * 5
# From the deepest level up, as SegNet and DeconvNet both mirror VGG-16, without the last stage's second convolution.
MIRROR = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]


def parameters(model, size=32, channels=3):
    image = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def conv(window, inputs, outputs):
    """Weights and biases of a convolution."""
    return window**2 * inputs * outputs + outputs


def with_norm(window, inputs, outputs):
    """Weights of a convolution, scales and biases of the batch normalisation after it: no bias that it would cancel."""
    return window**2 * inputs * outputs + 2 * outputs


def total(count, layers, window=3):
    return sum(count(window, *layer) for layer in layers)


@pytest.mark.parametrize(
    ("name", "pools", "kernels", "published"),
    [
        ("fcn32s", [], [64], 136_152_917),
        ("fcn16s", [512], [4, 32], 134_815_994),
        ("fcn8s", [512, 256], [4, 4, 16], 134_489_759),
    ],
)
def test_fcn(name, pools, kernels, published):
    """Long et al. 2015, table 1: 134 M parameters for FCN-VGG16; the upsampling kernels have no bias."""
    backbone = total(conv, VGG16) + conv(7, 512, 4096) + conv(1, 4096, 4096)
    scores = conv(1, 4096, 21) + sum(conv(1, width, 21) for width in pools)
    upsampling = sum(kernel**2 * 21 * 21 for kernel in kernels)
    assert parameters(models.PUBLISHED[name]()) == backbone + scores + upsampling == published


def test_a_u_net_without_convolutions_is_refused():
    with pytest.raises(ValueError, match=r"the depth is 4 and convs is 0: give 0 or more, and 1 or more\."):
        models.unet(convs=0)
    with pytest.raises(ValueError, match="the depth is -1"):
        models.fcn(2, depth=-1)


def test_segnet():
    """Badrinarayanan et al. 2017: 29.45 M, counting the biases before batch normalisation."""
    layers = VGG16 + MIRROR
    ours = total(with_norm, layers) + conv(3, 64, 12)
    assert parameters(models.segnet()) == ours == 29_441_996
    cancelled = sum(outputs for _, outputs in layers)
    assert round((ours + cancelled) / 1e6, 2) == 29.45


def test_segnet_basic():
    """Badrinarayanan et al. 2017, table 1: 1.425 M."""
    ours = total(with_norm, [(3, 64)] + [(64, 64)] * 7, window=7) + conv(1, 64, 11)
    assert parameters(models.segnet_basic()) == ours == 1_416_075
    assert abs(ours / 1.425e6 - 1) < 0.01


def test_deconvnet():
    """Noh et al. 2015: about 252 M."""
    layers = VGG16 + MIRROR + [(64, 64)]
    bottleneck = with_norm(7, 512, 4096) + with_norm(1, 4096, 4096) + with_norm(7, 4096, 512)
    ours = total(with_norm, layers) + bottleneck + conv(1, 64, 21)
    assert parameters(models.deconvnet()) == ours == 251_788_949
    assert round(ours / 1e6) == 252


def test_unet():
    """Ronneberger et al. 2015: 31.03 M in the usual count, for two classes of one-channel images."""
    widths = [64, 128, 256, 512, 1024]
    down = [(1, 64)] + [(width, width) for width in widths] + [(width, 2 * width) for width in widths[:-1]]
    up = [(2 * width, width) for width in widths[:-1]] + [(width, width) for width in widths[:-1]]
    transposed = sum(conv(2, 2 * width, width) for width in widths[:-1])
    ours = total(conv, down + up) + transposed + conv(1, 64, 2)
    assert parameters(models.unet(), channels=1) == ours == 31_030_658
    assert parameters(models.unet()) == ours + 9 * 2 * 64


@pytest.mark.parametrize("name", models.PUBLISHED)
def test_number_of_classes_and_paper(name):
    make = models.PUBLISHED[name]
    image = jax.ShapeDtypeStruct((1, 50, 70, 3), jnp.float32)
    logits, _ = jax.eval_shape(partial(make(7).init_with_output, train=False), jax.random.key(0), image)
    assert logits.shape == (1, 50, 70, 7)
    assert " et al. 20" in (make.__doc__ or "").splitlines()[0]


def test_a_base_makes_them_smaller():
    for make in (models.segnet, models.deconvnet, models.unet):
        assert 14 < parameters(make(4)) / parameters(make(4, base=16)) < 17
