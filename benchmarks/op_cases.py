"""What `benchmarks.ops` races: each op, its twin in torch and in Flax, and the figures it has to reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from segjax import ops
from segjax.ops.taps import ResizeMethod

try:
    import torch.nn.functional as F
except ImportError:  # the benchmark then has a column less
    F: Any = None

Shape = tuple[int, int, int, int]
Axes = tuple[int, int, int, int]
IMAGE, CONV, CONV_TRANSPOSE, GRID = (0, 3, 1, 2), (3, 2, 0, 1), (2, 3, 0, 1), (0, 1, 2, 3)
"""In which order torch has the axes."""


@dataclass(frozen=True)
class Case:
    """One op over `inputs(x)`, where x is random features (n h w c). Gradients flow to all its floating arrays."""

    name: str
    ours: Callable
    theirs: Callable | None = None
    """The same of torch tensors, images and indices as (n c h w) in channels-last memory."""
    flax: Callable | None = None
    inputs: Callable[[Array], tuple] = field(default=lambda x: (x,))
    axes: tuple[Axes, ...] = (IMAGE, IMAGE)
    """torch's order of the axes of each input."""
    limits: tuple[float | None, float | None] = (None, None)
    """Largest times torch's time, forward and forward + backward, on two CPU cores."""
    copy_limit: float | None = None
    """Largest times the time of a bare copy of the bytes that the forward must move, on CPU."""
    memory_bound: bool = True

    @property
    def rounds(self) -> int:
        """Calls that the medians are over: fewer where there is no figure to reach."""
        return 3 if self.limits == (None, None) else 11


def noise(*shape: int) -> Array:
    """Normal numbers, the same each time."""
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape, np.float32))


def with_kernel(size: int) -> Callable[[Array], tuple]:
    """Features, and a square kernel that keeps their channels."""
    return lambda x: (x, noise(size, size, x.shape[-1], x.shape[-1]).astype(x.dtype))


def with_depthwise_kernel(size: int) -> Callable[[Array], tuple]:
    """Features, and a square kernel for each channel."""
    return lambda x: (x, noise(size, size, 1, x.shape[-1]).astype(x.dtype))


