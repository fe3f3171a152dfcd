"""The whole command line."""

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from segjax import __version__
from segjax.cli.arguments import SAVED, SOFT_NMS, WHICH, add, argument, count
from segjax.cli.completion import FILE, FOLDER, SHELLS, Names, PrintCompletion, data_sets, sized, weights
from segjax.cli.doctor import doctor
from segjax.cli.export import export
from segjax.cli.hub import pull, push
from segjax.cli.models import models
from segjax.cli.report import compare, report
from segjax.cli.runs import data_check, data_convert, data_list, data_pack, data_split, evaluate, predict
from segjax.cli.serve import serve
from segjax.cli.training_parser import add_training
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
    if SHELLS:
        script = "print a shell completion script"
        parser.add_argument("--print-completion", action=PrintCompletion, choices=SHELLS, help=script)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_training(commands, completing=completing)
    _add_evaluate(commands)
    _add_reports(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_serve(commands)
    _add_models(commands)
    _add_doctor(commands)
    _add_data(commands)
    return parser


def _add_evaluate(commands: Any) -> None:
    command = add(commands, "evaluate", evaluate, "score a run on the test or the validation split")
    argument(command, "run", metavar="RUN", help=SAVED, complete=FOLDER)
    argument(command, "--on", metavar="RUN", help="the run whose data set a saved model is scored on", complete=FOLDER)
    argument(command, "--checkpoint", choices=("last", "best"), help=WHICH)
    argument(command, "--split", choices=("test", "val"), default="test", help="which split [test]")
    per_image = "also write the scores of every image there, the worst of them drawn, and the confusion matrix of masks"
    argument(command, "--per-image", metavar="DIR", type=Path, help=per_image, complete=FOLDER)
    argument(command, "--root", metavar="PATH", help="where the data is now, or other data of the same classes")
    argument(command, "--test", metavar="FILE", help="other annotations to test on, where the data has such a file")
    flips = "average over flips, of runs that find boxes: hflip, vflip"
    argument(command, "--tta", nargs="*", default=(), metavar="T", help=flips)
    argument(command, "--soft-nms", choices=("gaussian", "linear"), help=SOFT_NMS)
    argument(command, "--json", action="store_true", help="print JSON")


def _add_reports(commands: Any) -> None:
    command = add(
        commands, "report", report, "write report.html of a finished run again, or one page of several side by side"
    )
    several = "run folders, or folders of several seeds"
    argument(command, "runs", nargs="+", metavar="RUN", help=several, complete=FOLDER)
    out = "the page of several [%(default)s]; that of one run stays in its folder"
    argument(command, "--out", metavar="FILE", type=Path, default=Path("report.html"), help=out, complete=FILE)

    command = add(commands, "compare", compare, "say what changed in knobs and scores from one run to another")
    argument(command, "one", metavar="RUN", help="the first", complete=FOLDER)
    argument(command, "other", metavar="RUN", help="the second", complete=FOLDER)
    argument(command, "--json", action="store_true", help="print JSON")


def _add_predict(commands: Any) -> None:
    command = add(commands, "predict", predict, "predict images or a video in the way of the run's task: masks, boxes")
    argument(command, "run", metavar="RUN", help=SAVED, complete=FOLDER)
    argument(command, "--checkpoint", choices=("last", "best"), help=WHICH)
    argument(command, "paths", nargs="*", metavar="PATH", help="image files, folders or globs", complete=FILE)
    argument(command, "--video", metavar="IN", help="a video file instead; --out is one too then", complete=FILE)
    argument(command, "--out", required=True, metavar="DIR", help="folder for the results", complete=FOLDER)
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
    argument(command, "--soft-nms", choices=("gaussian", "linear"), help=SOFT_NMS)
    argument(command, "--track", action="store_true", help="number objects over the frames of a video, by ByteTrack")
    argument(command, "--score", type=float, metavar="S", help="leave out boxes that are scored lower [0.3]")
    coco = "annotations in COCO's format; boxes are also written as a list with its ids, for pycocotools' loadRes"
    argument(command, "--coco", metavar="FILE", type=Path, help=coco, complete=FILE)
    argument(command, "--probabilities", choices=("npy", "png"), help="also write the class probabilities")


def _add_export(commands: Any) -> None:
    command = add(commands, "export", export, "write a model for another runtime, where it gives the same")
    argument(command, "run", metavar="RUN", help=SAVED, complete=FOLDER)
    argument(
        command,
        "--format",
        choices=("stablehlo", "onnx", "tflite", "html"),
        required=True,
        help="of the file; html is a page in a folder",
    )
    argument(command, "--out", required=True, metavar="FILE", help="the file, or the folder of a page", complete=FILE)
    argument(command, "--checkpoint", choices=("last", "best"), help=WHICH)
    sizes = command.add_mutually_exclusive_group()
    sizes.add_argument(
        "--size", type=count, nargs=2, metavar=("H", "W"), help="of its images [that of the first compared on]"
    )
    sizes.add_argument("--dynamic", action="store_true", help="images of any size: multiples of 32, in StableHLO")
    argument(command, "--argmax", action="store_true", help="give the class of every pixel, not all probabilities")
    argument(command, "--max-boxes", type=count, default=100, metavar="N", help="boxes of an image at most [100]")
    numbers = command.add_mutually_exclusive_group()
    stored = "what kernels are stored in; they are computed with in float32 [float32]"
    numbers.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help=stored)
    eight = "quantise to 8 bits, calibrated on the run's training split; says what its score on val loses"
    numbers.add_argument("--int8", action="store_true", help=eight)
    compared = "images to compare it with the model on [three of the run's test split]"
    argument(command, "--images", nargs="*", default=(), metavar="FILE", help=compared, complete=FILE)
    argument(command, "--json", action="store_true", help="print JSON")


