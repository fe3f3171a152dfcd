"""jax's primitives in ONNX Runtime, beside jax itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import AS_USERS
from jax import Array, lax

from segjax.export import ExportError
from segjax.export.program import Program

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from segjax.export import onnx

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 2)).astype(np.uint8)
KERNEL = jnp.asarray(np.random.default_rng(1).standard_normal((3, 2, 2, 3)), jnp.float32)
ROWS = np.array([[0, 3], [2, 1]])
WEIGHTS = np.arange(8, dtype=np.float32).reshape(4, 2)


def everything(image: Array) -> dict[str, Any]:
    """A result for each way of writing nodes."""
    x = image / 255 - 0.5
    n, h, w, c = x.shape
    flat, bits = x.reshape(n, -1), image.astype(jnp.int32)
    index = bits[:, 0, :, 0] % 7 - 2  # also before and behind the rows
    spread = jnp.broadcast_to(jnp.arange(h)[None, :, None, None], (n, h, w, c))
    found = {
        "elements": [
            jnp.exp(x),
            jnp.log1p(jnp.abs(x)),
            lax.erfc(x),
            lax.rsqrt(x + 1),
            jnp.square(x),
            x**3,
            jnp.sign(x),
        ],
        "rounded": [
            jnp.floor(bits / 4),
            jnp.round(bits / 4),
            jax.nn.sigmoid(x),
            jax.nn.gelu(x),
            jnp.clip(x, -0.2, 0.1),
        ],
        "compared": [x > 0, x != 0, (x > 0) & (x <= 0.2), ~(x >= 0) | (x < -1), jnp.isfinite(1 / (x - x[:, :1]))],
        "whole": [bits // 7, bits % 7, bits & 12, bits | 3, jnp.where(bits > 99, bits, -1), image[:, ::2]],
        "reduced": [
            x.sum((1, 2)),
            x.max(3),
            x.min(1),
            x.mean((1, 2)),
            jnp.prod(x + 1, 3),
            (x > 0).any(1),
            (x > 0).all(3),
        ],
        "places": [x.argmax(3), x.argmin(1), *lax.top_k(flat, 5)],
        "shapes": [flat, x.transpose(3, 0, 2, 1), x[:, None, :, ::-1], x[:, 1:-1, ::2], jnp.split(x, 2, 2), x[..., 1]],
        "joined": [
            jnp.concatenate([x, spread, jnp.zeros((n, h, w, 1))], 3),
            jnp.stack([x, x + 1], 2),
            jnp.tile(x, (1, 2, 1, 3)),
        ],
        "padded": [jnp.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=2), lax.pad(x, 0.0, CROP)],
        "repeated": [spread.sum(1), spread.reshape(n, -1), spread[:, 1:, :2], jnp.arange(w) + x[..., 0]],
        "convolved": [
            lax.conv_general_dilated(x, KERNEL, (2, 1), ((1, 0), (2, 1)), rhs_dilation=(1, 2), dimension_numbers=NHWC),
            lax.conv_general_dilated(
                x, KERNEL[..., :1, :2], (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=2
            ),
        ],
        "multiplied": [
            x @ KERNEL[0, 0],
            jnp.einsum("nhwc,nhvc->nhwv", x, x),
            jnp.einsum("nhwc,hk->nwck", x, WEIGHTS),
        ],
        "windows": [
            lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 1, 1), "SAME"),
            lax.reduce_window(x, 0.0, lax.add, (1, 2, 3, 1), (1, 1, 2, 1), "SAME"),
        ],
        "rows": [
            jnp.take(x, ROWS, axis=1),
            jnp.take(x, jnp.array([-1, 9, 2]), axis=2, mode="clip"),
            jnp.take_along_axis(x, jnp.broadcast_to(jnp.arange(h)[:, None, None], (n, h, 1, 1)), 1),
            jax.vmap(lambda one, i: jnp.take(one, i, axis=0, mode="clip"))(x, index),
            jax.vmap(lambda one, i: one.at[i].get(mode="fill", fill_value=-5.0))(x, index),
            jax.vmap(lambda one, i: one[i % 4, i % 6])(x, index),
        ],
        "starting": [lax.dynamic_slice(x, (0, 1, 9, 0), (n, 2, 3, 2)), lax.dynamic_index_in_dim(x, 1, 1)],
    }
    return {f"{name}_{i}": value for name, values in found.items() for i, value in enumerate(jax.tree.leaves(values))}


CROP = ((0, 0, 0), (-1, 1, 0), (2, -3, 0), (0, 0, 0))
NHWC = ("NHWC", "HWIO", "NHWC")


def of(run: Callable[[Array], Any]) -> Program:
    return Program(run, (4, 6), 2, "uint8")


def test_every_primitive_gives_what_jax_gives_for_other_batches_than_it_was_traced_for(tmp_path: Path):
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx.convert(of(everything)))
    for images in (IMAGES[:1], IMAGES):
        found = onnx.outputs_of(str(file), images)
        expected = jax.jit(everything, compiler_options=AS_USERS)(images)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype, name
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda image: lax.while_loop(lambda x: jnp.any(x > 3), lambda x: x // 2, image), "has while, which"),
        (lambda image: lax.pad(image / 1, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0))), "a pad between elements"),
        (lambda image: (image / 1).mean(), "depends on the number of images"),
        (lambda image: jnp.arange(image.shape[0]), "a iota along the batch"),
        (lambda image: lax.dynamic_index_in_dim(image, image[0, 0, 0, 0], 1), "where an array says"),
        (lambda image: image[image[0, 0, 0, 0] % 2], "depends on the number of images"),
        (
            lambda image: lax.reduce_window(image / 1, -jnp.inf, lax.max, (1, 1, 1, 2), (1,) * 4, "VALID"),
            "other axes than rows",
        ),
    ],
)
def test_what_has_no_nodes_is_one_sentence(run: Callable[[Array], Any], said: str):
    with pytest.raises(ExportError, match=said):
        onnx.convert(of(lambda image: {"result": run(image)}))