def depthwise(size: int, stride: int) -> dict[str, Any]:
    """What a case of a depthwise convolution has."""
    return {
        "ours": lambda x, kernel: ops.conv(x, kernel, size // 2, stride=stride, groups=x.shape[-1]),
        "theirs": lambda x, kernel: F.conv2d(x, kernel, None, stride, size // 2, groups=x.shape[1]),
        "flax": lambda x, kernel: jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(size // 2, size // 2)] * 2,
            feature_group_count=x.shape[-1],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ),
        "inputs": with_depthwise_kernel(size),
        "axes": (IMAGE, CONV),
        "memory_bound": False,
    }


def doubled(method: ResizeMethod) -> Callable[[Array], Array]:
    """Resizing to twice the height and width."""
    return lambda x: ops.resize(x, (2 * x.shape[1], 2 * x.shape[2]), method)


def torch_doubled(method: str) -> Callable:
    """The same in torch."""
    return lambda x: F.interpolate(x, scale_factor=2, mode=method)


def flax_conv_transpose(padding: tuple[int, int]) -> Callable:
    """Flax's own layer, with the padding that makes its output that of torch's."""

    def run(x: Array, kernel: Array) -> Array:
        layer = nn.ConvTranspose(kernel.shape[-1], kernel.shape[:2], (2, 2), [padding] * 2, use_bias=False)
        output = layer.apply({"params": {"kernel": kernel[::-1, ::-1]}}, x)
        assert isinstance(output, Array)
        return output

    return run


def fine_grid(x: Array) -> tuple[Array, Array]:
    """Features, and a grid of twice their size that strays from the regular one by about half a pixel."""
    n, h, w, _ = x.shape
    rows, columns = np.meshgrid(np.linspace(-1, 1, 2 * h), np.linspace(-1, 1, 2 * w), indexing="ij")
    regular = jnp.asarray(np.stack([columns, rows], axis=-1))
    return x, (regular + noise(n, 2 * h, 2 * w, 2) / h).astype(x.dtype)


def carafe_kernels(x: Array) -> tuple[Array, Array]:
    """Features, and a 5x5 kernel for each pixel of twice their size."""
    n, h, w, _ = x.shape
    return x, jax.nn.softmax(noise(n, 2 * h, 2 * w, 25)).astype(x.dtype)


def dysample_offsets(x: Array) -> tuple[Array, Array]:
    """Features, and how far each of four groups of channels strays, about a quarter of a pixel."""
    return x, (0.25 * noise(*x.shape[:3], 32)).astype(x.dtype)


def guided_queries(x: Array) -> tuple[Array, Array]:
    """Queries of twice the size of the features, and these as keys."""
    n, h, w, c = x.shape
    return noise(n, 2 * h, 2 * w, c).astype(x.dtype), x


CASES = [
    Case(
        "max-pool with argmax",
        ops.max_pool_with_argmax,
        lambda x: F.max_pool2d(x, 2, return_indices=True),
        limits=(1.0, 1.0),
    ),
    Case(
        "max-unpool 2x2",
        ops.max_unpool,
        lambda x, indices: F.max_unpool2d(x, indices, 2),
        inputs=ops.max_pool_with_argmax,
        limits=(1.0, 0.9),
        copy_limit=1.15,
    ),
    Case(
        "conv 3x3",
        lambda x, kernel: ops.conv(x, kernel, "SAME"),
        lambda x, kernel: F.conv2d(x, kernel, padding=1),
        inputs=with_kernel(3),
        axes=(IMAGE, CONV),
        memory_bound=False,
    ),
    Case(
        "conv 1x1",
        lambda x, kernel: ops.conv(x, kernel),
        lambda x, kernel: F.conv2d(x, kernel),
        lambda x, kernel: jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        inputs=with_kernel(1),
        axes=(IMAGE, CONV),
        memory_bound=False,
    ),
    Case("depthwise conv 3x3", **depthwise(3, 1)),
    Case("depthwise conv 5x5 s2", **depthwise(5, 2)),
    Case("nearest x2", doubled("nearest"), torch_doubled("nearest"), limits=(1.05, 0.8)),
    Case("bilinear x2", doubled("bilinear"), torch_doubled("bilinear"), limits=(1.0, 0.8)),
    Case("pixel shuffle", lambda x: ops.pixel_shuffle(x, 2), lambda x: F.pixel_shuffle(x, 2), limits=(1.0, 0.8)),
    Case(
        "resize-conv (nearest then 3x3)",
        ops.resize_conv,
        lambda x, kernel: F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), kernel, padding=1),
        inputs=with_kernel(3),
        axes=(IMAGE, CONV),
        limits=(0.8, 0.8),
        memory_bound=False,
    ),
    Case(
        "transposed conv 3x3 s2",
        lambda x, kernel: ops.conv_transpose(x, kernel, strides=2, padding=1, output_padding=1),
        lambda x, kernel: F.conv_transpose2d(x, kernel, stride=2, padding=1, output_padding=1),
        flax_conv_transpose((1, 2)),
        inputs=with_kernel(3),
        axes=(IMAGE, CONV_TRANSPOSE),
        limits=(1.7, 1.4),
        memory_bound=False,
    ),
    Case(
        "transposed conv 2x2 s2",
        lambda x, kernel: ops.conv_transpose(x, kernel, strides=2),
        lambda x, kernel: F.conv_transpose2d(x, kernel, stride=2),
        flax_conv_transpose((1, 1)),
        inputs=with_kernel(2),
        axes=(IMAGE, CONV_TRANSPOSE),
        limits=(1.9, 1.7),
        memory_bound=False,
    ),
    Case("bicubic x2", doubled("bicubic"), torch_doubled("bicubic")),
    Case(
        "grid sample x2",
        ops.grid_sample,
        lambda x, grid: F.grid_sample(x, grid, align_corners=False),
        inputs=fine_grid,
        axes=(IMAGE, GRID),
        memory_bound=False,
    ),
    Case("carafe x2", ops.carafe, inputs=carafe_kernels, memory_bound=False),
    Case("dysample x2", ops.dysample, inputs=dysample_offsets, memory_bound=False),
    Case("window similarity x2", ops.window_similarity, inputs=guided_queries, memory_bound=False),
]
