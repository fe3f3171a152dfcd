"""Ops, losses, metrics and models on jax's own mesh, whose axes are explicit, and inside `shard_map`, which checks what
varies: a program that prints, as JSON, how far each one is from one device, or 0 where it was traced alone.

Run by test_meshes.py, as the devices have to be asked for before jax starts.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from op_cases import cases

from segjax import decoders, encoders, losses, metrics, models

EXPLICIT = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
AUTO = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
COMPUTED = {"conv", "conv, depthwise", "conv_transpose, 2x2", "semi_shift_conv", "grid_sample, zeros", "center_targets"}
"""Each kind of gradient by what is the same on all devices, and loops with what varies; the others are traced alone."""
RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((4, 64, 64, 3)).astype(np.float32)
LOGITS, MASK = RNG.standard_normal((2, 6, 5, 3)).astype(np.float32), RNG.integers(0, 3, (2, 6, 5))
BITS = RNG.integers(0, 2, (2, 6, 5, 3)).astype(np.uint8)
BOXES, TRUTH = 1 + RNG.random((2, 2, 7, 4), np.float32)


def pulled(op: Callable[..., Any], *arrays: Array) -> Any:
    """What an op gives of arrays, and gradients by all but the last, which is multiplied with it."""

    def first(*arrays: Array) -> tuple[Array, Any]:
        output = op(*arrays)
        return output if isinstance(output, tuple) else (output, ())

    output, pull, rest = jax.vjp(first, *arrays[:-1], has_aux=True)
    return (output, rest), pull(arrays[-1])


def miss(found: Any, expected: Any) -> float:
    """The largest difference, beside the largest number."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    both = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    return max(float(abs(a - b).max() / max(abs(b).max(), 1e-9)) for a, b in both)


def of_op(op: Callable[..., Any], arrays: Sequence[Array], kernels: int, computed: bool) -> dict[str, float]:
    output = jax.eval_shape(op, *arrays)
    output = output[0] if isinstance(output, tuple) else output
    weights = jnp.cos(jnp.arange(output.size, dtype=output.dtype)).reshape(output.shape)
    split = [P("data")] * (len(arrays) - kernels) + [P()] * kernels
    run, given, specs = partial(pulled, op), [*arrays, weights], [*split, P("data")]
    on_explicit = jax.jit(run)
    inside = jax.jit(jax.shard_map(run, mesh=AUTO, in_specs=tuple(specs), out_specs=(P("data"), tuple(split))))
    placed = [jax.device_put(array, NamedSharding(EXPLICIT, spec)) for array, spec in zip(given, specs, strict=True)]
    if not computed:
        on_explicit.trace(*placed)
        inside.trace(*given)
        return {"explicit": 0.0, "inside": 0.0}
    expected = jax.jit(run)(*given)
    return {"explicit": miss(on_explicit(*placed), expected), "inside": miss(inside(*given), expected)}


def of_counts(run: Callable[..., Any], arrays: Sequence[np.ndarray]) -> dict[str, float]:
    """What is one number, or one table, for a batch."""
    placed = [jax.device_put(array, NamedSharding(EXPLICIT, P("data"))) for array in arrays]
    jax.jit(run).trace(*placed)
    inside = lambda *arrays: jax.tree.map(lambda x: jax.lax.psum(x, "data"), run(*arrays))  # noqa: E731
    jax.jit(jax.shard_map(inside, mesh=AUTO, in_specs=P("data"), out_specs=P())).trace(*arrays)
    return {"explicit": 0.0, "inside": 0.0}


def of_model(model: models.Segmenter) -> dict[str, float]:
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), IMAGES)
    rest = {name: values for name, values in variables.items() if name != "params"}

    def gradient(params: Any, rest: Any, images: Array) -> Any:
        def loss(params: Any) -> Array:
            rngs = {"dropout": jax.random.key(1)}
            logits, _ = model.apply({"params": params, **rest}, images, train=True, mutable=list(rest), rngs=rngs)
            return losses.cross_entropy(logits, jnp.zeros(logits.shape[:3], jnp.int32))

        return jax.grad(loss)(params)

    def placed(tree: Any, spec: P) -> Any:
        sharding = NamedSharding(EXPLICIT, spec)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    jax.jit(gradient).trace(placed(variables["params"], P()), placed(rest, P()), placed(IMAGES, P("data")))
    inside = jax.shard_map(gradient, mesh=AUTO, in_specs=(P(), P(), P("data")), out_specs=P())
    jax.jit(inside).trace(variables["params"], rest, IMAGES)
    return {"explicit": 0.0, "inside": 0.0}


COUNTS: dict[str, tuple[Callable[..., Any], Sequence[np.ndarray]]] = {
    name: (jax.value_and_grad(getattr(losses, name)), given)
    for names, given in (
        (("cross_entropy", "focal", "ohem_cross_entropy", "dice", "lovasz_softmax", "boundary_loss"), (LOGITS, MASK)),
        (("upsampled_cross_entropy",), (LOGITS, MASK)),
        (("sigmoid_focal", "sigmoid_dice", "lovasz_hinge", "sigmoid_boundary"), (LOGITS, BITS)),
        (("ciou_loss", "smooth_l1_loss"), (BOXES, TRUTH)),
    )
    for name in names
}
COUNTS |= {
    name: (partial(getattr(metrics, name), num_classes=3), (MASK, MASK))
    for name in ("confusion_matrix", "boundary_iou_counts")
}
COUNTS |= {"calibration_counts": (metrics.calibration_counts, (LOGITS, MASK))}
MODELS = {
    "mit_b0": ("segformer", {}),
    "swinv2_tiny": ("unetplusplus", {"depth": 2}),
    "vit_tiny": ("dpt", {}),
}


def main() -> None:
    found = {}
    for name, case in cases().items():
        if name != "augment":  # each image's key is made of its place, which devices count from 0
            found[name] = of_op(case.op, case.arrays, case.kernels, name in COMPUTED)
    for name, (run, arrays) in COUNTS.items():
        found[name] = of_counts(run, arrays)
    for name, (decoder, fields) in MODELS.items():
        found[name] = of_model(models.Segmenter(3, encoders.named(name, **fields), decoders.named(decoder)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
