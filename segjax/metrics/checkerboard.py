"""The checkerboard score: how much of a map repeats with an upsampler's stride."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def power_spectrum(logits: Inexact[Array | np.ndarray, "n h w k"]) -> Float[Array, "h w"]:
    """Power of the logits at each frequency, the mean over images and classes, float32; frequency (0, 0) comes first.

    Entry (u, v) is at u / h and v / w cycles per pixel. Each map loses its mean and is faded out to its borders by a
    periodic Hann window, so that the jump from one border to the opposite one is not taken for detail; white noise of
    variance 1 has power 1 everywhere. Works under `jit`.

    Raises:
        ValueError: where the logits are not (n h w k) with a height and width of 2 or more: of one nothing is left.

    Examples:
        >>> metrics.power_spectrum(jnp.ones((1, 4, 6, 2))).shape
        (4, 6)
    """
    if logits.ndim != 4 or min(logits.shape[1:3]) < 2:
        raise ValueError(f"logits have shape {logits.shape}: expected (n, h, w, k) of at least 2 rows and columns.")
    logits = jnp.asarray(logits, jnp.float32)
    _, height, width, _ = logits.shape
    fade = np.outer(_hann(height), _hann(width))[None, ..., None].astype(np.float32)
    centred = logits - logits.mean((1, 2), keepdims=True)
    amplitude = jnp.fft.fft2(fade * centred, axes=(1, 2))
    return (jnp.abs(amplitude) ** 2).mean((0, 3)) / (fade**2).sum()


@on_any_mesh
def checkerboard_score(logits: Inexact[Array | np.ndarray, "n h w k"], stride: int) -> Float[Array, ""]:
    """Power at the frequencies of a stride over the power around them: 1 is none, and noise alone gives 1.

    An upsampler of that stride can treat each of its stride**2 phases differently, and what it leaves then repeats
    every `stride` pixels (Odena et al. 2016; Aitken et al. 2017): its power lies at the frequencies (i, j) / stride
    cycles per pixel, without (0, 0). At each of them the mean power of the 3x3 entries of `power_spectrum` that the
    window spreads one frequency over is divided by that of the 16 entries around; the score is the mean of these
    ratios. A pattern A cos(pi x) on white noise of variance s**2 adds A**2 h w / (9 s**2) to one of the three ratios of
    stride 2.

    The maps are cut to multiples of the stride, whose frequencies are then entries of the spectrum. Power below a
    millionth of the mean over all frequencies counts as none. Works under `jit`.

    Raises:
        ValueError: where the logits are not (n h w k), or height or width is less than 4 strides, which leaves nothing
            to compare with.

    Examples:
        >>> noise = jax.random.normal(jax.random.key(0), (1, 16, 16, 1), jnp.float32)
        >>> board = jnp.indices((16, 16)).sum(0)[None, :, :, None] % 2
        >>> round(float(metrics.checkerboard_score(noise, 2)))
        1
        >>> round(float(metrics.checkerboard_score(noise + 4 * board, 2)))
        48
    """
    if logits.ndim != 4 or stride < 2 or min(logits.shape[1:3]) < 4 * stride:
        raise ValueError(
            f"a checkerboard of stride {stride} cannot be told in logits of shape {logits.shape}: take a stride of 2 "
            "or more, and maps (n, h, w, k) of at least 4 strides."
        )
    _, height, width, _ = logits.shape
    rows, columns = height // stride, width // stride
    power = power_spectrum(logits[:, : rows * stride, : columns * stride])
    power += 1e-6 * power.mean() + jnp.finfo(power.dtype).tiny
    i, j = (axis[:, None] for axis in np.divmod(np.arange(1, stride**2), stride))
    down, right = np.mgrid[-2:3, -2:3].reshape(2, 25)
    patches = power[(i * rows + down) % (stride * rows), (j * columns + right) % (stride * columns)]
    at = np.maximum(abs(down), abs(right)) <= 1
    return (patches[:, at].mean(1) / patches[:, ~at].mean(1)).mean()


def _hann(size: int) -> Float[np.ndarray, " {size}"]:
    return np.sin(np.pi * np.arange(size) / size) ** 2
