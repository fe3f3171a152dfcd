"""How fast the ops are beside torch's and Flax's: `python -m benchmarks.ops [--quick] [--only NAME] [--out FILE]`.

Every case runs at the two shapes below, which are those of the features that the op is given; max-unpool is given what
max-pooling made of them. "forward + backward" is one call that returns the output and the gradients of the features
and of the kernel, and torch does the same.

On CPU: float32; torch eager, channels-last and with a thread for every core; jax with XLA's kernel library kept for
reductions alone, which is what segjax trains with (that library makes the gradients of kernels slow). On a GPU:
float32 and bfloat16, torch on the same device.

Beside the times stand the bytes of temporary buffers in the compiled program, the bytes that must move (each argument
read once, each result written once), and the time of a bare copy that moves as many. Times are medians of 11 calls at
least, or of 3 where there is no figure to reach. Flax's transposed convolution, whose gradient is many times slower on
CPU, is raced at a smaller shape. Five to ten minutes on two quiet CPU cores.
"""

import argparse
import json
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.stages import Compiled

from benchmarks.asked import file_to_write
from benchmarks.op_cases import CASES, Case, Shape, noise
from benchmarks.report import machine, markdown, versions
from benchmarks.timing import Timing, race
from segjax import ops

try:
    import torch
except ImportError:
    torch: Any = None

SHAPES: list[Shape] = [(8, 256, 256, 64), (8, 64, 64, 256)]
FLAX_SHAPE: Shape = (1, 32, 32, 256)
GPU_SHARE = 0.8
"""Of the copy's bandwidth, what an op that only moves bytes has to reach on a GPU."""
PASSES = ("forward", "forward + backward")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description="How fast the ops are.")
    parser.add_argument("--quick", action="store_true", help="tiny arrays, one round: does everything run?")
    parser.add_argument("--only", metavar="NAME", default="", help="the cases whose name contains this")
    parser.add_argument(
        "--out", metavar="FILE", type=file_to_write, help="write the rows there, not to standard output"
    )
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in case.name]
    if not cases:
        parser.error(f"no case's name contains {options.only}")
    if torch is not None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.backends.cudnn.benchmark = True

    rows = []
    try:
        for case in cases:
            for shape in [(2, 8, 8, 8)] if options.quick else SHAPES:
                for dtype in [jnp.float32, jnp.bfloat16] if on_gpu() else [jnp.float32]:
                    rows += measure(case, noise(*shape).astype(dtype), rounds=1 if options.quick else case.rounds)
            if case.flax is not None:
                rows += measure_flax(case, noise(*(2, 8, 8, 8) if options.quick else FLAX_SHAPE))
    except KeyboardInterrupt:
        print("Stopped: the table has what was measured until here.")
    about = {"machine": machine(), "versions": versions("jax", "jaxlib", "flax", "numpy", "torch")}
    lines = "\n".join(json.dumps(row | about) for row in rows)
    if options.out is None:
        print(lines)
    else:
        options.out.write_text(lines + "\n")
    print(table(rows))
    print("\n" + "; ".join([about["machine"], *(f"{name} {version}" for name, version in about["versions"].items())]))
    if not all(row["quiet"] for row in rows):
        print("The machine was busy with something else: read the ratios alone.")


def measure(case: Case, x: Array, rounds: int) -> list[dict[str, Any]]:
    """The rows of both passes, beside torch and a copy."""
    arguments = case.inputs(x)
    programs, calls = our_calls(case.ours, arguments)
    torch_calls = calls_of_torch(case, arguments)
    rows = []
    for i, program in enumerate(programs):
        memory = program.memory_analysis()
        assert memory is not None
        moved = memory.argument_size_in_bytes + memory.output_size_in_bytes
        candidates = {"segjax": calls[i]}
        if torch_calls:
            candidates["torch"] = torch_calls[i]
        if case.memory_bound:
            candidates["copy"] = copy_of(moved)
        timings = race(candidates, rounds, max_seconds=4.0 * (rounds - 1))
        row = {"op": case.name, "shape": x.shape, "dtype": x.dtype.name, "pass": PASSES[i]}
        row |= figures(timings, "torch", None if on_gpu() else case.limits[i])
        row |= {"temp_bytes": memory.temp_size_in_bytes, "moved_bytes": moved}
        if case.memory_bound:
            limit = 1 / GPU_SHARE if on_gpu() else case.copy_limit if i == 0 else None
            row |= {
                "copy_ratio": round(timings["segjax"].seconds / timings["copy"].seconds, 3),
                "copy_limit": limit,
                "copy_gb_per_s": round(moved / timings["copy"].seconds / 1e9, 1),
            }
        print(f"{case.name} {x.shape} {x.dtype} {PASSES[i]}: {row['segjax_ms']} ms", flush=True)
        rows.append(row)
    return rows


