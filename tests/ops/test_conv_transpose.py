import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jax import lax

from segjax.ops import conv_transpose

INPUT_DILATION = re.compile(r"lhs_dilate ?= ?(\[(?!1, 1\])|(?!1x1)\d)")


class Geometry(NamedTuple):
    size: tuple[int, int]
    taps: tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    output_padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1

    def out(self):
        """Rows and columns, counted as torch's documentation does."""
        pairs = [(v, v) if isinstance(v, int) else v for v in self[2:6]]
        return [
            (i - 1) * s - 2 * p + d * (k - 1) + o + 1
            for i, k, s, p, o, d in zip(self.size, self.taps, *pairs, strict=True)
        ]

    def arrays(self, dtype=np.float32, batch=2, inputs=2, outputs=3):
        """x, kernel and the output's gradient; `inputs` and `outputs` are channels of a group."""
        rng = np.random.default_rng(0)
        shapes = [
            (batch, *self.size, self.groups * inputs),
            (*self.taps, self.groups * inputs, outputs),
            (batch, *self.out(), self.groups * outputs),
        ]
        return [rng.standard_normal(shape).astype(dtype) for shape in shapes]

    def call(self, x, kernel):
        options = self._asdict()
        del options["size"], options["taps"]
        return conv_transpose(x, kernel, **options)


# The classic upsamplings, and then geometries in which some phase has no tap, or taps that all miss the input, and
# more channels in small groups than one convolution takes.
CLASSIC = [
    Geometry((5, 4), (2, 2), strides=2),
    Geometry((4, 5), (3, 3), strides=2, padding=1, output_padding=1),
    Geometry((4, 3), (4, 4), strides=2, padding=1),
    Geometry((3, 2), (16, 16), strides=8, padding=4),
]
ODD = [
    Geometry((4, 3), (2, 2), strides=2, output_padding=1, groups=2),
    Geometry((3, 4), (1, 2), strides=3, output_padding=2),
    Geometry((1, 1), (1, 1), strides=5, padding=2, output_padding=4),
    Geometry((1, 3), (1, 2), strides=(1, 2), padding=(2, 1), output_padding=(5, 0), dilation=(6, 1)),
    Geometry((1, 3), (3, 2), strides=(3, 1), padding=(4, 0), dilation=(4, 1)),
    Geometry((1, 3), (2, 2), strides=(2, 1), padding=(1, 5), dilation=(3, 10)),
    Geometry((2, 3), (3, 2), strides=(4, 3), padding=(0, 2), output_padding=(3, 1), dilation=(2, 3), groups=3),
    Geometry((3, 4), (3, 3), strides=2, padding=1, output_padding=1, groups=20),
]


@st.composite
def geometries(draw):
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    strides, dilation = pair(1, 4), pair(1, 3)
    outer = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilation, strict=True)]
    size, taps, groups = pair(1, 33), pair(1, 5), draw(st.integers(1, 3))
    geometry = Geometry(size, taps, strides, pair(0, 5), (outer[0], outer[1]), dilation, groups)
    assume(min(geometry.out()) > 0)
    return geometry


def examples(cases):
    def decorate(test):
        for case in cases:
            test = example(case)(test)
        return test

    return decorate


def forward_and_back(geometry, x, kernel, gradient):
    """The output and the gradients of x and kernel."""
    y, pull = jax.vjp(geometry.call, x, kernel)
    return y, *pull(gradient)


def with_gradients(geometry, x, kernel, gradient):
    """The same, in one program."""
    return jax.jit(partial(forward_and_back, geometry))(x, kernel, gradient)


