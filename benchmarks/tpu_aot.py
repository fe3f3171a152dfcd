"""Ops compiled ahead of time for a TPU, on any machine: `pip install libtpu`, `python -m benchmarks.tpu_aot [--quick]`.

XLA says of each optimised program how many cycles it estimates, how much memory it needs beside inputs and outputs, and
what is in it. The cycles of a copy of the bytes that must move are the measure; gathers and scatters have no estimate,
so that a program with one costs more than it says. Where `REASONS` does not list one, or what the chips say to each
other, the command ends with a sentence.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no TPU is asked for
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.op_cases import CASES, CONV, CONV_TRANSPOSE, Case
from benchmarks.report import markdown, versions

SHAPE = (16, 128, 128, 128)
DTYPES = ("bfloat16", "float32")
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
WITHOUT_ESTIMATE = ("gather", "scatter", "sort", "select-and-scatter")
READ_AT_POINTS = "which pixels are read is only known when the program runs"
FAR_POINTS = "only where a point lies two pixels or farther from its own"
OF_KERNELS = "every chip has a share of the batch, and the kernel's gradient is their sum"
REASONS: dict[str, dict[str, str]] = {
    "gather": {
        "max-pool with argmax": "what is gathered is stored, so that the input is not kept and searched again",
        "grid sample x2": READ_AT_POINTS,
        "dysample x2": FAR_POINTS,
    },
    "scatter": {"grid sample x2": READ_AT_POINTS, "dysample x2": FAR_POINTS},
    "sort": {"grid sample x2": READ_AT_POINTS, "dysample x2": FAR_POINTS},
    "all-reduce": {
        **dict.fromkeys((case.name for case in CASES if case.axes[1] in (CONV, CONV_TRANSPOSE)), OF_KERNELS),
        "dysample x2": "whether a point lies that far is asked of all chips",
    },
}
"""What an op's programs may hold, and why."""
QUICK = (
    "max-pool with argmax", "max-unpool 2x2", "conv 1x1", "nearest x2", "bilinear x2", "bicubic x2", "pixel shuffle",
    "transposed conv 2x2 s2",
)  # fmt: skip
"""Those that compile in seconds."""
_MOST_NESTED = 3
"""Loops within loops whose cycles are counted."""
_LIKELY = r"\bconditional\(.*(?:branch_computations=\{(?:[^}]*, )?|true_computation=)%?([\w.\-]+)"
"""The last branch of a choice, or that of a condition which holds."""


class Program(NamedTuple):
    """What XLA says of a compiled program, for one device."""

    cycles: int
    temporaries: int
    """Bytes."""
    holds: Counter[str]
    """How many of the operations that communicate, or that have no estimate."""
    seconds: float
    """Of compiling."""


def devices(topology: str) -> Mesh:
    """Those of a slice, all along one axis "data"."""
    chips = topologies.get_topology_desc(topology, "tpu").devices
    return Mesh(np.array(chips), ("data",), axis_types=(AxisType.Auto,))


def compiled(run: Callable, inputs: Sequence[Any], mesh: Mesh, batch: int) -> Program:
    """A program whose batch, wherever an array begins with it, is split over the devices."""

    def placed(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        split = P("data") if _has_batch(x, batch) else P()
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, split))

    began = time.perf_counter()
    program = jax.jit(run).lower(*jax.tree.map(placed, inputs)).compile()
    seconds = time.perf_counter() - began
    text, memory = program.as_text(), program.memory_analysis()
    assert text is not None
    assert memory is not None
    holds = Counter(one.kind for one in operations(text, (*COLLECTIVES, *WITHOUT_ESTIMATE)))
    return Program(cycles_of(text), memory.temp_size_in_bytes, holds, seconds)


class Operation(NamedTuple):
    """One of an optimised program."""

    kind: str
    result: str
    """Its types, as they are written."""
    starts: bool
    """Whether another one ends it."""


def operations(text: str, kinds: Iterable[str]) -> Iterator[Operation]:
    """Those of an optimised program that are of these kinds.

    TPUs reduce and scatter in a fused computation, whose name alone says it: what is reduced there is an all-reduce.
    """
    for name, lines in computations(text)[0].items():
        for result, kind, starts in re.findall(rf" = (.*?) ({'|'.join(kinds)})(-start)?\(", "\n".join(lines)):
            yield Operation("reduce-scatter" if name.startswith("all-reduce-scatter") else kind, result, bool(starts))


def computations(text: str) -> tuple[dict[str, list[str]], str | None]:
    """The lines of each of an optimised program's computations by its name, and the name of the first to run."""
    bodies: dict[str, list[str]] = {}
    entry = lines = None
    for line in text.splitlines():
        if begins := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            lines = bodies.setdefault(begins[2], [])
            entry = begins[2] if begins[1] else entry
        elif lines is not None:
            lines.append(line)
    return bodies, entry