def _add_serve(commands: Any) -> None:
    command = add(commands, "serve", serve, "answer requests of HTTP with what a model finds in their images")
    argument(command, "run", metavar="RUN", help=SAVED, complete=FOLDER)
    argument(command, "--port", type=int, default=8000, metavar="N", help="0 takes a free one [%(default)s]")
    argument(command, "--host", default="127.0.0.1", metavar="ADDRESS", help="0.0.0.0 is everybody [%(default)s]")
    argument(command, "--checkpoint", choices=("last", "best"), help=WHICH)
    ahead = "of images to compile for ahead of the first request; several times for several [256 256]"
    argument(command, "--size", type=count, nargs=2, action="append", metavar=("H", "W"), help=ahead)
    argument(command, "--score", type=float, metavar="S", help="leave out boxes that are scored lower [0.3]")
    argument(command, "--batch", type=count, default=8, metavar="N", help="images in one pass at most [%(default)s]")
    waiting = "requests under way at most, beyond which they are told to come again [%(default)s]"
    argument(command, "--queue", type=count, default=64, metavar="N", help=waiting)
    argument(command, "--seconds", type=count, default=60, metavar="N", help="for a request at most [%(default)s]")
    argument(command, "--body", type=count, default=32, metavar="MIB", help="of a request at most [%(default)s]")
    argument(command, "--pixels", type=count, default=25, metavar="MILLIONS", help="of an image at most [%(default)s]")


