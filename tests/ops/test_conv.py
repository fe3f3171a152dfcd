import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from jax import lax

from segjax.ops import conv


def arrays(size, taps, dtype="float32", channels=3, features=2):
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((*taps, channels, features)).astype(dtype)
    return rng.standard_normal((*size, channels)).astype(dtype), kernel


def assert_equals_torch(x, kernel, padding, stride=1, dilation=1, groups=1):
    """The output and the gradients of both, by one program, beside torch's in float64."""
    image = lambda a: torch.from_numpy(a.astype(np.float64).transpose(0, 3, 1, 2))  # noqa: E731
    back = lambda a: a.detach().numpy().transpose(0, 2, 3, 1)  # noqa: E731
    tx = image(x).requires_grad_()
    weight = torch.from_numpy(kernel.astype(np.float64).transpose(3, 2, 0, 1).copy()).requires_grad_()
    (top, bottom), (left, right) = padding
    padded = torch.nn.functional.pad(tx, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, weight, None, stride, 0, dilation, groups)
    gradient = np.random.default_rng(1).standard_normal(back(y).shape).astype(np.float32)
    dx, dkernel = torch.autograd.grad(y, (tx, weight), image(gradient))

    @jax.jit
    def run(x, kernel, gradient):
        steps = {"stride": stride, "dilation": dilation, "groups": groups}
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, padding, **steps), x, kernel)
        return y, *pull(gradient)

    values = back(y), back(dx), dkernel.numpy().transpose(2, 3, 1, 0)
    for found, value in zip(run(x, kernel, gradient), values, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=2e-6 * abs(value).max(initial=0))


SIZES = pytest.mark.parametrize(
    ("size", "taps", "padding"),
    [
        ((1, 16, 9), (3, 3), ((1, 1), (1, 1))),
        ((2, 32, 5), (3, 3), ((1, 1), (1, 1))),
        ((3, 21, 4), (5, 2), ((2, 1), (0, 1))),  # 20 rows
        ((1, 18, 8), (3, 3), ((0, 0), (0, 0))),  # 16 rows
        ((1, 19, 8), (4, 1), ((0, 0), (0, 0))),
        ((1, 17, 8), (3, 3), ((1, 1), (1, 1))),  # 17 rows make no equal strips
        ((1, 12, 8), (3, 3), ((1, 1), (1, 1))),  # 3 strips
        ((2, 24, 8), (3, 3), ((3, 0), (-1, 4))),
        ((8, 16, 8), (3, 3), ((1, 1), (1, 1))),  # enough images
        ((0, 16, 8), (3, 3), ((1, 1), (1, 1))),
        ((1, 1, 1), (3, 3), ((1, 1), (1, 1))),
    ],
)


@SIZES
def test_equals_torch(size, taps, padding):
    assert_equals_torch(*arrays(size, taps), padding)


@SIZES
@pytest.mark.parametrize(("channels", "features"), [(3, 2), (2, 3)])  # either is what is convolved
def test_equals_torch_beside_eigen(size, taps, padding, channels, features, choose_eigen):
    choose_eigen()
    assert_equals_torch(*arrays(size, taps, channels=channels, features=features), padding)


