"""U-Net's training step and inference beside PyTorch: `python -m benchmarks.train_step [--base N] [--out FILE]`.

The step is the training loop's own, with AdamW and cross-entropy over 21 classes, and with what the loop counts
besides: the confusion matrix and the gradient's norm. PyTorch's is the same network from the same weights,
channels-last, eager and under `torch.compile`; that both return the same loss is checked. All take turns in one
run, two calls each, of which the second is timed; times are medians of 5 rounds at least, of inference 15.

On CPU: float32, 4 images of 256x256 or 1 of 512x512, torch with a thread for every core. On a GPU: bfloat16 (torch's
autocast), 16 images, and the share of the maker's peak. "cold" is the time to trace and compile, "cached" the same with
the program found in the persistent cache. Memory is the compiled program's: arguments, results and what is kept
between them. Memory is in huge pages for both, as the segjax command has it; `GLIBC_TUNABLES=glibc.malloc.hugetlb=0`
before the command measures both without.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from benchmarks.asked import file_to_write
from benchmarks.report import machine, markdown, versions
from benchmarks.timing import race
from benchmarks.torch_unet import TorchUNet, load_variables
from segjax import compiling, losses
from segjax.cli.arguments import count
from segjax.cli.pages import start_again_with_huge_pages
from segjax.data import Dataset
from segjax.eigen import convolve_by_eigen
from segjax.flops import flops_of
from segjax.layers import ConvBlock
from segjax.models import unet
from segjax.tasks import Segmentation
from segjax.train import Experiment, Layout
from segjax.train.devices import Placement, peak_bytes
from segjax.train.evaluate import initial_variables
from segjax.train.speed import peak_flops
from segjax.train.state import TrainState
from segjax.train.step import one_step

try:
    import torch
except ImportError:
    torch: Any = None

CLASSES = 21
LIMITS = {32: 1.3, 64: 1.15}
"""At most what share of eager torch's time a training step may take on a CPU, by the width of the first stage."""


class Rivals(NamedTuple):
    """A network here and in torch, with the same weights."""

    about: dict[str, Any]
    """What a row says of it."""
    model: nn.Module
    variables: Any
    network: Callable[[], Any]
    """Makes the torch module."""
    limit: float | None
    """At most what share of eager torch's time a training step may take on a CPU."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step", description="U-Net beside PyTorch.")
    parser.add_argument("--quick", action="store_true", help="tiny images, one round: does everything run?")
    parser.add_argument("--base", type=count, help="only this width of the first stage")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", metavar="FILE", type=file_to_write, help="write the rows there as JSON, too")
    options = parser.parse_args()
    run_as_the_command()
    gpu = jax.default_backend() == "gpu"
    sizes = [(2, 32)] if options.quick else [(16, 256), (16, 512)] if gpu else [(4, 256), (1, 512)]
    bases = [options.base] if options.base else [4] if options.quick else [32, 64]
    cases = [(partial(unets, base, size), batch, size) for base in bases for batch, size in sizes]
    compare(cases, options.quick, not options.no_compile, options.out)


def compare(
    cases: Sequence[tuple[Callable[[], Rivals], int, int]], quick: bool, compiled: bool, out: Path | None
) -> None:
    """Measure networks, each with a batch of images of a size, and print the table."""
    if torch is not None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        try:
            for make, batch, size in cases:
                rows += measure(*make(), batch, size, 1 if quick else 5, compiled=compiled)
        except KeyboardInterrupt:
            print("Stopped: the table has what was measured until here.")
    about = {"machine": machine(), "versions": versions("jax", "jaxlib", "flax", "optax", "torch")}
    if out is not None:
        out.write_text("".join(json.dumps(row | about) + "\n" for row in rows))
    print(table(rows))
    print("\n" + "; ".join([about["machine"], *(f"{name} {version}" for name, version in about["versions"].items())]))


def compare_by_name(module: str, about: str | None, names: Iterable[str], rivals: Callable[[str], Rivals]) -> None:
    """The command of a benchmark that measures one network a name, of images of 256x256."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--quick", action="store_true", help="tiny images, one round: does everything run?")
    parser.add_argument("--only", choices=tuple(names), help="one of them")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", metavar="FILE", type=file_to_write, help="write the rows there as JSON, too")
    options = parser.parse_args()
    run_as_the_command()
    batch, size = (2, 64) if options.quick else (16 if jax.default_backend() == "gpu" else 4, 256)
    cases = [(partial(rivals, name), batch, size) for name in ([options.only] if options.only else names)]
    compare(cases, options.quick, not options.no_compile, options.out)


def run_as_the_command() -> None:
    """Memory in huge pages, which torch has then, too, and XLA's convolutions by Eigen."""
    start_again_with_huge_pages()
    convolve_by_eigen()


def unets(base: int, size: int) -> Rivals:
    """U-Net of that width."""
    model = unet(CLASSES, base, block=partial(ConvBlock, dtype=computed_in()))
    variables = initial_variables(model, np.zeros((1, size, size, 3), np.float32), jax.random.key(0))
    return Rivals(
        {"base": base}, model, variables, lambda: load_variables(TorchUNet(CLASSES, base), variables), LIMITS.get(base)
    )


def computed_in() -> Any:
    """bfloat16 on a GPU."""
    return jnp.bfloat16 if jax.default_backend() == "gpu" else jnp.float32


