import math

import jax
import numpy as np
import pytest

from segjax.layers import ConvBlock
from segjax.models import unet
from segjax.train import kernels, schedule


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("poly", lambda s: 0.2 * (1 - s / 90) ** 0.9),
        ("cosine", lambda s: 0.2 * 0.5 * (1 + math.cos(math.pi * s / 90))),
        ("constant", lambda s: 0.2),
    ],
)
def test_schedules_are_their_papers_formulas_after_a_linear_warm_up(kind, expected):
    rate = schedule(kind, 0.2, 100, warmup=10)
    found = [np.asarray(rate(step)) for step in range(101)]
    np.testing.assert_allclose(found[:10], 0.02 * np.arange(10), atol=1e-7)
    np.testing.assert_allclose(found[10:], [expected(step) for step in range(91)], atol=1e-6)


def test_one_cycle_rises_to_the_rate_and_falls():
    found = [np.asarray(schedule("one_cycle", 0.2, 100)(step)) for step in range(100)]
    assert max(found) == pytest.approx(0.2, rel=1e-3)
    assert found[0] < 0.02
    assert found[-1] < 0.001


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(ValueError, match="warmup is 5 steps of 5; give it fewer"):
        schedule("poly", 0.1, 5, warmup=5)


def test_kernels_decay_and_biases_and_scales_do_not():
    model = unet(2, 4, depth=1, block=ConvBlock)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), train=False))
    for path, decays in jax.tree_util.tree_leaves_with_path(kernels(params["params"])):
        assert decays == (path[-1].key == "kernel")
