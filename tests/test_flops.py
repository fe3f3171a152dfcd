"""Operations beside known numbers and torch's own counter."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
import torch
from smp import smp
from torch.utils.flop_counter import FlopCounterMode

from segjax import encoders, models, ops
from segjax.flops import flops_of

KEY = jax.random.key(0)


def flops(function, *arguments):
    return flops_of(jax.make_jaxpr(function)(*arguments))


def of_model(model, *size):
    return flops(partial(model.init_with_output, train=False), KEY, jax.ShapeDtypeStruct((1, *size, 3), jnp.float32))


@pytest.mark.parametrize(
    ("classifier", "expected"),  # torchvision's, of its classifiers at 224
    [
        (models.Classifier(encoders.resnet50()), 4.089e9),
        (
            models.Classifier(
                encoders.mobilenet_v2(), dense="classifier_1", conv=("features_18_0", "features_18_1"), width=1280
            ),
            0.301e9,
        ),
    ],
)
def test_classifiers_have_the_published_multiply_adds(classifier, expected):
    assert of_model(classifier, 224, 224) == pytest.approx(2 * expected, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("Linknet", "resnet18"),  # transposed convolutions
        ("Segformer", "mit_b0"),  # attention
    ],
)
def test_networks_have_those_that_torch_counts(kind, encoder):
    ours = getattr(models, f"smp_{kind.lower()}")(encoders.BY_NAME[encoder](), 3)
    theirs = getattr(smp, kind)(encoder, encoder_weights=None, classes=3).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with counter:
        theirs(torch.zeros(1, 3, 64, 96, device="meta"))
    assert of_model(ours, 64, 96) == counter.get_total_flops()


@pytest.mark.parametrize(("factor", "overlap"), [(2, 0), (2, 1), (4, 1)])
def test_transposed_convolutions_multiply_no_zeros(factor, overlap):
    taps = factor + overlap
    x, kernel = jnp.zeros((1, 8, 12, 5)), jnp.zeros((taps, taps, 5, 7))
    padding = {"padding": overlap // 2, "output_padding": 0}
    assert flops(partial(ops.conv_transpose, strides=factor, **padding), x, kernel) == 2 * 8 * 12 * taps**2 * 5 * 7


def test_carafe_counts_what_it_reassembles():
    x, kernels = jnp.zeros((1, 4, 6, 8)), jnp.zeros((1, 8, 12, 25))
    assert flops(ops.carafe, x, kernels) == 2 * 8 * 12 * 25 * 8
    assert flops(ops.window_similarity, jnp.zeros((1, 8, 12, 8)), x) == 2 * 8 * 12 * 25 * 8


def test_loops_count_each_time_and_branches_the_longest():
    x = jnp.zeros((3, 3))

    def square(c, _):
        return c @ c, None

    assert flops(lambda x: jax.lax.scan(square, x, length=5)[0], x) == 5 * 2 * 27
    assert flops(lambda x: jax.lax.cond(x.sum() > 0, lambda x: x @ x @ x, lambda x: x @ x, x), x) == 2 * 2 * 27


def test_what_nothing_is_made_of_is_not_counted():
    def function(x):
        return x @ x, jax.nn.relu(x @ x @ x)

    x = jnp.zeros((4, 4))
    assert flops(lambda x: function(x)[0], x) == 2 * 4**3
    assert flops(function, x) == 3 * 2 * 4**3
