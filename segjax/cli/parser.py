"""The whole command line."""

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from segjax import __version__
from segjax.cli.completion import Names, PrintCompletion, data_sets, experiments, sized, weights
from segjax.cli.doctor import doctor
from segjax.cli.export import export
from segjax.cli.hub import pull, push
from segjax.cli.models import models
from segjax.cli.report import compare, report
from segjax.cli.runs import data_check, data_convert, data_list, data_pack, data_split, evaluate, predict
from segjax.cli.serve import serve
from segjax.cli.training import launch, new, sweep, train
from segjax.cli.weights import weights_check, weights_list
from segjax.errors import near


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong and (meant := near(wrong[1], re.findall(r"[\w|-]+", wrong[2]))):
            message += f"; did you mean {' or '.join(meant)}?"
        super().error(message)


def make_parser(*, completing: bool = False) -> argparse.ArgumentParser:
    """The whole command line; for shell completion with every experiment's knobs, which else the experiment parses."""
    parser = _Parser(
        prog="segjax", description="Semantic segmentation and object localization in JAX.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"segjax {__version__}")
    try:
        import shtab
    except ModuleNotFoundError:  # the base install completes nothing
        file = folder = None
    else:
        shells, script = shtab.SUPPORTED_SHELLS, "print a shell completion script"
        parser.add_argument("--print-completion", action=PrintCompletion, choices=shells, help=script)
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

    def trains(name: str, run: Callable[..., int], help: str, usage: str, *options: Callable[..., None]) -> None:
        command = add(commands, name, run, help, add_help=False, usage=usage)
        if completing:
            each = experiments(command, file, folder)
        else:
            said = "a name, such as land_cover, or a Python file"
            argument(command, "experiment", nargs="?", metavar="EXPERIMENT", help=said)
            each = ()
        for one in (command, *each):
            for add_options in options:
                add_options(one)

    def settings(command: argparse.ArgumentParser) -> None:
        argument(command, "--seeds", type=_seeds, metavar="0,1,...", help="train these seeds side by side")
        argument(
            command, "--devices", type=_count_or_auto, metavar="N|auto", help="how many each process uses [auto: all]"
        )
        argument(
            command, "--strategy", choices=("jit", "pmap"), default="jit", help="one program, or one per device [jit]"
        )
        argument(
            command, "--space", type=_count, default=1, metavar="N", help="split the rows of images over N devices [1]"
        )
        argument(command, "--shard-optimizer", action="store_true", help="split the optimizer's state over the devices")
        argument(command, "--profile", action="store_true", help="trace five steps for TensorBoard and Perfetto")
        said = "where numbers go beside the run folder's files, as many as are named [tensorboard]; kept with the run"
        known = Names(lambda: ("tensorboard", "wandb", "mlflow"))
        argument(command, "--log", action="append", metavar="tensorboard|wandb|mlflow", help=said, choices=known)

    def run_folder(command: argparse.ArgumentParser) -> None:
        argument(
            command,
            "--out",
            metavar="DIR",
            help="run folder, or that of a bucket where one process trains; runs/<experiment>/<time> otherwise",
            complete=folder,
        )
        argument(
            command,
            "--resume",
            metavar="RUN",
            help="go on with a run from its newest checkpoint; knobs of how it is trained, and of where its data is, "
            "may be others from there on",
            complete=folder,
        )

    def here_or_as_a_job(command: argparse.ArgumentParser) -> None:
        argument(command, "--local", type=_count, metavar="N", help="start N processes on this machine")
        argument(
            command,
            "--slurm",
            metavar="KEY=VALUE,...",
            help="submit a job: nodes=2,gpus=8,time=4h; also tasks (a node, without GPUs), cpus (a task), mem, "
            "partition, account, qos, constraint, reservation, exclude",
        )

    def sweep_folder(command: argparse.ArgumentParser) -> None:
        argument(
            command,
            "--out",
            metavar="DIR",
            help="folder of the sweep; the same command with the same one goes on; runs/<experiment>/<time> otherwise",
            complete=folder,
        )
        jobs = "a job for every combination, as with `segjax launch`"
        argument(command, "--slurm", metavar="KEY=VALUE,...", help=jobs)

    trains(
        "train",
        train,
        "train an experiment; `segjax train EXPERIMENT --help` lists its knobs",
        "segjax train (EXPERIMENT [--out DIR] [--seeds 0,1,2] | --resume RUN) [--knob value ...] [options]",
        settings,
        run_folder,
    )
    trains(
        "launch",
        launch,
        "train an experiment in several processes: here, or as a SLURM job that goes on after preemption",
        "segjax launch (EXPERIMENT [--out DIR] [--knob value ...] | --resume RUN) (--local N | --slurm ...)",
        settings,
        here_or_as_a_job,
        run_folder,
    )
    trains(
        "sweep",
        sweep,
        "train an experiment with every combination of some knobs' values, and compare them in one table",
        "segjax sweep EXPERIMENT [--out DIR] [--seeds 0,1,2] [--knob a,b --other 1e-3,1e-4 ...] [--slurm ...]",
        settings,
        sweep_folder,
    )

    command = add(commands, "new", new, "write a short experiment file to edit")
    argument(command, "name", metavar="NAME", help="what it is called; NAME.py is written", complete=file)

    which = "which checkpoint [the best where the experiment has patience, or the last]"
    saved = "a run folder, that of a saved model, or hub:OWNER/NAME"
    command = add(commands, "evaluate", evaluate, "score a run on the test or the validation split")
    argument(command, "run", metavar="RUN", help=saved, complete=folder)
    argument(command, "--on", metavar="RUN", help="the run whose data set a saved model is scored on", complete=folder)
    argument(command, "--checkpoint", choices=("last", "best"), help=which)
    argument(command, "--split", choices=("test", "val"), default="test", help="which split [test]")
    per_image = "also write the scores of every image there, the worst of them drawn, and the confusion matrix of masks"
    argument(command, "--per-image", metavar="DIR", type=Path, help=per_image, complete=folder)
    argument(command, "--root", metavar="PATH", help="where the data is now, or other data of the same classes")
    argument(command, "--test", metavar="FILE", help="other annotations to test on, where the data has such a file")
    flips = "average over flips, of runs that find boxes: hflip, vflip"
    argument(command, "--tta", nargs="*", default=(), metavar="T", help=flips)
    soft_nms = "lower the scores of boxes that better ones overlap"
    argument(command, "--soft-nms", choices=("gaussian", "linear"), help=soft_nms)
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(
        commands, "report", report, "write report.html of a finished run again, or one page of several side by side"
    )
    several = "run folders, or folders of several seeds"
    argument(command, "runs", nargs="+", metavar="RUN", help=several, complete=folder)
    out = "the page of several [%(default)s]; that of one run stays in its folder"
    argument(command, "--out", metavar="FILE", type=Path, default=Path("report.html"), help=out, complete=file)

    command = add(commands, "compare", compare, "say what changed in knobs and scores from one run to another")
    argument(command, "one", metavar="RUN", help="the first", complete=folder)
    argument(command, "other", metavar="RUN", help="the second", complete=folder)
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(commands, "predict", predict, "predict images or a video in the way of the run's task: masks, boxes")
    argument(command, "run", metavar="RUN", help=saved, complete=folder)
    argument(command, "--checkpoint", choices=("last", "best"), help=which)
    argument(command, "paths", nargs="*", metavar="PATH", help="image files, folders or globs", complete=file)
    argument(command, "--video", metavar="IN", help="a video file instead; --out is one too then", complete=file)
    argument(command, "--out", required=True, metavar="DIR", help="folder for the results", complete=folder)
    argument(command, "--tile", type=int, metavar="N", help="side of the overlapping tiles that large images get")
    argument(command, "--margin", type=int, metavar="N", help="pixels of a tile that are thrown away at its edges")
    argument(
        command,
        "--tta",
        nargs="*",
        default=(),
        metavar="T",
        help="average over flips and scales: hflip, vflip, factors such as 0.75; boxes over flips",
    )
    argument(command, "--soft-nms", choices=("gaussian", "linear"), help=soft_nms)
    argument(command, "--track", action="store_true", help="number objects over the frames of a video, by ByteTrack")
    argument(command, "--score", type=float, metavar="S", help="leave out boxes that are scored lower [0.3]")
    coco = "annotations in COCO's format; boxes are also written as a list with its ids, for pycocotools' loadRes"
    argument(command, "--coco", metavar="FILE", type=Path, help=coco, complete=file)
    argument(command, "--probabilities", choices=("npy", "png"), help="also write the class probabilities")

    command = add(commands, "export", export, "write a model for another runtime, where it gives the same")
    argument(command, "run", metavar="RUN", help=saved, complete=folder)
    argument(
        command,
        "--format",
        choices=("stablehlo", "onnx", "tflite", "html"),
        required=True,
        help="of the file; html is a page in a folder",
    )
    argument(command, "--out", required=True, metavar="FILE", help="the file, or the folder of a page", complete=file)
    argument(command, "--checkpoint", choices=("last", "best"), help=which)
    sizes = command.add_mutually_exclusive_group()
    sizes.add_argument(
        "--size", type=_count, nargs=2, metavar=("H", "W"), help="of its images [that of the first compared on]"
    )
    sizes.add_argument("--dynamic", action="store_true", help="images of any size: multiples of 32, in StableHLO")
    argument(command, "--argmax", action="store_true", help="give the class of every pixel, not all probabilities")
    argument(command, "--max-boxes", type=_count, default=100, metavar="N", help="boxes of an image at most [100]")
    numbers = command.add_mutually_exclusive_group()
    stored = "what kernels are stored in; they are computed with in float32 [float32]"
    numbers.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help=stored)
    eight = "quantise to 8 bits, calibrated on the run's training split; says what its score on val loses"
    numbers.add_argument("--int8", action="store_true", help=eight)
    compared = "images to compare it with the model on [three of the run's test split]"
    argument(command, "--images", nargs="*", default=(), metavar="FILE", help=compared, complete=file)
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(commands, "serve", serve, "answer requests of HTTP with what a model finds in their images")
    argument(command, "run", metavar="RUN", help=saved, complete=folder)
    argument(command, "--port", type=int, default=8000, metavar="N", help="0 takes a free one [%(default)s]")
    argument(command, "--host", default="127.0.0.1", metavar="ADDRESS", help="0.0.0.0 is everybody [%(default)s]")
    argument(command, "--checkpoint", choices=("last", "best"), help=which)
    ahead = "of images to compile for ahead of the first request; several times for several [256 256]"
    argument(command, "--size", type=_count, nargs=2, action="append", metavar=("H", "W"), help=ahead)
    argument(command, "--score", type=float, metavar="S", help="leave out boxes that are scored lower [0.3]")
    argument(command, "--batch", type=_count, default=8, metavar="N", help="images in one pass at most [%(default)s]")
    waiting = "requests under way at most, beyond which they are told to come again [%(default)s]"
    argument(command, "--queue", type=_count, default=64, metavar="N", help=waiting)
    argument(command, "--seconds", type=_count, default=60, metavar="N", help="for a request at most [%(default)s]")
    argument(command, "--body", type=_count, default=32, metavar="MIB", help="of a request at most [%(default)s]")
    argument(command, "--pixels", type=_count, default=25, metavar="MILLIONS", help="of an image at most [%(default)s]")

    command = add(commands, "models", models, "list models, decoders and encoders with their sizes, or say that of one")
    for kind, said in {
        "decoder": "one decoder, on the encoder that is named",
        "encoder": "the encoder beneath",
    }.items():
        argument(command, f"--{kind}", metavar="NAME", help=said, choices=Names(partial(sized, f"{kind}s")))
    argument(command, "--upsampler", metavar="NAME", help="what it climbs by [its own]")
    argument(command, "--size", type=_count, metavar="N", help="height and width of the image [256]")
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(commands, "push", push, "write a saved model to the Hugging Face hub; prints its commit")
    argument(command, "folder", metavar="FOLDER", help="what segjax.save_pretrained wrote", complete=folder)
    argument(command, "repository", metavar="OWNER/NAME", help="made where it is not there")
    argument(command, "--private", action="store_true", help="a repository that is made is seen by its owner alone")

    command = add(commands, "pull", pull, "bring a saved model of the Hugging Face hub here; prints its commit")
    argument(command, "repository", metavar="OWNER/NAME[@REVISION]", help="of a commit, branch or tag [main]")
    argument(command, "folder", metavar="FOLDER", help="made where it is not there", complete=folder)

    command = add(commands, "weights", weights_list, "list the weights that encoders can start from, or check one set")
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(
        command.add_subparsers(metavar="COMMAND"),
        "check",
        weights_check,
        "fetch one set of weights, and compare it with its record and its encoder with PyTorch",
    )
    listed = "as `segjax weights` lists it, such as mobilenet_v2.imagenet"
    argument(command, "name", metavar="NAME", help=listed, choices=Names(weights))
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(
        commands, "doctor", doctor, "print versions, devices, memory and caches, and what is missing for which command"
    )
    argument(command, "--json", action="store_true", help="print JSON")

    data = commands.add_parser(
        "data", help="list data sets, check one of yours, or write it in COCO's format or as shards"
    ).add_subparsers(required=True, metavar="COMMAND")
    command = add(data, "list", data_list, "list the data sets")
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(data, "check", data_check, "read a whole data set and list every problem at once")
    argument(command, "path", metavar="PATH", help="a folder, or the JSON file of a labelling tool", complete=file)
    argument(command, "--picture", metavar="FILE", default="data_check.png", help="a PNG of examples [%(default)s]")
    argument(
        command, "--bands", nargs="*", default=(), metavar="B", help="bands of the images, by number from 1 or name"
    )
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(
        data, "convert", data_convert, "write what a labelling tool or a folder of masks says in COCO's format"
    )
    argument(command, "path", metavar="PATH", help="a folder, or the JSON file of a labelling tool", complete=file)
    argument(command, "out", metavar="OUT", help="folder for train.json, val.json and test.json", complete=folder)
    command = add(data, "pack", data_pack, "write a set as shards, to train on from a disk or a bucket")
    said = "as `segjax data list` has it, or a folder of yours, or the file of a labelling tool"
    argument(command, "set", metavar="SET", help=said, choices=Names(data_sets), complete=file)
    said = "a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER; the same command again goes on where it was ended"
    argument(command, "--out", required=True, metavar="DIR", help=said, complete=folder)
    argument(command, "--root", metavar="PATH", help="where the files of a named set are", complete=folder)
    for split, what in {"train": "train", "val": "validate", "test": "test"}.items():
        argument(command, f"--{split}", metavar="FILE", help=f"annotations that {what}, of coco and voc", complete=file)
    argument(command, "--labels", choices=("exclusive", "overlapping"), help="masks of outlines, and no boxes")
    argument(command, "--classes", nargs="*", default=(), metavar="C", help="those to keep, of files of yours")
    argument(command, "--attributes", nargs="*", default=(), metavar="A", help="scores of objects, of coco")
    argument(command, "--bands", nargs="*", default=(), metavar="B", help="those to keep, of files of yours")
    argument(command, "--fold", type=int, metavar="N", help="of a folder")
    argument(command, "--groups", type=int, metavar="N", help="of land_cover: 4 or 7")
    command = add(
        data, "split", data_split, "write which images train, validate and test, groups of them never torn apart"
    )
    argument(command, "path", metavar="PATH", help="a folder of images and masks", complete=folder)
    said = "what of a name says its group, a regular expression such as '(patient[0-9]+)_', or a CSV file of both"
    argument(command, "--groups", metavar="G", help=f"{said} [tiles of one image]", complete=file)
    argument(command, "--folds", type=_count, metavar="K", help="K splits, each image testing once, for --fold N")
    return parser


def _seeds(text: str) -> list[int]:
    seeds = text.split(",")
    if not all(seed.isdecimal() for seed in seeds):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds, numbers from 0, such as 0,1,2")
    return list(map(int, seeds))


def _count(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")


def _count_or_auto(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of devices nor auto")
