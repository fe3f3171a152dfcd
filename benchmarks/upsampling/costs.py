"""What a cell costs: parameters, FLOPs, times, memory, and the bytes that its encoder keeps for its decoder."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import race
from benchmarks.upsampling import pretrained
from benchmarks.upsampling.cells import LEVELS, Cell, parameters
from benchmarks.upsampling.data import load
from benchmarks.upsampling.own import join
from benchmarks.upsampling.results import Results, configuration, cost_name
from benchmarks.upsampling.settings import Settings
from benchmarks.upsampling.training import initial_state, programs
from segjax.encoders import ConvEncoder
from segjax.flops import flops_of
from segjax.train.devices import peak_bytes


def measure(cells: Sequence[Cell], data_name: str, settings: Settings, folder: Path) -> None:
    """Race the training steps of all these cells, and then their inference, on one batch; a row of costs.jsonl each.

    A training step is of crops, inference of whole tiles. FLOPs are of inference on one image, a multiply-add counting
    as two; memory is what one call needs in all, with arguments and results. On CPU the times are those of one core
    where the caller keeps to one.
    """
    join(settings.own)  # a worker is another process
    data = load(data_name)
    size = settings.batch_size
    images = np.resize(data.probes, (size, *data.probes.shape[1:]))
    crop = settings.crop or data.side
    masks = np.resize(data.probe_masks, images.shape[:3])
    batch = {"image": images[:, :crop, :crop], "mask": masks[:, :crop, :crop]}
    key = jax.random.key(0)
    rows, steps, inferences = {}, {}, {}
    large: dict[int, dict[str, Callable[[], Any]]] = {side: {} for side in settings.sides}
    for cell in cells:
        program = programs(cell, data, settings)
        state = initial_state(cell, program, seed=0)
        traced = program.apply.trace(state.variables, images)
        apply, step = traced.lower().compile(), program.step.lower(state, batch, key).compile()
        name = cost_name(cell, settings)
        inferences[name] = partial(apply, jax.tree.map(np.array, state.variables), images)
        steps[name] = _steps(step, state, batch, key)
        total, decoder = parameters(cell, data.num_classes)
        kept, packed = kept_bytes(cell, images.shape[1:])
        rows[name] = {"name": name, **configuration(cell, settings), "parameters": total, "decoder_parameters": decoder}
        rows[name] |= {
            "flops": flops_of(traced.jaxpr) / size,
            "train_bytes": peak_bytes(step),
            "inference_bytes": peak_bytes(apply),
            "kept_bytes": kept,
            "storage_multiplier": kept / packed if packed else None,
            "large": {},
        }
        for side in settings.sides:
            image = np.resize(data.probes, (1, side, side, data.probes.shape[-1]))
            wide = program.apply.lower(state.variables, image).compile()
            large[side][name] = partial(wide, jax.tree.map(np.array, state.variables), image)
            rows[name]["large"][str(side)] = {"bytes": peak_bytes(wide)}
    patience = 8.0 * (settings.rounds - 1)  # of one round nothing is asked
    training = race(steps, settings.rounds, max_seconds=patience)
    inference = race(inferences, settings.rounds, max_seconds=patience)
    for side, calls in large.items():
        for name, timed in race(calls, settings.rounds, max_seconds=patience).items():
            rows[name]["large"][str(side)]["ms"] = 1e3 * timed.seconds
    results = Results(folder)
    for name, row in rows.items():
        row["train_ms"] = 1e3 * training[name].seconds
        row["inference_ms"] = 1e3 * inference[name].seconds
        row["quiet"] = training[name].quiet and inference[name].quiet
        results.append("costs.jsonl", row)


def kept_bytes(cell: Cell, image: tuple[int, ...]) -> tuple[int, int]:
    """What an image's (h w c) encoder keeps for the decoder, and what packed pooling indices alone would be.

    U-Net keeps the float32 features of every level; max-unpooling two bits for every 2x2 window (Badrinarayanan et al.
    2017 count the same, and call the ratio to their own the storage multiplier). `pretrained.kept_bytes` counts those
    of pretrained families.
    """
    if cell.family in pretrained.FAMILIES:
        return pretrained.kept_bytes(cell.family, cell.upsampler == "max_unpool", image)
    stages = tuple((cell.width * 2**level,) * 2 for level in range(LEVELS))

    def encode(image: jax.Array) -> Any:
        levels, _ = ConvEncoder((*stages, ())).init_with_output(jax.random.key(0), image, train=False)
        return [(level.features, level.indices.pack().offsets) for level in levels[:-1]]

    levels = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, *image), np.float32))
    features = sum(one.size * one.dtype.itemsize for one, _ in levels)
    packed = sum(one.size * one.dtype.itemsize for _, one in levels)
    return (cell.family == "unet") * features + (cell.upsampler == "max_unpool") * packed, packed


def _steps(step: Callable[..., Any], state: Any, batch: Any, key: Any) -> Callable[[], Any]:
    def call() -> Any:
        nonlocal state
        state = step(state, batch, key)
        return state

    return call
