"""The `segjax` command. Only arguments are parsed here; jax is imported inside the command that needs it."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segjax import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, after one sentence on stderr where something is wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser()
    parsed, rest = parser.parse_known_args(arguments)
    if rest and parsed.command not in (train, launch):
        parser.error(f"unknown argument {rest[0]}; `segjax {arguments[0]} --help` lists what there is.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on the machine are not for this audience
    try:
        return parsed.command(parsed, rest)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "segjax":
            raise
        extra = "launch" if error.name == "submitit" else "train"
        return _fail(f"`segjax {arguments[0]}` needs {error.name}; install it with `pip install 'segjax[{extra}]'`.")
    except OSError as error:
        if error.strerror is None:
            raise
        what = f"{error.filename}: " if error.filename else ""
        _fail(f"{what}{error.strerror}; what was saved before is whole. Make room or mend it, then run again.")
        sys.stderr.flush()
        os._exit(1)  # on a full disk every background writer would add its own traceback to the sentence
    except Exception as error:
        # Recognised by name, because importing the classes would import jax before it is needed.
        if type(error).__name__ not in {"ExperimentError", "DataError", "InferenceError"}:
            raise
        return _fail(str(error))


def train(parsed: argparse.Namespace, knobs: list[str]) -> int:
    """`segjax train EXPERIMENT [--knob value ...]` or `segjax train --resume RUN`."""
    if parsed.experiment is None and parsed.resume is None and ("--help" in knobs or "-h" in knobs):
        parsed.parser.print_help()
        return 0
    if (problem := _names_no_run(parsed, knobs)) is not None:
        return _fail(problem)
    from segjax.train import Interrupted, distributed
    from segjax.train import train as run_training
    from segjax.train.devices import is_first_process

    with distributed.joined():
        experiment, run = _named_run(parsed, knobs)
        code = 0
        try:
            scores = run_training(experiment, run)
        except Interrupted as stopped:
            code = 128 + stopped.signal
            if is_first_process():
                print(f"{stopped} Go on with: segjax train --resume {run.path}", file=sys.stderr)
        else:
            if is_first_process():
                _print_scores(scores)
        if is_first_process():
            print(run.path)
        return code


def launch(parsed: argparse.Namespace, knobs: list[str]) -> int:
    """`segjax launch EXPERIMENT --local N [--knob value ...]`, or `--slurm nodes=2,gpus=8,time=4h`."""
    helps = "--help" in knobs or "-h" in knobs
    if parsed.experiment is None and parsed.resume is None and helps:
        parsed.parser.print_help()
        return 0
    if (parsed.local is None) == (parsed.slurm is None) and not helps:
        return _fail("say where to launch it: either --local 2 or, for example, --slurm nodes=2,gpus=8,time=4h.")
    if (problem := _names_no_run(parsed, knobs)) is not None:
        return _fail(problem)
    import jax

    jax.config.update("jax_platforms", "cpu")  # here; the devices are for the processes that train

    # All processes, now and when a job is queued again, go on in one folder, which is made before any of them starts.
    def command(run: Any) -> list[str]:
        return [sys.executable, "-m", "segjax.cli", "train", "--resume", str(run.path.absolute())]

    if parsed.local is not None:
        from segjax.launch import local

        _, run = _named_run(parsed, knobs)
        code = local.start(command(run), parsed.local)
    else:
        from segjax.launch import slurm

        slurm.check_here()
        resources = slurm.Resources.parse(parsed.slurm)
        _, run = _named_run(parsed, knobs)
        name = f"segjax {run.configuration()['experiment']}"
        job, output = slurm.submit(command(run), run.path / "slurm", name, resources, saves=run.checkpoints)
        print(f"SLURM job {job}. Its first task writes to {output}, the others beside it.", file=sys.stderr)
        code = 0
    print(run.path)
    return code


def evaluate(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax evaluate RUN`: score the newest checkpoint on the test split."""
    from segjax.train.load import evaluate_run

    report = evaluate_run(parsed.run)
    if parsed.json:
        print(json.dumps(report, indent=2))
    else:
        _print_scores(report["test"])
    return 0


