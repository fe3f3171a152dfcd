"""The commands that train."""

import argparse
import functools
import sys
import time
from pathlib import Path
from typing import Any

from segjax.cache.files import in_bucket
from segjax.cli.process import prepare
from segjax.cli.say import fail, print_scores

_LOADING = "Loading jax, flax and orbax ..."


def train(parsed: argparse.Namespace, knobs: list[str]) -> int:
    """`segjax train EXPERIMENT [--knob value ...]` or `segjax train --resume RUN`."""
    if parsed.experiment is None and parsed.resume is None and _asks_for_help(knobs):
        parsed.parser.print_help()
        return 0
    if (problem := _names_no_run(parsed)) is not None:
        return fail(problem)
    if not _asks_for_help(knobs):
        print(_LOADING, file=sys.stderr)
    prepare()
    import jax

    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.runs.report import report_runs
    from segjax.runs.run import experiment_of
    from segjax.runs.seeds import report_seeds
    from segjax.train import Interrupted, Layout, distributed, train_together
    from segjax.train.devices import is_first_process
    from segjax.train.loggers import check_loggers, log_to
    from segjax.train.mirror import mirrored
    from segjax.train.run import resuming

    if parsed.devices is not None:
        jax.config.update("jax_num_cpu_devices", parsed.devices)  # where there is nothing but a CPU, share it
    keep_compiled_programs()
    layout = Layout(
        parsed.devices, parsed.strategy, parsed.space, parsed.shard_optimizer, steps_per_call=parsed.steps_per_call
    )
    check_loggers(parsed.log or ())
    named = parsed.resume or parsed.out
    with distributed.joined(), mirrored(named) as place:
        folder, runs = _named_runs(parsed, knobs, place)
        shown = named if in_bucket(named) else folder
        if parsed.log is not None and is_first_process():
            log_to(runs, parsed.log)
        try:
            pairs = [(experiment_of(run), run) for run in runs]
            scores = train_together(pairs, layout, profile=parsed.profile)
        except Interrupted as stopped:
            if is_first_process():
                print(f"{stopped} Go on with: {resuming(shown)}", file=sys.stderr)
                print(shown)
            return 128 + stopped.signal
        except Exception:
            for run in runs if parsed.resume is None and is_first_process() else []:
                run.remove_if_unsaved()  # which would stand in the way of the same command
            raise
        if is_first_process():
            headline = pairs[0][0].task_of_data.headline
            print_scores(report_seeds(folder, runs, scores, headline) if len(runs) > 1 else scores[0])
            if len(runs) > 1:
                report_runs([folder], folder / "report.html")
            print(shown)
        return 0


