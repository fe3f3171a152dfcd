"""The one file that knows devices: where arrays live and how a step is compiled for them."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from segjax.compiling import compiler_options, jit
from segjax.errors import ExperimentError
from segjax.flops import flops_of
from segjax.memory import advice_where_it_runs_out
from segjax.train.by_device import as_one_batch

Tree = TypeVar("Tree")
Strategy = Literal["jit", "pmap"]


@dataclass(frozen=True)
class Layout:
    """How a run is laid out over devices. It decides speed and memory, and no number beyond rounding.

    Examples:
        >>> train.Layout(devices=8, space=2).strategy
        'jit'
    """

    devices: int | None = None
    """How many each process uses; None for all."""
    strategy: Strategy = "jit"
    """One program over a mesh, or one program per device that is mapped over the batch."""
    space: int = 1
    """In how many strips of rows the images are split, for images that are too large for one device."""
    shard_optimizer: bool = False
    """Whether each device keeps a part of the optimizer's state and of the averaged weights, instead of all of it
    (ZeRO stage 1, Rajbhandari et al. 2020)."""
    steps_per_call: int = 1
    """How many steps one call of the compiled program takes, for steps that take a device less time than the host
    needs to start them: 1, 2, 5 or 10, of which the steps of a run and those between two scores are multiples."""


class Placement:
    """Devices as a mesh of `data`, that the batch is split over, and `space`, that the images' rows are split over.

    Raises:
        ExperimentError: the batch or the devices cannot be split like that.
    """

    def __init__(self, layout: Layout, batch_size: int, devices: list[jax.Device] | None = None) -> None:
        devices = _chosen(layout, devices)
        count, space = len(devices), layout.space
        if count % space:
            raise ExperimentError(f"space is {space}, which does not divide {count} devices.")
        if space > 1 and layout.strategy == "pmap":
            raise ExperimentError("space needs the strategy jit: pmap splits the batch alone.")
        if layout.shard_optimizer and layout.strategy == "pmap":
            raise ExperimentError("shard_optimizer needs the strategy jit: pmap keeps the whole state everywhere.")
        if batch_size % (count // space):
            raise ExperimentError(
                f"batch_size is {batch_size}, which {count // space} devices cannot share evenly; "
                f"make it a multiple of {count // space}."
            )
        self.layout = layout
        self.count = count
        grid = np.array(devices).reshape(count // space, space)
        self.mesh: Mesh = Mesh(grid, ("data", "space"), axis_types=(AxisType.Auto,) * 2)
        self.everywhere: NamedSharding = NamedSharding(self.mesh, PartitionSpec())
        self.platform: str = devices[0].platform

    def replicate(self, tree: Tree) -> Tree:
        """The same arrays on every device."""
        return jax.tree.map(lambda x: _put(x, self.everywhere), tree)

    def state(self, state: Tree) -> Tree:
        """A train state, on every device or with the parts that `shard_optimizer` names split over them."""
        return jax.tree.map(_put, state, self.state_shardings(state))

    def batch(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """This process's part of a batch (n ...), as arrays over all devices."""
        rows = PartitionSpec("data", "space")
        shardings = {
            name: NamedSharding(self.mesh, rows if name in ("image", "mask", "other_mask") else PartitionSpec("data"))
            for name in batch
        }
        return {name: jax.make_array_from_process_local_data(shardings[name], x) for name, x in batch.items()}

    def compile(self, step: Callable[..., Tree], states: Tree, batches: Any, keys: Any) -> "Program":
        """The step `(states, batches, keys) -> states` for this placement, compiled; its first argument is used up.

        It takes as many steps as the layout has in a call. Its keyword `axis` is the mapped axis that the batch is
        split over under `pmap`, its keyword `mesh` the devices under `jit`.
        """
        began = time.perf_counter()
        if self.layout.strategy == "pmap":
            lowered = self._pmap(step).lower(states, self._cut(batches), keys)
            compiled = lowered.compile(compiler_options(self.platform))
            run = lambda states, batches, keys: compiled(states, self._cut(batches), keys)  # noqa: E731
            jaxpr = jax.make_jaxpr(step)(states, batches, keys)
        else:
            on_mesh, shardings = partial(step, mesh=self.mesh), self.state_shardings(states)
            jitted = jit(on_mesh, self.platform, donate_argnums=0, out_shardings=shardings)
            traced = jitted.trace(states, batches, keys)
            run = compiled = traced.lower().compile()
            jaxpr = traced.jaxpr
        return Program(run, compiled, flops_of(jaxpr) // self.layout.steps_per_call, time.perf_counter() - began)

    def _pmap(self, step: Callable[..., Any]) -> Any:
        def mapped(states: Any, batches: Any, keys: Any) -> Any:
            with nn.intercept_methods(as_one_batch):
                return step(states, batches, keys, axis="data")

        devices = list(self.mesh.devices.flat)
        return jax.pmap(mapped, "data", in_axes=(None, 0, None), out_axes=None, devices=devices)

    def _cut(self, batches: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(self.count, -1, *x.shape[1:]), batches)

    def state_shardings(self, state: Any) -> Any:
        """Where each array of a train state lives."""
        if not self.layout.shard_optimizer:
            return jax.tree.map(lambda _: self.everywhere, state)
        shares = self.mesh.shape["data"]

        def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
            if not any(getattr(key, "name", None) in ("opt_state", "ema") for key in path):
                return self.everywhere
            shape = np.shape(leaf)
            fits = [axis for axis, size in enumerate(shape) if size % shares == 0]
            axis = max(fits, key=lambda axis: shape[axis], default=None)  # the longest; none: all of it everywhere
            return self.everywhere if axis is None else NamedSharding(self.mesh, PartitionSpec(*[None] * axis, "data"))

        return jax.tree_util.tree_map_with_path(sharding, state)


@dataclass(frozen=True)
class Program:
    """A compiled step and what it costs."""

    run: Callable[..., Any]
    compiled: Any
    flops: int
    """Of the convolutions and matrix products of a step, over all devices, as `segjax.flops` counts them."""
    seconds: float
    """What compiling took."""


def peak_bytes(compiled: Any) -> int:
    """The memory that a compiled function needs on one device: arguments, results and what is kept in between."""
    memory = compiled.memory_analysis()
    if memory is None:
        return 0
    shared = memory.alias_size_in_bytes
    return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes - shared


def check_rows(model: nn.Module, image: jax.ShapeDtypeStruct, space: int) -> None:
    """Refuse images that `space` devices cannot share at every level of a model.

    Where the rows of a feature map do not divide, XLA returns a multiple of the gradient of the convolutions on it,
    without an error (jax 0.10 to 0.12).

    Raises:
        ExperimentError: there is such a level.
    """
    if space == 1:
        return
    seen: list[tuple[str, tuple[int, ...]]] = [("the image", image.shape)]

    def watch(call: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        result = call(*arguments, **keywords)
        for leaf in jax.tree.leaves((arguments, result)):
            if np.ndim(leaf) == 4:
                seen.append(("/".join(context.module.path), leaf.shape))
        return result

    with nn.intercept_methods(watch):
        jax.eval_shape(lambda image: model.init(jax.random.key(0), image, train=False), image)
    for where, shape in seen:
        if shape[1] % space:
            raise ExperimentError(
                f"space is {space}, but {where} has {shape[1]} rows for images of {image.shape[1]}x{image.shape[2]}, "
                "which cannot be shared evenly; give images a height that every level halves to a multiple of space."
            )


def spread(layout: Layout, batch_size: int, runs: int) -> list[tuple[Placement, int]]:
    """Where each of several runs is trained: placements, and how many of the runs share each."""
    everything = _chosen(layout, None)
    share, rest = divmod(len(everything), runs)
    if runs == 1 or share == 0 or rest or several_processes():
        return [(Placement(layout, batch_size), runs)]
    alone = dataclasses.replace(layout, devices=None)
    return [(Placement(alone, batch_size, everything[i * share : (i + 1) * share]), 1) for i in range(runs)]


def memory_errors(batch_size: int, accumulate: int) -> AbstractContextManager[None]:
    """Say which knob to turn where memory runs out."""
    return advice_where_it_runs_out(
        ExperimentError,
        f"The device is out of memory; lower batch_size (now {batch_size}) or the crop, raise accumulate "
        f"(now {accumulate}), compute in bfloat16, or spread the run over more devices.",
    )


def several_processes() -> bool:
    """Whether other processes take part in this run."""
    return jax.process_count() > 1


def is_first_process() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return jax.process_index() == 0


def gather(numbers: Sequence[float]) -> np.ndarray:
    """The numbers of every process, a row each; every process must ask at the same point."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(np.array(numbers, np.float32), tiled=False))


def _put(x: Any, sharding: NamedSharding) -> jax.Array:
    """An array that this process has, or the keys, where that sharding says."""
    if not several_processes():
        return jax.device_put(x, sharding)
    if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key):  # which cannot be put on the devices of other processes
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), sharding), impl=jax.random.key_impl(x))
    # From the host: what jax 0.10 puts there of a device's can be computed with, but its parts not be read and saved.
    return jax.device_put(np.asarray(x), sharding)


def _chosen(layout: Layout, devices: list[jax.Device] | None) -> list[jax.Device]:
    devices = devices or jax.devices()
    if layout.strategy == "pmap" and several_processes():
        raise ExperimentError("The strategy pmap runs in one process; use jit on several.")
    if layout.devices is None:
        return devices
    here = [device for device in devices if device.process_index == jax.process_index()]
    if not 1 <= layout.devices <= len(here):
        raise ExperimentError(
            f"devices is {layout.devices}, but jax sees {len(here)} ({devices[0].device_kind}); ask for fewer."
        )
    chosen: list[jax.Device] = []
    for device in devices:
        if sum(other.process_index == device.process_index for other in chosen) < layout.devices:
            chosen.append(device)
    return chosen