def torch_reference(geometry, x, kernel, gradient):
    """The same from torch in float64."""
    image = lambda a: torch.from_numpy(a.astype(np.float64).transpose(0, 3, 1, 2))  # noqa: E731
    tx, weight = image(x), torch.from_numpy(kernel.astype(np.float64).transpose(2, 3, 0, 1))
    tx.requires_grad_()
    weight.requires_grad_()
    _, _, strides, padding, output_padding, dilation, groups = geometry
    y = torch.nn.functional.conv_transpose2d(tx, weight, None, strides, padding, output_padding, groups, dilation)
    dx, dkernel = torch.autograd.grad(y, (tx, weight), image(gradient))
    back = lambda a: a.detach().numpy().transpose(0, 2, 3, 1)  # noqa: E731
    return back(y), back(dx), dkernel.numpy().transpose(2, 3, 0, 1)


def assert_close(results, references, tolerances):
    for result, reference, tolerance in zip(results, references, tolerances, strict=True):
        assert result.shape == reference.shape
        np.testing.assert_allclose(result, reference, rtol=0, atol=tolerance * max(abs(reference).max(), 1e-3))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(geometries())
@examples(CLASSIC + ODD)
def test_equals_torch(geometry):
    arrays = geometry.arrays()
    assert_close(with_gradients(geometry, *arrays), torch_reference(geometry, *arrays), (1e-6, 1e-5, 1e-5))


@pytest.mark.parametrize("geometry", [CLASSIC[1], ODD[-2]])
def test_equals_torch_in_float64(geometry):
    with jax.enable_x64(True):
        arrays = geometry.arrays(np.float64)
        results = with_gradients(geometry, *arrays)
        assert results[0].dtype == jnp.float64
        assert_close(results, torch_reference(geometry, *arrays), (1e-14, 1e-13, 1e-13))


@pytest.mark.parametrize("geometry", [CLASSIC[0], CLASSIC[1], Geometry((2, 3), (3, 2), 3, 1, 1, 1, groups=2)])
def test_gradients_to_second_order_by_finite_differences(geometry):
    with jax.enable_x64(True):
        x, kernel, _ = geometry.arrays(np.float64, batch=1)
        check_derivatives(geometry.call, x, kernel)


def squared_gradients(geometry, x, kernel):
    """A scalar whose gradient is of second order in both arguments."""
    energy = lambda x, kernel: jnp.sum(geometry.call(x, kernel) ** 2)  # noqa: E731
    return sum(jnp.sum(g**2) for g in jax.grad(energy, (0, 1))(x, kernel))


def dilates_input(stage):
    """Whether a program, lowered or compiled, has a convolution of a dilated input."""
    text = stage.as_text()
    assert "convolution" in text
    return bool(INPUT_DILATION.search(text))


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
@pytest.mark.parametrize("geometry", CLASSIC)
def test_no_convolution_dilates_its_input(geometry, platform):
    x, kernel, _ = geometry.arrays(inputs=4)
    second_order = jax.grad(lambda *arguments: squared_gradients(geometry, *arguments), (0, 1))
    assert not dilates_input(jax.jit(second_order).trace(x, kernel).lower(lowering_platforms=(platform,)))


def test_compiled_gradient_dilates_no_input():
    x, kernel, gradient = CLASSIC[1].arrays(inputs=4)
    lowered = jax.jit(lambda *a: jax.vjp(CLASSIC[1].call, *a[:2])[1](a[2])).lower(x, kernel, gradient)
    assert not dilates_input(lowered.compile())


def test_input_dilation_would_be_seen():
    pads, names = [(1, 2), (1, 2)], ("NHWC", "HWIO", "NHWC")
    dilated = lambda x, kernel: lax.conv_general_dilated(x, kernel, (1, 1), pads, (2, 2), dimension_numbers=names)  # noqa: E731
    lowered = jax.jit(dilated).lower(*CLASSIC[1].arrays(inputs=4)[:2])
    assert dilates_input(lowered)
    assert dilates_input(lowered.compile())