def cycles_of(text: str) -> int:
    """The estimates of an optimised program's instructions, those of a loop as often as it is known to turn.

    Of a choice that branch is counted which is taken where the condition holds: ops ask for what is likely.
    """
    bodies, entry = computations(text)

    def total(name: str, nested: int) -> int:
        cycles = 0
        for line in bodies.get(name, []):
            if estimate := re.search(r'estimated_cycles":"(\d+)"', line):
                cycles += int(estimate[1])
            if nested < _MOST_NESTED and (loop := re.search(r"\bwhile\(.*body=%?([\w.\-]+)", line)):
                cycles += total(loop[1], nested + 1) * _turns(line, bodies)
            if nested < _MOST_NESTED and (call := re.search(r"\bcall\(.*to_apply=%?([\w.\-]+)", line)):
                cycles += total(call[1], nested + 1)
            if nested < _MOST_NESTED and (likely := re.search(_LIKELY, line)):
                cycles += total(likely[1], nested + 1)
        return cycles

    return total(entry, 0) if entry is not None else 0


def _turns(loop: str, bodies: dict[str, list[str]]) -> int:
    """How often the loop of a line turns: as is said of it, or as its condition compares; 1 where neither is known."""
    if said := re.search(r'known_trip_count":\{"n":"(\d+)"', loop):
        return int(said[1])
    condition = re.search(r"condition=%?([\w.\-]+)", loop)
    lines = bodies.get(condition[1], []) if condition else []
    bounds = [found[1] for line in lines if (found := re.search(r"= s32\[\]\S* constant\((\d+)\)", line))]
    compares = any("direction=LT" in line for line in lines)
    return int(bounds[0]) if compares and len(bounds) == 1 else 1


def passes(case: Case, x: jax.ShapeDtypeStruct) -> Iterable[tuple[str, Callable, tuple[Any, ...]]]:
    """Forward and gradient of an op: their names, functions and inputs."""
    inputs = jax.eval_shape(case.inputs, x)
    learned = [i for i, each in enumerate(inputs) if isinstance(each, jax.ShapeDtypeStruct) and _floating(each)]

    def gradient(upstream: Any, *given: Any) -> Any:
        def outputs(*values: Any) -> Any:
            mixed = dict(enumerate(given)) | dict(zip(learned, values, strict=True))
            return [leaf for leaf in jax.tree.leaves(case.ours(*mixed.values())) if _floating(leaf)]

        return jax.vjp(outputs, *(given[i] for i in learned))[1](upstream)

    yield "forward", case.ours, inputs
    upstream = [leaf for leaf in jax.tree.leaves(jax.eval_shape(case.ours, *inputs)) if _floating(leaf)]
    yield "gradient", gradient, (upstream, *inputs)


def moved(run: Callable, inputs: Sequence[Any], mesh: Mesh, batch: int) -> float:
    """Bytes of the inputs and outputs that a device has."""
    leaves = jax.tree.leaves((inputs, jax.eval_shape(run, *inputs)))
    return sum(x.size * x.dtype.itemsize / (mesh.size if _has_batch(x, batch) else 1) for x in leaves)


def main() -> None:
    """Compile and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpu_aot", description="Ops compiled for a TPU.")
    parser.add_argument("--topology", default="v5e:2x2", help="(%(default)s)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--only", default="", metavar="TEXT", help="ops whose names hold this")
    parser.add_argument("--quick", action="store_true", help="only ops that compile in seconds, in bfloat16")
    arguments = parser.parse_args()
    dtypes, asked = (("bfloat16",), QUICK) if arguments.quick else (arguments.dtypes, [case.name for case in CASES])
    mesh, rows, unlisted = devices(arguments.topology), [], []
    for dtype in dtypes:
        x = jax.ShapeDtypeStruct(SHAPE, jnp.dtype(dtype))
        copy = compiled(lambda x: x + 1, (x,), mesh, SHAPE[0]).cycles / moved(lambda x: x, (x,), mesh, SHAPE[0])
        for case in (case for case in CASES if case.name in asked and arguments.only in case.name):
            for name, run, inputs in passes(case, x):
                found = compiled(run, inputs, mesh, SHAPE[0])
                times = found.cycles / (copy * moved(run, inputs, mesh, SHAPE[0]))
                holds = ", ".join(f"{count} {what}" for what, count in found.holds.items())
                cells = f"{found.cycles / 1e6:.2f}", f"{times:.1f}", f"{found.temporaries / 2**20:.0f}", holds
                rows.append([case.name, dtype, name, *cells, f"{found.seconds:.1f}"])
                unlisted += [f"{what} in {case.name}" for what in found.holds if case.name not in REASONS.get(what, {})]
                print(*rows[-1], sep="  ", flush=True)
    columns = ("op", "dtype", "pass", "Mcycles", "times a copy", "temporaries, MiB", "holds", "compiling, s")
    print(f"\n{markdown(columns, rows)}\n\n{arguments.topology}, {versions('jax', 'libtpu')}")
    if unlisted:
        sys.exit(f"No reason is listed for {', '.join(sorted(set(unlisted)))}: benchmarks/tpu_aot.py, REASONS.")


def _floating(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _has_batch(x: Any, batch: int) -> bool:
    return bool(x.ndim) and x.shape[0] == batch


if __name__ == "__main__":
    main()
