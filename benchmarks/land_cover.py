"""The land cover models side by side: `python -m benchmarks.land_cover [RUN ...]`.

For every way below to train land_cover: parameters, and the time of one training step and of inference on
one batch, interleaved medians. Where run folders are named, made by those commands, their test mIoU and IoU by class
stand beside. Prints a markdown table. About a minute on two quiet CPU cores.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import race
from segjax import compiling
from segjax.errors import ExperimentError
from segjax.runs import read_experiment
from segjax.runs.run import open_run
from segjax.train.evaluate import initial_variables
from segjax.train.experiment import parameter_count
from segjax.train.state import TrainState
from segjax.train.step import one_step

ROWS = {
    "U-Net": [],
    "U-Net without skips": ["--no-skips"],
    "SegNet, max-unpooling": ["--model", "segnet"],
    "FCN, transposed convolution": ["--model", "fcn"],
    "full-resolution CNN": ["--model", "full_resolution"],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.land_cover", description="Land cover models.")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders whose scores to show")
    try:
        scores = {_knobs_key(knobs): report for knobs, report in map(_read, parser.parse_args().runs)}
    except ExperimentError as error:
        sys.exit(str(error))
    file = read_experiment("land_cover")

    steps, inferences, rows = {}, {}, {}
    for name, arguments in ROWS.items():
        knobs = file.knobs(arguments)
        experiment = file.build(knobs)
        batch = {
            "image": np.random.default_rng(0).integers(0, 255, (experiment.batch_size, 64, 64, 3), np.uint8),
            "mask": np.random.default_rng(1).integers(0, 4, (experiment.batch_size, 64, 64), np.uint8),
        }
        key = jax.random.key(0)
        variables = initial_variables(experiment.model, batch["image"], key)
        task = experiment.task_of_data
        state = TrainState.initial(variables, experiment.optimizer, task.zero())
        step = compiling.jit(partial(one_step, key=key, experiment=experiment, task=task))
        apply = compiling.jit(partial(experiment.model.apply, train=False))
        steps[name] = partial(step, state, batch)
        inferences[name] = partial(apply, variables, batch["image"])
        command = " ".join(["segjax train land_cover", *arguments])
        rows[name] = (parameter_count(variables["params"]), scores.get(_knobs_key(knobs)), command)

    training, inference = race(steps, rounds=5), race(inferences, rounds=5)
    classes = list(file.build({}).data.class_names)
    titles = ["model", "parameters", "test mIoU", *classes, "train step", "inference", "command"]
    print(" | ".join(["", *titles, ""]).strip(), "|" + "---|" * len(titles), sep="\n")
    for name, (parameters, report, command) in rows.items():
        iou = [f"{report['test']['iou'][c]:.3f}" if report else "" for c in classes]
        miou = f"{report['test']['miou']:.3f}" if report else ""
        times = [f"{1000 * timing[name].seconds:.0f} ms" for timing in (training, inference)]
        print(" | ".join(["", name, f"{parameters:,}", miou, *iou, *times, f"`{command}`", ""]).strip())


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    opened = open_run(run)
    return opened.configuration()["knobs"], opened.report()


def _knobs_key(knobs: dict[str, Any]) -> str:
    return json.dumps(knobs, sort_keys=True)


if __name__ == "__main__":
    main()
