"""What is one node in ONNX is written as one, and gives the same."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import Array

from segjax import ops
from segjax.export.program import Program

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from onnx import load_from_string

from segjax.export import onnx

RNG = np.random.default_rng(0)
KERNEL, PAIR = (RNG.standard_normal((*window, 3, 5)).astype(np.float32) for window in ((3, 3), (1, 1)))
OF_EACH = RNG.uniform(0.5, 2, (4, 5)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (3, 4, 6, 3)).astype(np.uint8)


def normed(x: Array) -> Array:
    return ((x - OF_EACH[0]) * OF_EACH[1] / OF_EACH[2] + OF_EACH[3]) if x.shape[-1] == 5 else x


def conv(x: Array, kernel: np.ndarray = KERNEL) -> Array:
    return ops.conv(x, jnp.asarray(kernel))


def twice(x: Array) -> Array:
    y = conv(x)
    return normed(y) + y


def attended(x: Array) -> Array:
    n, h, w, c = x.shape
    tokens = x.reshape(n, h * w, 1, c)
    return nn.dot_product_attention(tokens, tokens, tokens)


NORM = nn.LayerNorm(epsilon=1e-3, use_fast_variance=False)
WEIGHTS = {"params": {"scale": OF_EACH[0, :3], "bias": OF_EACH[1, :3]}}
AROUND = {"Cast", "Div", "Transpose", "Identity", "Reshape"}


@pytest.mark.parametrize(
    ("run", "nodes"),
    [
        (lambda x: jax.nn.relu(normed(conv(x))), {"Conv": 1, "Relu": 1}),
        (lambda x: jax.nn.relu6(normed(conv(x, PAIR))), {"Conv": 1, "Clip": 1}),
        (lambda x: 3 - conv(x) * 2, {"Conv": 1, "Sub": 1}),
        (twice, {"Conv": 1, "Add": 2, "Sub": 1, "Mul": 1}),  # what is read twice stays
        (jax.nn.softmax, {"Softmax": 1}),
        (partial(jax.nn.softmax, axis=1), {"Softmax": 1}),
        (partial(jax.nn.gelu, approximate=False), {"Erf": 1, "Add": 1, "Mul": 2}),
        (partial(NORM.apply, WEIGHTS), {"LayerNormalization": 1}),
        (attended, {"MatMul": 2, "Softmax": 1}),
        (partial(ops.resize, size=(8, 12)), {"Resize": 1}),
        (partial(ops.resize, size=(7, 5), align_corners=True), {"Resize": 1}),
        (partial(ops.resize, size=(3, 13)), {"Resize": 1}),
        (partial(ops.resize, size=(8, 18), method="nearest"), {"Resize": 1}),
        (partial(ops.adaptive_avg_pool, size=2), {"AveragePool": 1}),
        (lambda x: ops.window_similarity(jnp.tile(x, (1, 2, 2, 1)) ** 3, x, window=3), None),  # whose form loops
        (lambda x: (x**1.0).transpose(0, 3, 1, 2).transpose(0, 2, 3, 1) - x.mean((1, 2), keepdims=True), None),
    ],
)
def test_steps_are_one_node(run: Callable[[Array], Array], nodes: dict[str, int] | None, tmp_path: Path):
    def scaled(image: Array) -> dict[str, Array]:
        return {"result": run(image / 100 - 1)}

    written = onnx.convert(Program(scaled, (4, 6), 3, "uint8"))
    (tmp_path / "model.onnx").write_bytes(written)
    found = onnx.outputs_of(str(tmp_path / "model.onnx"), IMAGES)["result"]
    np.testing.assert_allclose(found, jax.jit(scaled)(IMAGES)["result"], rtol=1e-5, atol=1e-5)
    kinds = Counter(node.op_type for node in load_from_string(written).graph.node)
    kinds["Sub"] -= 1  # of the image
    if nodes is not None:
        assert {kind: count for kind, count in kinds.items() if count and kind not in AROUND} == nodes
