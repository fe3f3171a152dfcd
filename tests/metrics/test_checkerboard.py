import jax
import numpy as np
import pytest

from segjax import metrics

score = jax.jit(metrics.checkerboard_score, static_argnums=1)


def dft(size: int) -> np.ndarray:
    steps = np.arange(size)
    return np.exp(-2j * np.pi * np.outer(steps, steps) / size)


def expected_spectrum(logits: np.ndarray) -> np.ndarray:
    """Map by map: mean off, Hann window, the discrete Fourier transform as a matrix, power by that of the window."""
    logits = logits.astype(np.float64)
    n, h, w, k = logits.shape
    fade = np.outer(*(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size) for size in (h, w)))
    power = np.zeros((h, w))
    for i in range(n):
        for c in range(k):
            one = logits[i, :, :, c]
            power += np.abs(dft(h) @ (fade * (one - one.mean())) @ dft(w)) ** 2
    return power / (n * k) / (fade**2).sum()


def expected_score(logits: np.ndarray, stride: int) -> float:
    h, w = (size // stride * stride for size in logits.shape[1:3])
    power = expected_spectrum(logits[:, :h, :w])
    power += 1e-6 * power.mean()
    ratios = []
    for i in range(stride):
        for j in range(stride):
            if i == j == 0:
                continue
            at, near = [], []
            for v in range(-2, 3):
                for u in range(-2, 3):
                    value = power[(i * h // stride + v) % h, (j * w // stride + u) % w]
                    (at if max(abs(u), abs(v)) <= 1 else near).append(value)
            ratios.append(np.mean(at) / np.mean(near))
    return float(np.mean(ratios))


@pytest.mark.parametrize(("shape", "stride"), [((2, 17, 22, 3), 2), ((1, 16, 21, 2), 4), ((1, 12, 30, 1), 3)])
def test_it_is_its_definition(shape, stride):
    rng = np.random.default_rng(0)
    logits = rng.normal(3, 1, shape).astype(np.float32)
    logits[:, ::stride] += 1
    np.testing.assert_allclose(metrics.power_spectrum(logits), expected_spectrum(logits), rtol=2e-4, atol=1e-5)
    assert score(logits, stride) == pytest.approx(expected_score(logits, stride), rel=1e-4)


def test_noise_has_power_one_everywhere_and_no_checkerboard():
    noise = np.random.default_rng(0).normal(5, 1, (64, 48, 48, 4))
    power = np.array(metrics.power_spectrum(noise))
    assert power[3:46, 3:46] == pytest.approx(1, abs=0.35)  # 256 maps: a standard deviation of 1/16
    for stride in (2, 4, 8):
        assert score(noise, stride) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("amplitude", [0.2, 1.0])
def test_a_pattern_of_the_stride_adds_what_its_amplitude_says(amplitude):
    h, w = 40, 64
    rows, columns = np.mgrid[:h, :w]
    noise = np.random.default_rng(1).normal(0, 0.5, (64, h, w, 4))
    for pattern in (np.cos(np.pi * columns), np.cos(np.pi * rows), np.cos(np.pi * (rows + columns))):
        found = score(noise + amplitude * pattern[None, :, :, None], 2)
        assert found == pytest.approx(1 + amplitude**2 * h * w / (9 * 0.5**2) / 3, rel=0.08)


def test_a_pattern_of_another_frequency_adds_nothing():
    noise = np.random.default_rng(2).normal(0, 0.1, (32, 48, 48, 4))
    columns = np.arange(48)[None, None, :, None]
    for period in (16, 4, 3, 2.4):
        assert score(noise + np.cos(2 * np.pi * columns / period), 2) == pytest.approx(1, abs=0.1)
    assert score(noise + np.cos(2 * np.pi * columns / 4), 4) > 100


def test_borders_and_slopes_are_no_checkerboard():
    rows, columns = np.mgrid[:64, :64] / 64
    smooth = np.stack([rows, 100 + 3 * columns, np.sin(5 * rows + 7 * columns), rows * columns], axis=-1)[None]
    assert score(smooth, 2) == pytest.approx(1, abs=0.05)
    assert score(np.full((1, 16, 16, 2), 7.0), 2) == pytest.approx(1)


def test_what_an_uneven_overlap_leaves_is_seen():
    """A transposed convolution of ones with window 3 and stride 2 gives 1, 2 or 4 taps to an output (Odena 2016)."""
    rng = np.random.default_rng(3)
    smooth = 1 + 0.05 * rng.normal(size=(16, 64, 64, 2))
    taps = np.tile([1.0, 2.0], 32)
    assert score(smooth * np.outer(taps, taps)[None, :, :, None], 2) > 1000
    nearest = rng.normal(size=(16, 32, 32, 2)).repeat(2, axis=1).repeat(2, axis=2)
    assert score(nearest, 2) < 1


def test_it_does_not_depend_on_scale_or_offset():
    logits = np.random.default_rng(4).normal(size=(2, 24, 24, 3))
    assert score(1e3 * logits + 50, 2) == pytest.approx(float(score(logits, 2)), rel=1e-3)


def test_maps_too_small_are_refused():
    with pytest.raises(ValueError, match=r"stride 8 cannot be told in logits of shape \(1, 64, 31, 2\)"):
        metrics.checkerboard_score(np.zeros((1, 64, 31, 2)), 8)
    with pytest.raises(ValueError, match="stride of 2 or more"):
        metrics.checkerboard_score(np.zeros((1, 64, 64, 2)), 1)
    with pytest.raises(ValueError, match=r"logits of shape \(64, 64\): .* maps \(n, h, w, k\)"):
        metrics.checkerboard_score(np.zeros((64, 64)), 2)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 8, 1\): expected \(n, h, w, k\) of at least 2 rows"):
        metrics.power_spectrum(np.zeros((1, 1, 8, 1)))
