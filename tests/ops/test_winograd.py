from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from segjax.ops import conv, winograd

PADS = [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 0), (1, 2))]


def plain(x, kernel, pads):
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def noise(*shape, seed=0, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def relative_error(found, expected):
    found, expected = np.asarray(found, np.float64), np.asarray(expected)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def by_hand(x, kernel, pads):
    """The convolution, tap by tap, in NumPy's float64."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), *pads, (0, 0)))
    height, width = x.shape[1] - 2, x.shape[2] - 2
    taps = [
        np.einsum("nhwc,ck->nhwk", x[:, p : p + height, q : q + width], np.asarray(kernel[p, q], np.float64))
        for p in range(3)
        for q in range(3)
    ]
    return np.sum(taps, axis=0)


@pytest.mark.parametrize("pads", PADS)
@pytest.mark.parametrize("size", [(2, 6, 8), (1, 7, 5), (1, 4, 9), (3, 3, 3)])
def test_is_the_convolution_in_float64(size, pads):
    with jax.enable_x64(True):
        x, kernel = noise(*size, 5, dtype="float64"), noise(3, 3, 5, 4, seed=1, dtype="float64")
        expected = by_hand(x, kernel, pads)
        upstream = noise(*expected.shape, seed=2, dtype="float64")

        @jax.jit
        def run(x, kernel, upstream):
            gradient = jax.vjp(lambda kernel: plain(x, kernel, pads), kernel)[1](upstream)[0]
            return winograd.convolve(x, kernel, pads), winograd.kernel_gradient(x, upstream, pads), gradient

        found, found_gradient, gradient = run(x, kernel, upstream)
    assert relative_error(found, expected) < 1e-14
    assert relative_error(found_gradient, gradient) < 1e-13


def test_an_image_of_one_pixel():
    x, kernel = noise(2, 1, 1, 3), noise(3, 3, 3, 4)
    assert relative_error(winograd.convolve(x, kernel, PADS[0]), by_hand(x, kernel, PADS[0])) < 1e-6


def test_in_float32_it_is_as_exact_as_the_plain_sum():
    x, kernel = noise(2, 32, 32, 128), noise(3, 3, 128, 128)
    exact = by_hand(x, kernel, PADS[0])
    with_plain = relative_error(plain(x, kernel, PADS[0]), exact)
    assert relative_error(winograd.convolve(x, kernel, PADS[0]), exact) < max(3 * with_plain, 2e-6)


def with_pulls(function):
    """What the function gives, and the gradients of both arrays."""

    def run(x, kernel, upstream):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(upstream)

    return run


def matrix_products(function, *arguments):
    return jax.jit(function).lower(*arguments).as_text().count("stablehlo.dot_general")


@pytest.mark.parametrize(
    ("size", "channels", "taps", "products", "with_gradients", "beside_ynnpack"),
    [
        ((1, 16, 18), (64, 64), 3, 2, 4, 6),  # and the gradient of x
        ((1, 16, 17), (96, 64), 3, 2, 4, 6),
        ((1, 18, 18), (128, 160), 3, 2, 6, 6),  # and that of the kernel
        ((1, 16, 16), (64, 192), 3, 2, 4, 6),  # fewer than 2 x 192 pixels, but 256
        ((1, 16, 18), (63, 64), 3, 0, 0, 2),
        ((1, 16, 18), (64, 32), 3, 0, 0, 2),
        ((1, 16, 18), (64, 31), 3, 0, 0, 1),  # one product: `segjax.ops.kernel_gradient`
        ((1, 16, 18), (64, 16), 3, 0, 0, 0),
        ((1, 16, 18), (64, 64), 1, 1, 3, 3),  # products of another kind: `segjax.ops.pointwise`
        ((1, 8, 16), (64, 66), 3, 0, 0, 1),  # fewer than 2 x 66 pixels
    ],
)
def test_wide_convolutions_take_it_and_give_what_is_right(
    size, channels, taps, products, with_gradients, beside_ynnpack, choose_eigen
):
    x, kernel = noise(*size, channels[0]), noise(taps, taps, *channels) / float(9 * channels[0]) ** 0.5
    pads = ((taps // 2, taps // 2),) * 2
    upstream = noise(*size, channels[1], seed=3)
    assert matrix_products(lambda x, kernel: conv(x, kernel, "SAME"), x, kernel) == products
    ours, theirs = map(with_pulls, (partial(conv, padding="SAME"), partial(plain, pads=pads)))
    assert matrix_products(ours, x, kernel, upstream) == beside_ynnpack
    for found, value in zip(jax.jit(ours)(x, kernel, upstream), jax.jit(theirs)(x, kernel, upstream), strict=True):
        assert relative_error(found, value) < 3e-6
    choose_eigen()
    assert matrix_products(with_pulls(partial(conv, padding="SAME")), x, kernel, upstream) == with_gradients


def test_bfloat16_and_negative_padding_are_left_to_xla():
    x, kernel = noise(1, 32, 32, 64), noise(3, 3, 64, 64)
    low = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    assert matrix_products(lambda x, kernel: conv(x, kernel, "SAME"), *low) == 0
    assert matrix_products(lambda x, kernel: conv(x, kernel, ((-1, 0), (0, 0))), x, kernel) == 0
    y, pull = jax.vjp(lambda x: conv(x, kernel, ((4, 3), (0, 0))), x)  # its gradient takes rows away
    expected, pull_plain = jax.vjp(lambda x: plain(x, kernel, ((4, 3), (0, 0))), x)
    assert relative_error(y, expected) < 2e-6
    assert relative_error(pull(y)[0], pull_plain(y)[0]) < 2e-6


def test_no_images_have_no_convolution_and_a_gradient_of_zero(choose_eigen):
    choose_eigen()
    x, kernel = noise(0, 16, 17, 128), noise(3, 3, 128, 128)
    y, of_x, of_kernel = with_pulls(partial(conv, padding="SAME"))(x, kernel, x)
    assert y.shape == of_x.shape == x.shape
    np.testing.assert_array_equal(of_kernel, np.zeros((3, 3, 128, 128)))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_large_images_are_convolved_in_strips_of_rows(most, monkeypatch):
    x, kernel, pads = noise(2, 9, 5, 3), noise(3, 3, 3, 4), PADS[0]
    monkeypatch.setattr(winograd, "_MOST_BYTES", most * 16 * 2 * 3 * 3 * 4)  # of so many of the five rows of tiles
    assert matrix_products(lambda x: winograd.convolve(x, kernel, pads), x) == 1 + -(-5 // most)
    assert relative_error(winograd.convolve(x, kernel, pads), by_hand(x, kernel, pads)) < 1e-6


def test_under_vmap_and_jit():
    x, kernel = noise(3, 1, 16, 16, 64), noise(3, 3, 3, 64, 64)
    found = jax.jit(jax.vmap(lambda x, kernel: conv(x, kernel, "SAME")))(x, kernel)
    expected = np.stack([plain(a, b, PADS[0]) for a, b in zip(x, kernel, strict=True)])
    assert relative_error(found, expected) < 2e-6