def new(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax new NAME`: write a short experiment file to edit."""
    from segjax.runs.new import command_of, write_new

    path = write_new(parsed.name)
    print(f"Edit it, then: {command_of(path)}", file=sys.stderr)
    print(path)
    return 0


def launch(parsed: argparse.Namespace, knobs: list[str]) -> int:
    """`segjax launch EXPERIMENT --local N [--knob value ...]`, or `--slurm nodes=2,gpus=8,time=4h`."""
    if parsed.experiment is None and parsed.resume is None and _asks_for_help(knobs):
        parsed.parser.print_help()
        return 0
    if (parsed.local is None) == (parsed.slurm is None) and not _asks_for_help(knobs):
        return fail("say where to launch it: either --local 2 or, for example, --slurm nodes=2,gpus=8,time=4h.")
    if (problem := _names_no_run(parsed)) is not None:
        return fail(problem)
    if not _asks_for_help(knobs):
        print(_LOADING, file=sys.stderr)
    prepare()
    import jax

    from segjax.train.loggers import check_loggers
    from segjax.train.mirror import on_disk

    jax.config.update("jax_platforms", "cpu")  # here; the devices are for the processes that train
    check_loggers(parsed.log or ())

    if parsed.local is not None:
        from segjax.launch import local

        folder, runs = _named_runs(parsed, knobs, on_disk(parsed.resume or parsed.out))
        code = local.start(_training(parsed, folder), parsed.local)
        for run in runs if parsed.resume is None and 0 < code < 128 else []:
            run.remove_if_unsaved()  # which would stand in the way of the same command
    else:
        from segjax.launch import slurm

        slurm.check_here()
        resources = slurm.Resources.parse(parsed.slurm)
        folder, runs = _named_runs(parsed, knobs, on_disk(parsed.resume or parsed.out))
        name = f"segjax {runs[0].configuration()['experiment']}"
        saves = [runs[0].checkpoints]
        [(job, output)] = slurm.submit([_training(parsed, folder)], folder / "slurm", name, resources, saves)
        print(f"SLURM job {job}. Its first task writes to {output}, the others beside it.", file=sys.stderr)
        code = 0
    if folder.exists():
        print(folder)
    return code


def sweep(parsed: argparse.Namespace, knobs: list[str]) -> int:
    """`segjax sweep EXPERIMENT --knob a,b --other 1e-3,1e-4 --seeds 0,1,2`: every combination, and one table."""
    if parsed.experiment is None or _asks_for_help(knobs):
        parsed.parser.print_help()
        return 0
    print(_LOADING, file=sys.stderr)
    prepare()
    import jax

    from segjax.train.loggers import check_loggers
    from segjax.train.mirror import on_disk

    jax.config.update("jax_platforms", "cpu")  # here; the devices are for the processes that train
    check_loggers(parsed.log or ())

    from segjax.launch.sweep import run_here, submit
    from segjax.runs.sweep import Sweep, report

    planned = Sweep.plan(parsed.experiment, knobs, on_disk(parsed.out), parsed.seeds)
    resources = None
    if parsed.slurm is not None:
        from segjax.launch import slurm

        slurm.check_here()
        resources = slurm.Resources.parse(parsed.slurm)
    failed = planned.prepare()
    waiting = [one for one in planned.combinations if not one.finished and one.folder not in failed]
    command = functools.partial(_training, parsed)
    if resources is None:
        failed |= run_here(command, waiting)
    else:
        submit(command, waiting, resources)
    print(report(planned, failed))
    print(planned.out)
    return 1 if failed else 0


def _asks_for_help(knobs: list[str]) -> bool:
    return "--help" in knobs or "-h" in knobs


def _names_no_run(parsed: argparse.Namespace) -> str | None:
    """What is wrong where arguments name neither a new run nor one to go on with."""
    if not parsed.experiment and parsed.resume is None:
        return "name an experiment, such as land_cover, a file of yours, or a run with --resume RUN."
    extra = {"--out": parsed.out, "--seeds": parsed.seeds, parsed.experiment: parsed.experiment}
    if parsed.resume is not None and any(extra.values()):
        wrong = next(name for name, value in extra.items() if value)
        return f"--resume goes on with a run as it was; leave {wrong} out."
    return None


def _named_runs(parsed: argparse.Namespace, knobs: list[str], place: Path | None) -> tuple[Path, list[Any]]:
    """The folder that the arguments name and its runs; a new one where they name an experiment."""
    from segjax.progress import NeverSilent, clock
    from segjax.runs.request import new_runs, old_runs

    began = time.monotonic()
    with NeverSilent(lambda: f"Opening the data, for {clock(time.monotonic() - began)} so far ..."):
        if place is not None and not parsed.experiment:
            return place, old_runs(place, knobs)
        return new_runs(parsed.experiment, knobs, place, parsed.seeds)


def _training(parsed: argparse.Namespace, folder: Path) -> list[str]:
    """The command that goes on in a run folder, which is made before it starts.

    So all processes, now and when a job is queued again, go on in one folder.
    """
    options = ["--strategy", parsed.strategy, "--space", str(parsed.space)]
    options += ["--steps-per-call", str(parsed.steps_per_call)]
    options += ["--devices", str(parsed.devices)] if parsed.devices is not None else []
    options += ["--shard-optimizer"] * parsed.shard_optimizer + ["--profile"] * parsed.profile
    options += [word for name in parsed.log or () for word in ("--log", name)]
    return [sys.executable, "-m", "segjax", "train", "--resume", str(folder.absolute()), *options]
