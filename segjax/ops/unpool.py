"""Max-unpooling: values back to where a max-pool found its maxima."""

from __future__ import annotations

from jax import lax
from jaxtyping import Array, Num

from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import known
from segjax.ops.pool_indices import PoolIndices
from segjax.ops.pool_windows import pooling, spread


@on_any_mesh
def max_unpool(x: Num[Array, "n oh ow c"], indices: PoolIndices) -> Num[Array, "n h w c"]:
    """Each value of `x` at the place that its index names in a plane of zeros, as `torch.nn.functional.max_unpool2d`.

    The size of the plane is the one that was pooled. Of overlapping windows that name the same place, the last in
    row-major order counts, everywhere and always, as it does in PyTorch on a CPU. The gradient of `x`, as PyTorch's, is
    the plane's gradient at its place, for every window that named it, and forward mode is the transpose of that.

    The geometry picks the lowering. Windows that do not overlap are compared with their offset in one loop that writes
    the plane once and stores nothing else. Where up to 64 windows can share a place, each is compared in turn. Beyond
    that, and for indices of no window, it is an index scatter, image by image.

    Args:
        x: one value a window, of any dtype.
        indices: from `max_pool_with_argmax` or `PoolIndices.from_flat`, packed or not.

    Raises:
        ValueError: where the shape of `x` is not that of the indices.

    Examples:
        >>> x = jnp.array([[1.0, 5.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> ops.max_unpool(*ops.max_pool_with_argmax(x))[0, :, :, 0].tolist()
        [[0.0, 5.0], [0.0, 0.0]]
    """
    lead, c = indices.offsets.shape[:-3], indices.offsets.shape[-1]
    expected = (*lead, *indices.geometry.output_size, c)
    if x.shape != expected or x.ndim != 4:
        raise ValueError(f"max_unpool takes (n, h, w, c) with an index for each value, got x {x.shape} for {expected}.")
    offsets = indices.unpack().offsets
    plane = spread(lax.stop_gradient(x), offsets, indices.geometry)
    return known(plane, pooling(indices.geometry), 0, x, offsets)
