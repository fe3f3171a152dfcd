"""Ways to train several seeds of one experiment: `python -m benchmarks.seeds [--seeds K] [EXPERIMENT]`.

One program after another, one program for all (which is what `--seeds` does), a mapped axis, and a device for each
where there are as many: seconds for one step of every seed, interleaved medians, and what compiling took. On a CPU,
`XLA_FLAGS=--xla_force_host_platform_device_count=K` makes devices.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import machine, markdown
from benchmarks.timing import race
from segjax import compiling
from segjax.cli.arguments import count
from segjax.errors import UserError
from segjax.runs import read_experiment
from segjax.train.evaluate import initial_variables
from segjax.train.state import TrainState
from segjax.train.step import one_step


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description="Several seeds at once.")
    parser.add_argument("--seeds", type=count, default=3, metavar="K")
    parser.add_argument("experiment", nargs="?", default="land_cover")
    options, knobs = parser.parse_known_args()
    number = options.seeds
    try:
        file = read_experiment(options.experiment)
        experiment = file.build(file.knobs(knobs))
    except UserError as error:
        sys.exit(str(error))
    task = experiment.task_of_data
    image = np.random.default_rng(0).integers(0, 255, (experiment.batch_size, 64, 64, 3), np.uint8)
    batch = {"image": image, "mask": np.zeros(image.shape[:3], np.uint8)}
    key = jax.random.key(0)
    variables = initial_variables(experiment.model, image[:1], key)
    step = partial(one_step, key=key, experiment=experiment, task=task)

    def states() -> list[TrainState]:
        fresh = (jax.tree.map(jnp.copy, variables) for _ in range(number))
        return [TrainState.initial(one, experiment.optimizer, task.zero()) for one in fresh]

    def stacked(trees: list[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def running(run: Callable[[Any], Any], state: Any) -> Callable[[], Any]:
        held = [state]

        def call() -> Any:
            held[0] = run(held[0])
            return held[0]

        return call

    one = compiling.jit(step, donate_argnums=0)
    together = compiling.jit(lambda states: [step(state, batch) for state in states], donate_argnums=0)
    batches = stacked([batch] * number)
    mapped = compiling.jit(lambda states: jax.vmap(step)(states, batches), donate_argnums=0)
    ways = {
        "one program after another": running(lambda states: [one(state, batch) for state in states], states()),
        "one program for all": running(together, states()),
        "a mapped axis": running(mapped, stacked(states())),
    }
    if jax.device_count() >= number:
        places = jax.devices()[:number]
        placed = [jax.device_put(state, place) for state, place in zip(states(), places, strict=True)]
        copies = [jax.device_put(batch, place) for place in places]
        ways["a device for each"] = running(
            lambda states: [one(state, copy) for state, copy in zip(states, copies, strict=True)], placed
        )
    took = {}
    for name, call in ways.items():
        began = time.perf_counter()
        jax.block_until_ready(call())
        took[name] = time.perf_counter() - began
    timings = race(ways, rounds=7)
    rows = [
        [name, f"{timing.seconds:.2f}", f"{took[name]:.0f}", "" if timing.quiet else "busy"]
        for name, timing in timings.items()
    ]
    print(markdown([f"{number} seeds", "seconds a step", "first call, seconds", "machine"], rows))
    print(f"\n{machine()}; {jax.device_count()} devices")


if __name__ == "__main__":
    main()