def measure_flax(case: Case, x: Array) -> list[dict[str, Any]]:
    """The rows of both passes beside Flax's own layer."""
    assert case.flax is not None
    arguments = case.inputs(x)
    np.testing.assert_allclose(case.flax(*arguments), case.ours(*arguments), atol=1e-3)
    pairs = zip(our_calls(case.ours, arguments)[1], our_calls(case.flax, arguments)[1], strict=True)
    rows = []
    for name, (ours, theirs) in zip(PASSES, pairs, strict=True):
        timings = race({"segjax": ours, "flax": theirs}, rounds=3, max_seconds=0.0)
        row = {"op": case.name, "shape": x.shape, "dtype": x.dtype.name, "pass": name}
        rows.append(row | figures(timings, "flax", None))
    return rows


def our_calls(op: Callable, arguments: tuple) -> tuple[list[Compiled], list[Callable[[], Any]]]:
    """Both passes, as programs and as what a race calls."""
    gradient = noise(*jax.tree.leaves(jax.eval_shape(op, *arguments))[0].shape).astype(arguments[0].dtype)
    learned = sum(isinstance(argument, Array) for argument in arguments)

    def both(gradient: Array, *arguments: Any) -> tuple:
        def first(*leading: Array) -> tuple[Array, Any]:
            output = op(*leading, *arguments[learned:])
            return output if isinstance(output, tuple) else (output, ())

        output, pull, rest = jax.vjp(first, *arguments[:learned], has_aux=True)
        return output, rest, pull(gradient)

    # As segjax trains: a nested jit may not have options of its own, and other backends refuse this one.
    options: dict[str, str | bool] = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    programs = [
        jax.jit(function).lower(*values).compile(compiler_options=None if on_gpu() else options)
        for function, values in ((op, arguments), (both, (gradient, *arguments)))
    ]
    return programs, [lambda: programs[0](*arguments), lambda: programs[1](gradient, *arguments)]


def calls_of_torch(case: Case, arguments: tuple) -> list[Callable[[], Any]]:
    """Both passes in torch; none where it is not installed, cannot use this device or has no such op."""
    op = case.theirs
    if torch is None or op is None or (on_gpu() and not torch.cuda.is_available()):
        return []
    twins = [
        tensor(a.flat(), case.axes[0]).long() if isinstance(a, ops.PoolIndices) else tensor(a, axes).requires_grad_()
        for a, axes in zip(arguments, case.axes, strict=False)
    ]

    def forward() -> Any:
        with torch.no_grad():
            return op(*twins)

    output = forward()
    gradient = torch.randn_like(output[0] if isinstance(output, tuple) else output)

    def both() -> tuple:
        output = op(*twins)
        first = output[0] if isinstance(output, tuple) else output
        return output, torch.autograd.grad(first, [t for t in twins if t.requires_grad], gradient)

    return [forward, both]


def tensor(array: Array, axes: tuple[int, ...]) -> Any:
    """A torch tensor with its axes in that order, on the device that jax has."""
    wide = array.astype(jnp.float32) if array.dtype == jnp.bfloat16 else array
    tensor = torch.from_numpy(np.array(wide).transpose(axes)).to("cuda" if on_gpu() else "cpu")
    tensor = tensor.contiguous() if axes == (0, 1, 2, 3) else tensor.contiguous(memory_format=torch.channels_last)
    return tensor.to(torch.bfloat16) if array.dtype == jnp.bfloat16 else tensor


def copy_of(moved: int) -> Callable[[], Array]:
    """Read half of the bytes and write the other half: one loop, which a change of sign keeps XLA from eliding."""
    source = jnp.ones(moved // 8, jnp.float32)
    program = jax.jit(jnp.negative).lower(source).compile()
    return lambda: program(source)


def figures(timings: dict[str, Timing], other: str, limit: float | None) -> dict[str, Any]:
    """Milliseconds of each, and the ratio to the other's with its limit."""
    row: dict[str, Any] = {f"{name}_ms": round(1e3 * timing.seconds, 3) for name, timing in timings.items()}
    row |= {f"{name}_cpu_ms": round(1e3 * timing.cpu_seconds, 3) for name, timing in timings.items()}
    if other in timings:
        row |= {"ratio": round(timings["segjax"].seconds / timings[other].seconds, 3), "limit": limit}
    return row | {"rounds": timings["segjax"].rounds, "quiet": timings["segjax"].quiet}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""

    def cells(row: dict[str, Any]) -> list[str]:
        other = next((f"{name} {row[f'{name}_ms']:.1f}" for name in ("torch", "flax") if f"{name}_ms" in row), "")
        ratios = [row.get(name) for name in ("ratio", "limit", "copy_ratio", "copy_limit")]
        return [
            row["op"],
            " x ".join(map(str, row["shape"])),
            row["dtype"],
            row["pass"],
            f"{row['segjax_ms']:.1f}",
            other,
            *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            f"{row['temp_bytes'] / 2**20:.1f}" if "temp_bytes" in row else "",
        ]

    head = ["op", "features", "dtype", "pass", "segjax ms", "other ms", "ratio", "at most", "of a copy", "at most"]
    return markdown([*head, "temporary MiB"], [cells(row) for row in rows])


def on_gpu() -> bool:
    return jax.default_backend() == "gpu"


if __name__ == "__main__":
    main()