def _add_models(commands: Any) -> None:
    command = add(commands, "models", models, "list models, decoders and encoders with their sizes, or say that of one")
    for kind, said in {
        "decoder": "one decoder, on the encoder that is named",
        "encoder": "the encoder beneath",
    }.items():
        argument(command, f"--{kind}", metavar="NAME", help=said, choices=Names(partial(sized, f"{kind}s")))
    argument(command, "--upsampler", metavar="NAME", help="what it climbs by [its own]")
    argument(command, "--size", type=count, metavar="N", help="height and width of the image [256]")
    argument(command, "--json", action="store_true", help="print JSON")

    command = add(commands, "push", push, "write a saved model to the Hugging Face hub; prints its commit")
    argument(command, "folder", metavar="FOLDER", help="what segjax.save_pretrained wrote", complete=FOLDER)
    argument(command, "repository", metavar="OWNER/NAME", help="made where it is not there")
    argument(command, "--private", action="store_true", help="a repository that is made is seen by its owner alone")

    command = add(commands, "pull", pull, "bring a saved model of the Hugging Face hub here; prints its commit")
    argument(command, "repository", metavar="OWNER/NAME[@REVISION]", help="of a commit, branch or tag [main]")
    argument(command, "folder", metavar="FOLDER", help="made where it is not there", complete=FOLDER)

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


def _add_doctor(commands: Any) -> None:
    command = add(
        commands, "doctor", doctor, "print versions, devices, memory and caches, and what is missing for which command"
    )
    argument(command, "--json", action="store_true", help="print JSON")


def _add_data(commands: Any) -> None:
    said = "list data sets, check one of yours, or write it in COCO's format or as shards"
    data = commands.add_parser("data", help=said, description=said).add_subparsers(required=True, metavar="COMMAND")
    command = add(data, "list", data_list, "list the data sets")
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(data, "check", data_check, "read a whole data set and list every problem at once")
    argument(command, "path", metavar="PATH", help="a folder, or the JSON file of a labelling tool", complete=FILE)
    argument(command, "--picture", metavar="FILE", default="data_check.png", help="a PNG of examples [%(default)s]")
    argument(
        command, "--bands", nargs="*", default=(), metavar="B", help="bands of the images, by number from 1 or name"
    )
    argument(command, "--json", action="store_true", help="print JSON")
    command = add(
        data, "convert", data_convert, "write what a labelling tool or a folder of masks says in COCO's format"
    )
    argument(command, "path", metavar="PATH", help="a folder, or the JSON file of a labelling tool", complete=FILE)
    argument(command, "out", metavar="OUT", help="folder for train.json, val.json and test.json", complete=FOLDER)
    command = add(data, "pack", data_pack, "write a set as shards, to train on from a disk or a bucket")
    said = "as `segjax data list` has it, or a folder of yours, or the file of a labelling tool"
    argument(command, "set", metavar="SET", help=said, choices=Names(data_sets), complete=FILE)
    said = "a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER; the same command again goes on where it was ended"
    argument(command, "--out", required=True, metavar="DIR", help=said, complete=FOLDER)
    argument(command, "--root", metavar="PATH", help="where the files of a named set are", complete=FOLDER)
    for split, what in {"train": "train", "val": "validate", "test": "test"}.items():
        argument(command, f"--{split}", metavar="FILE", help=f"annotations that {what}, of coco and voc", complete=FILE)
    argument(command, "--labels", choices=("exclusive", "overlapping"), help="masks of outlines, and no boxes")
    argument(command, "--classes", nargs="*", default=(), metavar="C", help="those to keep, of files of yours")
    argument(command, "--attributes", nargs="*", default=(), metavar="A", help="scores of objects, of coco")
    argument(command, "--bands", nargs="*", default=(), metavar="B", help="those to keep, of files of yours")
    argument(command, "--fold", type=int, metavar="N", help="of a folder")
    argument(command, "--groups", type=int, metavar="N", help="of land_cover: 4 or 7")
    command = add(
        data, "split", data_split, "write which images train, validate and test, groups of them never torn apart"
    )
    argument(command, "path", metavar="PATH", help="a folder of images and masks", complete=FOLDER)
    said = "what of a name says its group, a regular expression such as '(patient[0-9]+)_', or a CSV file of both"
    argument(command, "--groups", metavar="G", help=f"{said} [tiles of one image]", complete=FILE)
    argument(command, "--folds", type=count, metavar="K", help="K splits, each image testing once, for --fold N")