def predict(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax predict RUN PATH... --out DIR`: an index PNG with a palette and an overlay of every picture."""
    from segjax import inference
    from segjax.train.load import load_experiment

    experiment, variables = load_experiment(parsed.run)
    data = experiment.data
    summary = inference.predict_files(
        experiment.model,
        variables,
        [Path(path) for path in parsed.paths],
        Path(parsed.out),
        class_names=data.class_names,
        palette=data.palette,
        tile=parsed.tile,
        margin=parsed.margin,
        tta=parsed.tta,
        probabilities=parsed.probabilities,
    )
    print(parsed.out)
    return 1 if summary.failed else 0


def models(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax models`: every published model with its parameters and FLOPs."""
    from segjax.models.summary import summaries

    if parsed.json:
        print(json.dumps(list(summaries()), indent=2))
        return 0
    print(f"{'model':<24}{'parameters':>14}{'FLOPs at 256x256':>20}   paper")
    for row in summaries():
        print(f"{row['name']:<24}{row['parameters']:>14,}{row['flops'] / 1e9:>18.1f} G   {row['paper']}", flush=True)
    return 0


def data_list(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data list`: the data sets that segjax fetches by itself, and those it reads."""
    from segjax.data.catalogue import CATALOGUE

    rows = [entry._asdict() for entry in CATALOGUE]
    if parsed.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']:<18}{row['what']}\n{'':<18}{row['use']}")
    return 0


def data_check(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data check PATH`: read everything and list every problem at once."""
    from segjax.data import check
    from segjax.data.report import print_report

    report = check(parsed.path, picture=parsed.picture)
    if parsed.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report)
        if Path(parsed.picture).exists():
            print(f"Examples are drawn in {parsed.picture}.")
    return 1 if report.errors else 0


def make_parser() -> argparse.ArgumentParser:
    """The whole command line, for `main` and for shell completion."""
    parser = argparse.ArgumentParser(
        prog="segjax", description="Semantic segmentation and object localization in JAX.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"segjax {__version__}")
    try:
        import shtab
    except ModuleNotFoundError:  # the base install completes nothing
        file = folder = None
    else:
        shtab.add_argument_to(parser, "--print-completion", help="print a shell completion script")
        file, folder = shtab.FILE, shtab.DIRECTORY
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(group: Any, name: str, run: Callable[..., int], help: str, **settings: Any) -> argparse.ArgumentParser:
        command = group.add_parser(name, help=help, description=help, allow_abbrev=False, **settings)
        command.set_defaults(command=run, parser=command)
        return command

    def argument(command: argparse.ArgumentParser, *names: str, complete: Any = None, **settings: Any) -> None:
        action = command.add_argument(*names, **settings)
        if complete is not None:
            action.complete = complete  # type: ignore[attr-defined]

    command = add(
        commands,
        "train",
        train,
        "train an experiment; `segjax train EXPERIMENT --help` lists its knobs",
        add_help=False,
        usage="segjax train EXPERIMENT [--out DIR] [--knob value ...] | segjax train --resume RUN",
    )
    argument(command, "experiment", nargs="?", metavar="EXPERIMENT", help="a Python file", complete=file)
    argument(command, "--out", metavar="DIR", help="run folder; runs/<experiment>/<time> otherwise", complete=folder)
    argument(command, "--resume", metavar="RUN", help="go on with a run from its newest checkpoint", complete=folder)

    command = add(
        commands,
        "launch",
        launch,
        "train an experiment in several processes: here, or as a SLURM job that goes on after preemption",
        add_help=False,
        usage="segjax launch (EXPERIMENT [--out DIR] [--knob value ...] | --resume RUN) (--local N | --slurm ...)",
    )
    argument(command, "experiment", nargs="?", metavar="EXPERIMENT", help="a Python file", complete=file)
    argument(command, "--local", type=int, metavar="N", help="start N processes on this machine")
    argument(
        command,
        "--slurm",
        metavar="KEY=VALUE,...",
        help="submit a job: nodes=2,gpus=8,time=4h; also tasks (a node, without GPUs), cpus (a task), mem, partition, "
        "account, qos, constraint, reservation, exclude",
    )
    argument(command, "--out", metavar="DIR", help="run folder; runs/<experiment>/<time> otherwise", complete=folder)
    argument(command, "--resume", metavar="RUN", help="go on with a run from its newest checkpoint", complete=folder)

    command = add(commands, "evaluate", evaluate, "score a run on the test split")
    argument(command, "run", metavar="RUN", help="a run folder", complete=folder)
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(commands, "predict", predict, "label every pixel of pictures")
    argument(command, "run", metavar="RUN", help="a run folder", complete=folder)
    argument(command, "paths", nargs="+", metavar="PATH", help="pictures, folders or globs", complete=file)
    argument(command, "--out", required=True, metavar="DIR", help="folder for the results", complete=folder)
    argument(command, "--tile", type=int, metavar="N", help="side of the overlapping tiles that large pictures get")
    argument(command, "--margin", type=int, metavar="N", help="pixels of a tile that are thrown away at its edges")
    argument(
        command,
        "--tta",
        nargs="*",
        default=(),
        metavar="T",
        help="average over flips and scales: hflip, vflip, factors such as 0.75",
    )
    argument(command, "--probabilities", choices=("npy", "png"), help="also write the class probabilities")

    command = add(commands, "models", models, "list the published models, their parameters and FLOPs")
    argument(command, "--json", action="store_true", help="print JSON")

    data = commands.add_parser("data", help="list data sets, or check one of yours").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command = add(data, "list", data_list, "list the data sets")
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(data, "check", data_check, "read a whole data set and list every problem at once")
    argument(command, "path", metavar="PATH", help="a data set folder", complete=folder)
    argument(command, "--picture", metavar="FILE", default="data_check.png", help="a PNG of examples [%(default)s]")
    argument(command, "--json", action="store_true", help="print JSON")
    return parser


def _names_no_run(parsed: argparse.Namespace, knobs: list[str]) -> str | None:
    """What is wrong where arguments name neither a new run nor one to go on with."""
    if parsed.experiment is None and parsed.resume is None:
        return "name an experiment file, such as experiments/land_cover.py, or a run with --resume RUN."
    if parsed.resume is not None and (parsed.experiment is not None or knobs or parsed.out is not None):
        extra = [*knobs, parsed.experiment or "--out"][0]
        return f"--resume goes on with a run as it was; leave {extra} out."
    if parsed.experiment is not None and not Path(parsed.experiment).is_file():
        return f"{parsed.experiment} is not a file; name an experiment before its knobs, as in `segjax train FILE`."
    if "--help" not in knobs and "-h" not in knobs:
        print("Loading jax, flax and orbax ...", file=sys.stderr)
    return None


def _named_run(parsed: argparse.Namespace, knobs: list[str]) -> tuple[Any, Any]:
    """The experiment and the run folder that the arguments name; a new folder where they name an experiment."""
    from segjax.train import Run, distributed
    from segjax.train.experiment import build, knobs_of, read_experiment

    if parsed.experiment is None:
        run = Run.open(Path(parsed.resume))
        return run.experiment(), run
    path = Path(parsed.experiment)
    function = read_experiment(path)
    values = knobs_of(function, knobs, path)
    facts: dict[str, Any] = {}
    experiment = build(function, values, path, facts)
    out = Path(parsed.out) if parsed.out else None
    return experiment, Run(Path(distributed.agree(lambda: str(Run.create(out, path, values, facts).path))))


def _print_scores(scores: Any) -> None:
    for name, value in scores["iou"].items():
        print(f"  IoU {name:<20} {'absent' if value is None else f'{value:.3f}'}")
    print(f"  mean IoU {scores['miou']:.3f}   pixel accuracy {scores['pixel_accuracy']:.3f}")


def _fail(sentence: str) -> int:
    print(f"segjax: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
