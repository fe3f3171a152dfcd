"""Depthwise convolutions by shifted products beside torch's in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives

from segjax.ops import conv

CHANNELS = 5


def arrays(size: tuple[int, ...], taps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((taps, taps, 1, CHANNELS)).astype(np.float32)
    return rng.standard_normal((*size, CHANNELS)).astype(np.float32), kernel


@pytest.mark.parametrize("size", [(2, 13, 10), (1, 8, 12), (1, 2, 1)])
@pytest.mark.parametrize(
    ("taps", "stride", "dilation", "padding"),
    [
        (3, 1, 1, ((1, 1), (1, 1))),
        (3, 2, 1, ((1, 1), (1, 1))),
        (3, 2, 1, ((0, 1), (1, 2))),
        (3, 1, 2, ((2, 2), (2, 2))),
        (3, 2, 2, ((2, 2), (2, 2))),
        (5, 1, 1, ((2, 2), (2, 2))),
        (5, 2, 1, ((2, 2), (2, 3))),
        (5, 3, 1, ((2, 2), (3, 2))),
        (7, 1, 1, ((3, 3), (3, 3))),
        (3, 1, 9, ((9, 9), (9, 9))),  # the outer taps see some of 13 rows, and none of 8
        (5, 2, 6, ((12, 12), (13, 11))),
        (3, 1, 40, ((40, 40), (41, 39))),  # the middle one alone sees anything
        (2, 1, 30, ((30, 15), (15, 30))),  # along the rows of few none does
    ],
)
def test_equals_torch(size: Any, taps: int, stride: int, dilation: int, padding: Any):
    x, kernel = arrays(size, taps)
    image = torch.from_numpy(x.astype(np.float64).transpose(0, 3, 1, 2)).requires_grad_()
    weight = torch.from_numpy(kernel.astype(np.float64).transpose(3, 2, 0, 1)).requires_grad_()
    (top, bottom), (left, right) = padding
    padded = torch.nn.functional.pad(image, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, weight, None, stride, 0, dilation, CHANNELS)

    @jax.jit
    def run(x: Any, kernel: Any, gradient: Any) -> Any:
        steps = {"stride": stride, "dilation": dilation, "groups": CHANNELS}
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, padding, **steps), x, kernel)
        return y, *pull(gradient)

    shape = expected.permute(0, 2, 3, 1).shape
    gradient = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    upstream = torch.from_numpy(gradient.astype(np.float64).transpose(0, 3, 1, 2))
    dx, dkernel = torch.autograd.grad(expected, (image, weight), upstream)
    values = expected.detach().numpy().transpose(0, 2, 3, 1), dx.numpy().transpose(0, 2, 3, 1)
    for found, value in zip(run(x, kernel, gradient), (*values, dkernel.numpy().transpose(2, 3, 1, 0)), strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=2e-6 * abs(value).max())


def test_gradients_of_every_order():
    def squares(x: Any, kernel: Any) -> Any:
        return conv(jnp.sin(x), kernel, "SAME", stride=2, groups=CHANNELS) ** 2

    with jax.enable_x64(True):
        case = tuple(array.astype(np.float64) for array in arrays((1, 6, 5), 3))
        check_derivatives(squares, *case)


def test_a_mapped_axis_is_a_loop_over_it():
    x, kernel = map(jnp.asarray, arrays((3, 6, 5), 3))
    mapped = jax.vmap(lambda one: conv(one[None], kernel, 1, groups=CHANNELS)[0])(x)
    np.testing.assert_allclose(mapped, conv(x, kernel, 1, groups=CHANNELS), atol=1e-5)


def test_sixteen_bits_are_summed_in_thirty_two():
    x, kernel = arrays((1, 9, 9), 5)
    low = jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16)
    y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, 2, groups=CHANNELS), *low)
    assert {a.dtype for a in (y, *pull(y))} == {jnp.dtype(jnp.bfloat16)}
    exact = conv(low[0].astype(jnp.float32), low[1].astype(jnp.float32), 2, groups=CHANNELS)
    np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(("platform", "taps", "convolved"), [("cpu", 7, False), ("cuda", 7, True), ("cpu", 9, True)])
def test_only_small_kernels_on_a_cpu_are_shifted(platform: str, taps: int, convolved: bool):
    x, kernel = arrays((1, 9, 9), taps)
    run = jax.jit(lambda x, kernel: conv(x, kernel, "SAME", groups=CHANNELS))
    text = run.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.convolution" in text) == convolved