@pytest.mark.parametrize("eigen", [False, True])
@pytest.mark.parametrize("size", [(2, 13, 9), (1, 8, 12)])
@pytest.mark.parametrize(
    ("taps", "stride", "dilation", "groups", "padding"),
    [
        (3, 2, 1, 1, 1),
        (7, 2, 1, 1, 3),
        (3, 1, 2, 1, 2),
        (3, 2, 1, 6, 1),
        (5, 1, 1, 6, 2),
        (5, 2, 1, 6, 2),
        (3, 1, 4, 6, 4),
        (3, 2, 1, 2, 1),
        (1, 2, 1, 1, 0),
        (2, 2, 1, 1, 0),
    ],
)
def test_strides_dilations_and_groups_are_torchs(size, taps, stride, dilation, groups, padding, eigen, choose_eigen):
    if eigen:
        choose_eigen()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*size, 6)).astype(np.float32)
    kernel = rng.standard_normal((taps, taps, 6 // groups, 12)).astype(np.float32)
    assert_equals_torch(x, kernel, ((padding, padding),) * 2, stride, dilation, groups)


@pytest.mark.parametrize(
    ("size", "taps", "stride", "padding", "channels", "features"),
    [
        ((1, 6, 8), (3, 3), 1, ((1, 1), (1, 1)), 16, 2),  # four columns at once
        ((1, 6, 6), (3, 3), 1, ((1, 1), (1, 1)), 16, 8),  # two, as four do not divide the width
        ((2, 5, 9), (5, 4), 1, ((0, 3), (2, 1)), 3, 21),
        ((1, 6, 7), (3, 3), 1, ((1, 1), (1, 1)), 2, 2),  # an odd width
        ((1, 6, 8), (3, 3), 1, ((1, 1), (1, 1)), 4, 1),
        ((2, 18, 22), (7, 7), 2, ((3, 3), (3, 3)), 3, 4),  # a stride's pixels as channels
        ((2, 19, 21), (7, 7), 2, ((3, 2), (3, 1)), 1, 4),
        ((1, 17, 18), (8, 5), 2, ((-1, 0), (6, 0)), 4, 5),
        ((1, 40, 24), (7, 7), 3, ((3, 3), (3, 3)), 1, 5),
        ((1, 23, 41), (5, 9), (1, 4), ((3, 3), (3, 3)), 4, 5),
        ((1, 64, 12), (7, 5), (2, 3), ((3, 2), (0, 0)), 2, 3),  # strips of 8 rows
    ],
)
def test_few_channels_or_features(size, taps, stride, padding, channels, features, choose_eigen):
    choose_eigen()
    x, kernel = arrays(size, taps, channels=channels, features=features)
    assert_equals_torch(x, kernel, padding, stride)


@pytest.mark.parametrize(
    ("channels", "features", "taps", "stride", "expected"),
    [
        (16, 2, 3, 1, "3x6x16x8"),
        (16, 8, 3, 1, "3x6x16x32"),
        (16, 21, 3, 1, "3x4x16x42"),
        (32, 25, 3, 1, "3x3x32x25"),
        (16, 1, 3, 1, "3x3x16x1"),
        (3, 64, 7, 2, "4x4x12x64"),
        (5, 64, 7, 2, "7x7x5x64"),
        (3, 64, 3, 2, "3x3x3x64"),
    ],
)
def test_which_are_regrouped(channels, features, taps, stride, expected, choose_eigen):
    choose_eigen()
    x, kernel = arrays((1, 16, 16), (taps, taps), channels=channels, features=features)
    lowered = jax.jit(lambda x, kernel: conv(x, kernel, 1, stride=stride)).lower(x, kernel).as_text()
    (kernel_shape,) = re.findall(r"stablehlo\.convolution.*: \(tensor<[^>]*>, tensor<([\dx]*)xf32>\)", lowered)
    assert kernel_shape == expected


def test_same_padding_is_of_the_actual_size():
    x, kernel = map(jnp.asarray, arrays((1, 18, 7), (3, 3)))
    y = conv(x, kernel, "SAME", stride=2)
    assert y.shape == (1, 9, 4, 2)
    np.testing.assert_allclose(y, conv(x, kernel, ((0, 1), (1, 1)), stride=2), atol=1e-5)
    assert conv(x, kernel, "SAME", dilation=3).shape == (1, 18, 7, 2)


def test_channels_and_groups_have_to_fit():
    x, kernel = map(jnp.asarray, arrays((1, 8, 8), (3, 3)))
    with pytest.raises(ValueError, match="expected 6 channels in, and features that 2 divides"):
        conv(x, kernel, 1, groups=2)
    with pytest.raises(ValueError, match=r"^conv computes in one dtype, got x float32 and kernel bfloat16: cast one"):
        jax.eval_shape(conv, jnp.ones((1, 8, 8, 6)), jnp.ones((3, 3, 6, 4), jnp.bfloat16))
    with pytest.raises(ValueError, match="stride"):
        conv(x, kernel, 1, stride=0)
    with pytest.raises(ValueError, match=r"conv needs \(n h w c\) and a kernel \(kh kw c k\), got shapes \(8, 8"):
        conv(x[0], kernel, 1)


@pytest.mark.parametrize("padding", [(1, 2), "some", (1, 2, 3)])
def test_paddings_are_torchs_or_refused(padding):
    x, kernel = map(jnp.asarray, arrays((1, 8, 9), (3, 3)))
    if padding == (1, 2):
        np.testing.assert_array_equal(conv(x, kernel, padding), conv(x, kernel, ((1, 1), (2, 2))))
        return
    with pytest.raises(ValueError, match=rf"^padding must be .*, got {re.escape(repr(padding))}\.$"):
        conv(x, kernel, padding)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(
    ("taps", "padding", "dilation"), [((7, 1), 1, 1), ((1, 4), "VALID", 1), ((2, 2), 0, 4), ((0, 1), 0, 1)]
)
def test_a_kernel_that_does_not_fit_is_refused(taps, padding, dilation, groups):
    """There was no pixel in what came out, and its gradient was an error of the compiler's."""
    x, kernel = jnp.zeros((1, 4, 3, 4)), jnp.zeros((*taps, 4 // groups, 4))
    with pytest.raises(
        ValueError, match=r"^conv of x \(1, 4, 3, 4\) with kernel .* has no output: the kernel needs taps"
    ):
        conv(x, kernel, padding, dilation=dilation, groups=groups)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_paddings_have_names(padding):
    x, kernel = map(jnp.asarray, arrays((1, 18, 7), (3, 2)))
    plain = lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_array_equal(conv(x, kernel, padding), plain)


def test_gradients_of_every_order():
    def squares(x, kernel):
        return conv(jnp.sin(x), kernel, "SAME") ** 2

    with jax.enable_x64(True):
        case = arrays((1, 16, 3), (3, 3), "float64")
        check_derivatives(squares, *case)


def test_keeps_bfloat16():
    x, kernel = arrays((1, 16, 8), (3, 3))
    low = (jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16))
    y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, "SAME"), *low)
    assert {a.dtype for a in (y, *pull(y))} == {jnp.dtype(jnp.bfloat16)}
    exact = jax.vjp(lambda x, kernel: conv(x, kernel, "SAME"), x, kernel)[1](np.asarray(y, np.float32))
    for found, value in zip(pull(y), exact, strict=True):
        np.testing.assert_allclose(np.asarray(found, np.float32), value, rtol=0, atol=2e-2 * float(abs(value).max()))


def images_summed(images):
    """How many images the convolution of the kernel's gradient sums over, as XLA:CPU would see it."""
    x, kernel = map(jnp.asarray, arrays((images, 16, 8), (3, 3)))
    gradient = jax.jit(jax.grad(lambda kernel: conv(x, kernel, "SAME").sum())).lower(kernel).as_text()
    return int(re.findall(r"stablehlo\.convolution.*: \(tensor<(\d+)x", gradient)[-1])


def test_few_images_are_cut_into_strips(choose_eigen):
    choose_eigen()
    assert images_summed(1) == 4  # 4 rows each, of 16
    assert images_summed(3) == 6
    assert images_summed(4) == 8
    assert images_summed(8) == 8
