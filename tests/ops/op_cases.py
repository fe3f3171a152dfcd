"""Every op on a small batch: what the tests of all ops run over."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from segjax import ops

BATCH, ROWS, COLUMNS, CHANNELS = 8, 6, 5, 8


class Case(NamedTuple):
    op: Callable
    arrays: tuple[Array, ...]
    """The first axis of each is the batch, but for kernels'."""
    kernels: int = 0
    """How many of the last arrays are kernels, the same for the whole batch."""
    says: tuple[str, ...] = ()
    """What it may say to other devices; the gradient of a kernel is summed over them besides."""


def noise(*shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape, np.float32))


def pooled(**geometry) -> Callable:
    """max_unpool(max_pool), which has both and is a function of the features alone."""

    def run(x: Array) -> Array:
        values, indices = ops.max_pool_with_argmax(x, **geometry)
        kept = ops.PoolIndices.from_flat(indices.flat(), input_size=(ROWS, COLUMNS), **geometry)
        return ops.max_unpool(values * 2, indices) + ops.max_unpool(values, kept)

    return run


def all_of_boxes(a: Array, b: Array) -> Array:
    """Overlaps of the boxes that suppression keeps with others that were letterboxed there and back."""

    def suppressed(a: Array) -> Array:
        a = a[ops.boxes.soft_nms(a, a[:, 2], max_boxes=6)[0]]
        return a[ops.boxes.nms(a, a[:, 3], max_boxes=4)]

    kept = jax.vmap(suppressed)(ops.boxes.clip(a, (20, 30)))
    there = ops.boxes.letterbox((20, 30), 64)
    return ops.boxes.pairwise(kept, there.boxes_back(there.boxes(b)), ops.boxes.ciou)


def targets_of(boxes: Array) -> ops.CenterTargets:
    labels = jnp.arange(COLUMNS) % 3 - 1
    labels = jnp.broadcast_to(labels, boxes.shape[:2])
    return ops.center_targets(boxes, labels, size=(ROWS, COLUMNS), stride=1, num_classes=2)


def boxes_of_peaks(x: Array) -> Array:
    return ops.boxes_at_peaks(ops.find_peaks(x[..., :3], 4), jnp.abs(x[..., 3:5]), x[..., 5:7], stride=4)


def top_left(x: Array) -> ops.Peaks:
    cells = jnp.arange(4, dtype=jnp.int32)[None] + jnp.zeros((x.shape[0], 1), jnp.int32)
    return ops.Peaks(x[:, 0, :4, 0], cells, cells, cells)


def warped(x: Array, maps: Array) -> Array:
    return jax.vmap(lambda image, by: ops.warp(image, by, (4, 7)))(x, maps)


def moved_boxes(boxes: Array, maps: Array) -> Array:
    return jax.vmap(lambda boxes, by: ops.warp_boxes(boxes, by, (ROWS, COLUMNS))[0])(boxes, maps)


def augmented(x: Array) -> Array:
    def one(row: Array, image: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(0), row)
        return ops.augment(key, image, crop=(4, 4), rotate=30.0, scale=(0.8, 1.25), brightness=0.2, blur=0.5).image

    return jax.vmap(one)(jnp.arange(x.shape[0]), x)


