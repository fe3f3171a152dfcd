import numpy as np
import pytest

from segjax.weights import fit_first_kernel

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((4, 3, 5, 5)).astype(np.float32)


def answers(kernel, image):
    return np.einsum("dcij,cij->d", kernel, image)


def test_a_grey_image_gives_what_its_three_equal_channels_gave():
    grey = RNG.standard_normal((1, 5, 5)).astype(np.float32)
    expected = answers(KERNEL, np.repeat(grey, 3, 0))
    np.testing.assert_allclose(answers(fit_first_kernel(KERNEL, 1), grey), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 6, 13])
def test_more_bands_repeat_it_and_keep_its_range(channels):
    fitted = fit_first_kernel(KERNEL, channels)
    assert fitted.shape == (4, channels, 5, 5)
    assert fitted.dtype == np.float32
    for i in range(channels):
        np.testing.assert_allclose(fitted[:, i], KERNEL[:, i % 3] * 3 / channels, rtol=1e-6)


def test_six_equal_bands_answer_as_three():
    ones = np.ones((6, 5, 5), np.float32)
    np.testing.assert_allclose(answers(fit_first_kernel(KERNEL, 6), ones), answers(KERNEL, ones[:3]), rtol=1e-4)


def test_bands_can_be_said_and_the_others_are_silent():
    image = RNG.standard_normal((5, 5, 5)).astype(np.float32)
    fitted = fit_first_kernel(KERNEL, 5, rgb=(3, 2, 0))
    np.testing.assert_allclose(answers(fitted, image), answers(KERNEL, image[[3, 2, 0]]), rtol=1e-5)
    assert not fitted[:, [1, 4]].any()


def test_three_bands_stay():
    np.testing.assert_array_equal(fit_first_kernel(KERNEL, 3), KERNEL)


def test_bad_bands_are_errors():
    with pytest.raises(ValueError, match=r"rgb is \(0, 1, 5\); give three different bands of 0\.\.4"):
        fit_first_kernel(KERNEL, 5, rgb=(0, 1, 5))
    with pytest.raises(ValueError, match=r"rgb is \(0\.0, 1\.0, 2\.0\); give three different bands of 0\.\.4"):
        fit_first_kernel(KERNEL, 5, rgb=(0.0, 1.0, 2.0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"rgb is \(0, 1, 2, 2\)"):
        fit_first_kernel(KERNEL, 5, rgb=(0, 1, 2, 2))
    with pytest.raises(ValueError, match=r"rgb is \(0, 1, 1\)"):
        fit_first_kernel(KERNEL, 5, rgb=(0, 1, 1))
    with pytest.raises(ValueError, match=r"shape \(4, 2, 5, 5\); give one of red, green and blue"):
        fit_first_kernel(KERNEL[:, :2], 5)