@pytest.mark.parametrize("geometry", [CLASSIC[1], Geometry((5, 3), (4, 3), (3, 2), (1, 2), 1, (1, 3), groups=2)])
def test_kernel_gradient_of_other_platforms(geometry, without_cpu_forms):
    arrays = geometry.arrays()
    assert_close(with_gradients(geometry, *arrays), torch_reference(geometry, *arrays), (1e-6, 1e-5, 1e-5))


@pytest.mark.usefixtures("as_on_tpus")
@pytest.mark.parametrize("geometry", [*CLASSIC[:3], ODD[4], ODD[6]])
def test_dilated_it_equals_torch(geometry):
    arrays = geometry.arrays()
    assert_close(with_gradients(geometry, *arrays), torch_reference(geometry, *arrays), (1e-6, 1e-6, 1e-5))


@pytest.mark.parametrize("geometry", [CLASSIC[0], CLASSIC[1]])
def test_vmap_is_a_loop(geometry):
    x, kernel, gradient = (np.stack([a, a[::-1], -a]) for a in geometry.arrays())
    mapped = jax.jit(jax.vmap(partial(forward_and_back, geometry)))(x, kernel, gradient)
    looped = [with_gradients(geometry, *arrays) for arrays in zip(x, kernel, gradient, strict=True)]
    assert_close(mapped, [np.stack(parts) for parts in zip(*looped, strict=True)], (1e-6, 1e-6, 1e-6))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("geometry", CLASSIC[:2])
def test_half_precision(geometry, dtype):
    arrays = [np.asarray(jnp.asarray(a, dtype)) for a in geometry.arrays()]
    results = with_gradients(geometry, *arrays)
    assert all(result.dtype == dtype for result in results)
    reference = torch_reference(geometry, *arrays)
    assert_close([np.asarray(r, np.float64) for r in results], reference, [float(jnp.finfo(dtype).eps)] * 3)


@pytest.mark.parametrize("geometry", CLASSIC[:2])
def test_empty_batch(geometry):
    x, kernel, gradient = geometry.arrays(batch=0)
    y, dx, dkernel = with_gradients(geometry, x, kernel, gradient)
    assert (y.shape, dx.shape) == (gradient.shape, x.shape)
    np.testing.assert_array_equal(dkernel, np.zeros_like(kernel))


@pytest.mark.parametrize(
    ("x", "kernel", "arguments", "says"),
    [
        ((4, 4, 2), (3, 3, 2, 1), {}, r"x \(n, h, w, c\).*\(4, 4, 2\)"),
        ((1, 4, 4, 2), (3, 3, 4, 1), {}, r"\(3, 3, 4, 1\) for x \(1, 4, 4, 2\)"),
        ((1, 4, 4, 3), (3, 3, 3, 1), {"groups": 2}, r"divide the channels of x \(1, 4, 4, 3\), got groups=2"),
        ((1, 0, 4, 2), (3, 3, 2, 1), {}, r"needs pixels, channels and taps, got x \(1, 0, 4, 2\)"),
        ((1, 4, 4, 2), (3, 3, 2, 1), {"strides": 2, "output_padding": (1, 2)}, "output_padding 2 with stride 2"),
        ((1, 2, 4, 2), (3, 3, 2, 1), {"padding": 2}, r"x \(1, 2, 4, 2\) .* leaves 0 rows and 2 columns"),
        ((1, 4, 4, 2), (3, 3, 2, 1), {"strides": 0}, "strides must be"),
        ((1, 4, 4, 2), (3, 3, 2, 1), {"padding": (0, -1)}, "padding must be"),
    ],
)
def test_bad_geometry(x, kernel, arguments, says):
    with pytest.raises(ValueError, match=says):
        conv_transpose(jnp.zeros(x), jnp.zeros(kernel), **arguments)


def test_two_dtypes():
    with pytest.raises(ValueError, match="x bfloat16 and kernel float32"):
        conv_transpose(jnp.zeros((1, 2, 2, 1), jnp.bfloat16), jnp.zeros((2, 2, 1, 1)))
