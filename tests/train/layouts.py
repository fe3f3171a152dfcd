"""Run by test_device_layouts.py: a few steps of one experiment under some layouts, and what comes out, as .npz files.

`python layouts.py FOLDER LAYOUT,LAYOUT [PROCESS COUNT PORT]`. A layout whose name begins with float32 computes in
that, any other in float64; one whose name ends in parts works through a batch of 16 in two.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax import losses, metrics, upsampling
from segjax.data import Augment, Dataset
from segjax.encoders import ConvEncoder
from segjax.layers import ConvBlock, DropPath, Normalized
from segjax.tasks.segmentation import Segmentation
from segjax.train import Experiment, Layout
from segjax.train.devices import Placement
from segjax.train.evaluate import initial_variables
from segjax.train.state import TrainState
from segjax.train.step import one_step

UPSAMPLERS = [name for name in upsampling.BY_NAME if name not in ("conv_transpose_bilinear", "pixel_shuffle_icnr")]
"""All but those that only start otherwise."""
FEW = ["conv_transpose_2x2", "carafe"]
"""Enough where images are whole, since no upsampler sees more than one."""
AUGMENT = Augment(crop=(12, 8), flip_horizontal=True, scale=(0.8, 1.5), rotate=20, brightness=0.2, noise=0.1)
"""On the devices; it compiles for as long as all upsamplers together, so that only those have it that map it."""
LAYOUTS = {
    "one": (Layout(devices=1), UPSAMPLERS, None),
    "space": (Layout(space=2), UPSAMPLERS, None),
    "one_of_few": (Layout(devices=1), FEW, None),
    "eight": (Layout(), FEW, None),
    "zero": (Layout(shard_optimizer=True), FEW, None),
    "one_in_parts": (Layout(devices=1), FEW, None),
    "eight_in_parts": (Layout(), FEW, None),
    "float32_one": (Layout(devices=1), FEW, None),
    "float32_space": (Layout(space=2), FEW, None),
    "float32_pmap": (Layout(strategy="pmap"), FEW, None),
    "one_augmented": (Layout(devices=1), FEW, AUGMENT),
    "pmap": (Layout(strategy="pmap"), FEW, AUGMENT),
    "processes": (Layout(), FEW, AUGMENT),
}


class Everything(nn.Module):
    """A decoder with many upsamplers at once, on an encoder with batch normalisation; dropout before the head."""

    upsamplers: Sequence[str]
    dtype: str

    @nn.compact
    def __call__(self, image, *, train):
        dtype = jnp.dtype(self.dtype)
        block = partial(ConvBlock, dtype=dtype)
        finest, deepest = ConvEncoder(((4,), (6,)), block, name="encoder")(image.astype(dtype), train=train)
        assert finest.features is not None
        assert deepest.features is not None
        climbs = [upsampling.BY_NAME[name](features=4, name=name)(deepest.features, finest) for name in self.upsamplers]
        x = block((6,), name="decoder")(jnp.concatenate([finest.features, *climbs], -1), train=train)
        x = nn.Dropout(0.2, deterministic=not train)(x)
        x = x + DropPath(0.5)(x, train=train)
        return nn.Conv(3, (1, 1), dtype=dtype, param_dtype=dtype, name="head")(x)


def loss(logits, mask):
    """A mean over counted pixels and a ratio of sums: neither is the mean of what parts of the batch give."""
    return losses.cross_entropy(logits, mask) + losses.dice(logits, mask)


def main(folder: str, names: str, *processes: str) -> None:
    if processes:
        number, count, port = map(int, processes)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 255, (8, 16, 8, 3)).astype(np.uint8),
        "mask": rng.integers(0, 3, (8, 16, 8)).astype(np.uint8),
    }
    batch["mask"][0] = 255  # the devices' shares count different numbers of pixels
    batch["mask"][3, :10] = 255
    share = 8 // jax.process_count()
    mine = {k: v[jax.process_index() * share :][:share] for k, v in batch.items()}
    data = Dataset("noise", ("a", "b", "c"), ((0, 0, 0),) * 3, lambda split: [])
    # The trace is the gradient of the first step, and then a sum of both. Averages ride along to be sharded.
    optimizer = optax.chain(optax.trace(0.5), optax.sgd(1.0))
    task = Segmentation(data)
    key = jax.random.key(0)

    @cache
    def start(upsamplers: tuple[str, ...], dtype: str) -> tuple[Normalized, Any]:
        model = Normalized(Everything(upsamplers, dtype), mean=(0.5,) * 3, std=(0.3,) * 3)
        variables = initial_variables(model, batch["image"][:1], key)
        return model, jax.tree.map(lambda x: np.asarray(x, dtype), variables)

    def steps(name: str, dtype: str) -> None:
        layout, upsamplers, augment = LAYOUTS[name]
        model, variables = start(tuple(upsamplers), dtype)
        count = 2 if name.endswith("parts") else 1
        experiment = Experiment(model, data, loss, optimizer, steps=2, batch_size=8 * count, ema=0.9, accumulate=count)
        if augment is not None:
            experiment = dataclasses.replace(experiment, augment=augment, augment_on="device")
        state = jax.device_get(TrainState.initial(variables, optimizer, task.zero(), ema=True))
        step = partial(one_step, experiment=experiment, task=task)
        placement = Placement(layout, 8 * count)
        # Records that differ, or the gradient of a part would be that of the other.
        records = {k: np.concatenate([v, v[::-1]])[: len(v) * count] for k, v in mine.items()}
        placed, on_devices = placement.state(state), placement.batch(records)
        program = placement.compile(step, placed, on_devices, placement.replicate(key))
        found = {}
        for number in (1, 2):
            placed = program.run(placed, on_devices, placement.replicate(key))
            kept = {"params": placed.params, **placed.collections, "ema": placed.ema}
            kept |= {"gradients": placed.opt_state[0].trace, "tally": placed.tally}
            for path, leaf in jax.tree_util.tree_leaves_with_path(kept):
                found[f"{number}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
        found["miou"] = np.asarray(metrics.mean_iou(found["2['tally'].counts"]))
        if jax.process_index() == 0:
            np.savez(f"{folder}/{name}.npz", **found)
            text = program.compiled.as_text() if layout.strategy == "jit" else ""
            own = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves((placed.opt_state, placed.ema)))
            everything = sum(x.nbytes for x in jax.tree.leaves((placed.opt_state, placed.ema)))
            facts = {"text": text, "own": own, "everything": everything, "flops": program.flops}
            with open(f"{folder}/{name}.json", "w") as file:
                json.dump(facts, file)

    for name in names.split(","):
        dtype = "float32" if name.startswith("float32") else "float64"
        with jax.enable_x64(dtype == "float64"):
            steps(name, dtype)


main(*sys.argv[1:])
