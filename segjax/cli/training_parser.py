"""The arguments of the commands that train."""

import argparse
from collections.abc import Callable
from typing import Any

from segjax.cli.arguments import add, argument, count, count_or_auto, folder, seeds
from segjax.cli.completion import FILE, FOLDER, Names, experiment_names, experiments
from segjax.cli.training import launch, new, sweep, train


def add_training(commands: Any, *, completing: bool) -> None:
    """`train`, `launch`, `sweep` and `new`; `completing` as in `make_parser`."""

    def trains(name: str, run: Callable[..., int], help: str, usage: str, *options: Callable[..., None]) -> None:
        command = add(commands, name, run, help, add_help=False, usage=usage)
        if completing:
            each = experiments(command)
        else:
            said = f"a name ({', '.join(experiment_names())}), or a Python file"
            argument(command, "experiment", nargs="?", metavar="EXPERIMENT", help=said)
            each = ()
        for one in (command, *each):
            for add_options in options:
                add_options(one)

    trains(
        "train",
        train,
        "train an experiment; `segjax train EXPERIMENT --help` lists its knobs",
        "segjax train (EXPERIMENT [--out DIR] [--seeds 0,1,2] | --resume RUN) [--knob value ...] [options]",
        _settings,
        _run_folder,
    )
    trains(
        "launch",
        launch,
        "train an experiment in several processes: here, or as a SLURM job that goes on after preemption",
        "segjax launch (EXPERIMENT [--out DIR] [--knob value ...] | --resume RUN) (--local N | --slurm ...)",
        _settings,
        _here_or_as_a_job,
        _run_folder,
    )
    trains(
        "sweep",
        sweep,
        "train an experiment with every combination of some knobs' values, and compare them in one table",
        "segjax sweep EXPERIMENT [--out DIR] [--seeds 0,1,2] [--knob a,b --other 1e-3,1e-4 ...] [--slurm ...]",
        _settings,
        _sweep_folder,
    )

    command = add(commands, "new", new, "write a short experiment file to edit")
    argument(command, "name", metavar="NAME", help="what it is called; NAME.py is written", complete=FILE)


def _settings(command: argparse.ArgumentParser) -> None:
    argument(command, "--seeds", type=seeds, metavar="0,1,...", help="train these seeds side by side")
    argument(command, "--devices", type=count_or_auto, metavar="N|auto", help="how many each process uses [auto: all]")
    argument(command, "--strategy", choices=("jit", "pmap"), default="jit", help="one program, or one per device [jit]")
    argument(command, "--space", type=count, default=1, metavar="N", help="split the rows of images over N devices [1]")
    argument(command, "--shard-optimizer", action="store_true", help="split the optimizer's state over the devices")
    said = "take N steps, of 1, 2, 5 or 10, in one call of the devices, for steps that take them less than the host [1]"
    argument(command, "--steps-per-call", type=count, default=1, metavar="N", help=said)
    argument(command, "--profile", action="store_true", help="trace five steps for TensorBoard and Perfetto")
    said = "where numbers go beside the run folder's files, as many as are named [tensorboard]; kept with the run"
    known = Names(lambda: ("tensorboard", "wandb", "mlflow"))
    argument(command, "--log", action="append", metavar="tensorboard|wandb|mlflow", help=said, choices=known)


def _run_folder(command: argparse.ArgumentParser) -> None:
    argument(
        command,
        "--out",
        type=folder,
        metavar="DIR",
        help="run folder, or that of a bucket where one process trains; runs/<experiment>/<time> otherwise",
        complete=FOLDER,
    )
    argument(
        command,
        "--resume",
        type=folder,
        metavar="RUN",
        help="go on with a run from its newest checkpoint; knobs of how it is trained, and of where its data is, "
        "may be others from there on",
        complete=FOLDER,
    )


def _here_or_as_a_job(command: argparse.ArgumentParser) -> None:
    argument(command, "--local", type=count, metavar="N", help="start N processes on this machine")
    argument(
        command,
        "--slurm",
        metavar="KEY=VALUE,...",
        help="submit a job: nodes=2,gpus=8,time=4h; also tasks (a node, without GPUs), cpus (a task), mem, "
        "partition, account, qos, constraint, reservation, exclude",
    )


def _sweep_folder(command: argparse.ArgumentParser) -> None:
    argument(
        command,
        "--out",
        type=folder,
        metavar="DIR",
        help="folder of the sweep; the same command with the same one goes on; runs/<experiment>/<time> otherwise",
        complete=FOLDER,
    )
    jobs = "a job for every combination, as with `segjax launch`"
    argument(command, "--slurm", metavar="KEY=VALUE,...", help=jobs)