def measure(
    about: dict[str, Any],
    model: nn.Module,
    variables: Any,
    network: Callable[[], Any],
    limit: float | None,
    batch: int,
    size: int,
    rounds: int,
    *,
    compiled: bool,
) -> list[dict[str, Any]]:
    """The rows of training and of inference."""
    dtype = computed_in()
    rng = np.random.default_rng(0)
    image = rng.standard_normal((batch, size, size, 3)).astype(np.float32)
    mask = rng.integers(0, CLASSES, (batch, size, size)).astype(np.int32)
    key = jax.random.key(0)

    data = Dataset("noise", tuple(map(str, range(CLASSES))), ((0, 0, 0),) * CLASSES, lambda split: [])
    optimizer = optax.adamw(1e-3)
    experiment = Experiment(model, data, losses.cross_entropy, optimizer, steps=1, batch_size=batch)
    task = Segmentation(data)
    placement = Placement(Layout(devices=1), batch)
    started = TrainState.initial(jax.tree.map(jnp.copy, variables), optimizer, task.zero())  # its step uses it up
    state = placement.state(started)
    on_device = placement.batch({"image": image, "mask": mask})
    step = partial(one_step, experiment=experiment, task=task)
    program = placement.compile(step, state, on_device, key)
    jax.clear_caches()
    cached = placement.compile(step, state, on_device, key).seconds
    predict = compiling.jit(partial(model.apply, train=False)).trace(variables, on_device["image"])
    apply = predict.lower().compile()

    held = [state]

    def train() -> Any:
        held[0] = program.run(held[0], on_device, key)
        return held[0].tally.loss

    training: dict[str, Callable[[], Any]] = {"segjax": train}
    inference: dict[str, Callable[[], Any]] = {"segjax": lambda: apply(variables, on_device["image"])}
    if torch is not None:
        for name, both in torch_calls(network, image, mask, compiled).items():
            training[name], inference[name] = both

    common = about | {"batch": batch, "size": size, "dtype": jnp.dtype(dtype).name}
    rows = []
    for name, calls in (("inference", inference), ("train", training)):  # which leaves its memory behind
        began = time.perf_counter()
        if name == "train" and "torch" in calls and dtype == jnp.float32:
            first = float(calls["segjax"]())
            np.testing.assert_allclose(float(calls["torch"]()), first, rtol=1e-4)
        timings = race(calls, rounds if name == "train" else 3 * rounds, max_seconds=60.0, calls=2)
        row: dict[str, Any] = common | {"pass": name}
        row |= {f"{who}_ms": round(1e3 * timing.seconds, 1) for who, timing in timings.items()}
        row["quiet"] = timings["segjax"].quiet
        row["images_per_s"] = round(batch / timings["segjax"].seconds, 2)
        flops = program.flops if name == "train" else flops_of(predict.jaxpr)
        row["gflop"] = round(flops / 1e9, 1)
        row["share_of_peak"] = round(flops / timings["segjax"].seconds / peak_flops(), 3)
        row["peak_mib"] = round(peak_bytes(program.compiled if name == "train" else apply) / 2**20)
        if name == "train":
            row |= {"cold_s": round(program.seconds, 1), "cached_s": round(cached, 1), "limit": limit}
        else:
            row["limit"] = 1.0
        rows.append(row)
        print(json.dumps(row), f"{time.perf_counter() - began:.0f} s", flush=True)
    return rows


def torch_calls(
    make: Callable[[], Any], image: np.ndarray, mask: np.ndarray, compiled: bool
) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """A training step and inference of the same network, eager and compiled."""
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    if device == "cpu" and jax.default_backend() == "gpu":
        return {}
    x = torch.from_numpy(image).permute(0, 3, 1, 2).to(device=device)  # channels-last as it lies
    y = torch.from_numpy(mask).long().to(device)
    autocast = partial(torch.autocast, device, torch.bfloat16, enabled=device == "cuda")

    def calls(network: Any, run: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-4, fused=True)

        def train() -> Any:
            network.train()
            optimizer.zero_grad(set_to_none=True)
            with autocast():
                logits = run(x)
            loss = torch.nn.functional.cross_entropy(logits.float(), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        def infer() -> Any:
            network.eval()
            with torch.inference_mode(), autocast():
                return run(x)

        return train, infer

    found = {}
    for name in ("torch", "torch.compile") if compiled else ("torch",):
        network = make().to(device, memory_format=torch.channels_last)
        found[name] = calls(network, torch.compile(network) if name == "torch.compile" else network)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown, with ratios to torch's times."""
    name = next(iter(rows[0]))

    def cells(row: dict[str, Any]) -> list[str]:
        others = [row.get(f"{rival}_ms") for rival in ("torch", "torch.compile")]
        ratios = ["" if other is None else f"{row['segjax_ms'] / other:.2f}" for other in others]
        compiling = f"{row['cold_s']} / {row['cached_s']}" if "cold_s" in row else ""
        return [
            row["pass"],
            str(row[name]),
            f"{row['batch']} x {row['size']} x {row['size']}",
            f"{row['segjax_ms']:.0f}" + ("" if row["quiet"] else " (busy)"),
            f"{row['images_per_s']:.2f}",
            *ratios,
            "" if row["limit"] is None else f"{row['limit']:.2f}",
            f"{row['gflop']:.0f}",
            f"{row['share_of_peak']:.2f}",
            str(row["peak_mib"]),
            compiling,
        ]

    head = [
        "pass",
        name,
        "images",
        "segjax ms",
        "images/s",
        "of torch",
        "of torch.compile",
        "goal, of torch",
    ]
    return markdown([*head, "GFLOP", "of peak", "peak MiB", "compile cold / cached s"], [cells(row) for row in rows])


if __name__ == "__main__":
    main()
