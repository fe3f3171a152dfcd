"""Every op on a batch split over 8 devices: a program that prints, as JSON, what each one communicated and missed by.

Run by test_sharding.py, as the devices have to be asked for before jax starts.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from op_cases import BATCH, Case, cases

COLLECTIVE = re.compile(r"\b(all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter)(?:-start)?\(")


def with_gradients(op: Callable) -> Callable:
    """Output and gradients of all arrays, for the gradient of ones times position that makes no two of them alike."""

    def run(*arrays: Array) -> tuple:
        def first(*arrays: Array) -> tuple[Array, object]:
            output = op(*arrays)
            return output if isinstance(output, tuple) else (output, ())

        output, pull, rest = jax.vjp(first, *arrays, has_aux=True)
        places = jnp.arange(output[0].size, dtype=jnp.float32).reshape(output[0].shape)
        return output, rest, pull(jnp.broadcast_to(jnp.cos(places), output.shape))

    return run


def check(case: Case, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """What the op and its gradient say to other devices, how far they are from one device's, and if they repeat."""
    split, same = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    batch = len(case.arrays) - case.kernels
    placed = [jax.device_put(array, split if i < batch else same) for i, array in enumerate(case.arrays)]
    forward = jax.jit(case.op).lower(*placed).compile() if case.kernels else None
    both = jax.jit(with_gradients(case.op))
    program = both.lower(*placed).compile()
    here, again, alone = (jax.tree.leaves(r) for r in (program(*placed), program(*placed), both(*case.arrays)))
    return {
        "forward": collectives(forward) if forward else [],
        "forward and gradient": collectives(program),
        "expected": ["all-reduce"] if case.kernels else list(case.says),
        "misses by": max(miss(a, b) for a, b in zip(here, alone, strict=True)),
        "repeats": all(np.array_equal(a, b) for a, b in zip(here, again, strict=True)),
    }


def collectives(program: jax.stages.Compiled) -> list[str]:
    return sorted(set(COLLECTIVE.findall(program.as_text() or "")))


def miss(a: Array, b: Array) -> float:
    """The largest difference, beside the largest number."""
    there, here = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(abs(there - here).max() / max(abs(here).max(), 1e-9))


def main() -> None:
    assert jax.device_count() == BATCH
    mesh = jax.make_mesh((BATCH,), ("data",), axis_types=(AxisType.Auto,))
    print(json.dumps({name: check(case, mesh) for name, case in cases().items()}))


if __name__ == "__main__":
    main()
