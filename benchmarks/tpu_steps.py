"""U-Net's training step compiled ahead of time for TPUs: `pip install libtpu`, `python -m benchmarks.tpu_steps`.

The step is the training loop's own, with AdamW, weights averaged and cross-entropy over 21 classes, in bfloat16, laid
out as `--devices`, `--space`, `--shard-optimizer`, `--steps-per-call` and `--accumulate` lay it out, four images a
chip, or for the chips that share them, in each part. XLA says of the program how many cycles it estimates for a step,
what memory a chip needs, and what the chips say to each other.
"""

import argparse
import math
import re
import time
from functools import partial
from typing import Any, NamedTuple

from benchmarks.tpu_aot import COLLECTIVES, cycles_of, devices, operations  # first: it asks for no TPU

import jax  # isort: skip
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks.report import markdown, versions
from segjax import losses
from segjax.cli.arguments import count
from segjax.data import Dataset
from segjax.layers import ConvBlock
from segjax.models import unet
from segjax.tasks import Segmentation
from segjax.train import Experiment, Layout
from segjax.train.devices import Placement, peak_bytes
from segjax.train.state import TrainState
from segjax.train.step import several_steps

CLASSES, SIZE, EACH = 21, 128, 4
TOPOLOGIES = ("v5e:2x2", "v6e:2x2", "v5e:8x8")
LAYOUTS: dict[str, tuple[Layout, int]] = {
    "plain": (Layout(), 1),
    "shard-optimizer": (Layout(shard_optimizer=True), 1),
    "space-2": (Layout(space=2), 1),
    "accumulate-4": (Layout(), 4),
    "steps-per-call-10": (Layout(steps_per_call=10), 1),
}
_BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "u8": 1, "s8": 1, "f16": 2}


class Said(NamedTuple):
    """What the chips say to each other by one kind of collective."""

    times: int
    bytes: int


def collectives(text: str) -> dict[str, Said]:
    """Those of an optimised program, by kind, with the bytes of their results."""
    found: dict[str, Said] = {}
    for kind, result, starts in operations(text, COLLECTIVES):
        shapes = re.findall(r"\b(\w+)\[([\d,]*)\]", result)
        sizes = [_BYTES.get(dtype, 4) * math.prod(int(n) for n in dims.split(",") if n) for dtype, dims in shapes]
        # What begins a gathering or a permutation has its operand among its results.
        total = sum(sizes) - (sizes[0] if starts and kind in ("all-gather", "collective-permute") else 0)
        times, before = found.get(kind, Said(0, 0))
        found[kind] = Said(times + 1, before + total)
    return found


def compiled(topology: str, layout: Layout, accumulate: int, base: int) -> Any:
    """The step for a slice, compiled."""
    chips = list(devices(topology).devices.flat)
    batch = EACH * len(chips) // layout.space * accumulate
    placement = Placement(layout, batch, chips)
    model = unet(CLASSES, base, block=partial(ConvBlock, dtype=jnp.bfloat16))
    data = Dataset("noise", tuple(map(str, range(CLASSES))), ((0, 0, 0),) * CLASSES, lambda split: [])
    optimizer, task = optax.adamw(1e-3), Segmentation(data)
    experiment = Experiment(
        model, data, losses.cross_entropy, optimizer, steps=1, batch_size=batch, accumulate=accumulate, ema=0.999
    )
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    state = jax.eval_shape(lambda some: TrainState.initial(some, optimizer, task.zero(), ema=True), variables)

    def placed(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    rows = NamedSharding(placement.mesh, P("data", "space"))
    images = {
        "image": jax.ShapeDtypeStruct((batch, SIZE, SIZE, 3), jnp.float32, sharding=rows),
        "mask": jax.ShapeDtypeStruct((batch, SIZE, SIZE), jnp.int32, sharding=rows),
    }
    key = placed(jax.eval_shape(lambda: jax.random.key(0)), placement.everywhere)
    states = jax.tree.map(placed, state, placement.state_shardings(state))
    step = partial(several_steps, experiment=experiment, task=task, unrolled=False)
    return placement.compile(step, states, [images] * layout.steps_per_call, key)


def main() -> None:
    """Compile and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpu_steps", description="A step compiled for TPUs.")
    parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES, metavar="NAME", help="(%(default)s)")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--base", type=count, default=16, help="width of the first stage (%(default)s)")
    arguments = parser.parse_args()
    rows = []
    for topology in arguments.topologies:
        for name in arguments.layouts:
            began = time.perf_counter()
            program = compiled(topology, *LAYOUTS[name], arguments.base)
            text = program.compiled.as_text()
            said = collectives(text)
            talk = ", ".join(f"{one.times} {kind} {one.bytes / 2**20:.1f} MiB" for kind, one in said.items())
            memory = f"{peak_bytes(program.compiled) / 2**20:.0f}"
            cycles = cycles_of(text) / LAYOUTS[name][0].steps_per_call
            cells = f"{cycles / 1e6:.1f}", memory, talk, f"{time.perf_counter() - began:.0f}"
            rows.append([topology, name, *cells])
            print(*rows[-1], sep="  ", flush=True)
    columns = ("slice", "layout", "Mcycles", "MiB a chip", "the chips say", "compiling, s")
    print(f"\n{markdown(columns, rows)}\n\n{versions('jax', 'libtpu')}")


if __name__ == "__main__":
    main()