def cases() -> dict[str, Case]:
    x = noise(BATCH, ROWS, COLUMNS, CHANNELS)
    fine = 2 * ROWS, 2 * COLUMNS
    grid = noise(BATCH, *fine, 2)
    some_boxes = 3 * jnp.abs(noise(BATCH, COLUMNS, 4))
    maps = jnp.array([[[0.8, 0.3, 0.1], [-0.2, 0.9, 1.3]]]) + 0.1 * noise(BATCH, 2, 3)
    return {
        "max_pool_with_argmax": Case(ops.max_pool_with_argmax, (x,)),
        "max_pool_with_argmax, overlapping": Case(
            lambda x: ops.max_pool_with_argmax(x, 3, strides=2, padding=1, ceil_mode=True), (x,)
        ),
        "max_unpool": Case(pooled(window=2), (x,)),
        "max_unpool, overlapping": Case(pooled(window=3, strides=2, padding=((1, 1), (1, 1))), (x,)),
        "avg_pool": Case(lambda x: ops.avg_pool(x, 3, strides=2, padding=1, ceil_mode=True), (x,)),
        "adaptive_avg_pool": Case(lambda x: ops.adaptive_avg_pool(x, (4, 3)), (x,)),
        "resize, nearest": Case(lambda x: ops.resize(x, (4, 8), "nearest"), (x,)),
        "resize, nearest-exact": Case(lambda x: ops.resize(x, fine, "nearest-exact"), (x,)),
        "resize, bilinear": Case(lambda x: ops.resize(x, fine), (x,)),
        "resize, bicubic": Case(lambda x: ops.resize(x, (4, 8), "bicubic"), (x,)),
        "resize, area": Case(lambda x: ops.resize(x, (4, 8), "area"), (x,)),
        "grid_sample, zeros": Case(ops.grid_sample, (x, grid)),
        "grid_sample, reflection": Case(lambda x, at: ops.grid_sample(x, at, padding_mode="reflection"), (x, grid)),
        "grid_sample, nearest": Case(lambda x, at: ops.grid_sample(x, at, "nearest", padding_mode="border"), (x, grid)),
        "pixel_shuffle": Case(lambda x: ops.pixel_shuffle(x, 2), (x,)),
        "pixel_unshuffle": Case(lambda x: ops.pixel_unshuffle(x, 2), (noise(BATCH, *fine, 2),)),
        "conv": Case(lambda x, k: ops.conv(x, k, "SAME"), (x, noise(3, 3, CHANNELS, 3)), 1),
        "conv, depthwise": Case(
            lambda x, k: ops.conv(x, k, "SAME", stride=2, groups=CHANNELS), (x, noise(3, 3, 1, CHANNELS)), 1
        ),
        "conv_transpose, 2x2": Case(lambda x, k: ops.conv_transpose(x, k, 2), (x, noise(2, 2, CHANNELS, 3)), 1),
        "conv_transpose, 3x3": Case(
            lambda x, k: ops.conv_transpose(x, k, 2, padding=1, output_padding=1), (x, noise(3, 3, CHANNELS, 3)), 1
        ),
        "conv_transpose, 8x8": Case(
            lambda x, k: ops.conv_transpose(x, k, 4, padding=2), (x, noise(8, 8, CHANNELS, 3)), 1
        ),
        "conv_transpose, groups": Case(
            lambda x, k: ops.conv_transpose(x, k, 2, padding=1, output_padding=1, groups=2),
            (x, noise(3, 3, CHANNELS, 3)),
            1,
        ),
        "resize_conv": Case(ops.resize_conv, (x, noise(3, 3, CHANNELS, 3)), 1),
        "augment": Case(augmented, (x,)),
        "warp": Case(warped, (x, maps)),
        "warp_boxes": Case(moved_boxes, (some_boxes, maps)),
        "carafe": Case(ops.carafe, (x, noise(BATCH, *fine, 9))),
        "window_similarity": Case(
            lambda queries, keys: ops.window_similarity(queries, keys, window=3), (noise(BATCH, *fine, CHANNELS), x)
        ),
        "semi_shift_conv": Case(
            lambda x, guide, kernel: ops.semi_shift_conv(x, guide, kernel, 2),
            (x, noise(BATCH, *fine, CHANNELS), noise(3, 3, CHANNELS, 3)),
            1,
        ),
        "boxes": Case(all_of_boxes, (some_boxes, some_boxes[::-1])),
        "center_targets": Case(
            lambda boxes, x: x[..., :2] * targets_of(boxes).heatmap + targets_of(boxes).size, (some_boxes, x)
        ),
        "gaussian_radius": Case(lambda boxes: ops.gaussian_radius(1 + boxes[..., 2], 1 + boxes[..., 3]), (some_boxes,)),
        # XLA does not split a top-k.
        "boxes_at_peaks": Case(boxes_of_peaks, (x,), says=("all-gather",)),
        "find_peaks": Case(lambda x: (x, ops.find_peaks(x, 4)), (x,), says=("all-gather",)),
        "values_at_peaks": Case(lambda x: ops.values_at_peaks(top_left(x), x), (x,)),
        "soft_argmax": Case(ops.soft_argmax, (x,)),
        "dysample": Case(lambda x, offsets: ops.dysample(x, offsets, groups=2), (x, noise(BATCH, ROWS, COLUMNS, 16))),
    }
