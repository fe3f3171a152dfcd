"""The commands that look: at runs, images and data."""

import argparse
import sys
from pathlib import Path

from segjax.cli.process import prepare
from segjax.cli.say import fail, print_scores, say_unfinished
from segjax.errors import counted
from segjax.strict_json import as_json


def evaluate(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax evaluate RUN [--split val] [--root PATH]`: score it, or a saved model by FOLDER --on RUN."""
    prepare()
    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.runs.load import evaluate_run
    from segjax.runs.saved import evaluate_saved, is_saved

    keep_compiled_programs()
    where = {name: value for name in ("root", "test") if (value := getattr(parsed, name)) is not None}
    if is_saved(parsed.run) != (parsed.on is not None):
        return fail("a saved model is scored on the data set of a run: evaluate FOLDER --on RUN; a run on its own.")
    if parsed.on is not None and (parsed.tta or parsed.soft_nms or parsed.checkpoint):
        return fail(
            "--checkpoint is for runs, --tta and --soft-nms for those that find boxes, and this is a saved model of "
            "masks: leave them out."
        )
    if parsed.on is not None:
        report = evaluate_saved(parsed.run, parsed.on, parsed.split, where, parsed.per_image)
    else:
        report = evaluate_run(
            parsed.run, parsed.checkpoint, parsed.split, where, parsed.per_image, tuple(parsed.tta), parsed.soft_nms
        )
        say_unfinished(parsed.run)
    if parsed.json:
        print(as_json(report, indent=2))
    else:
        print_scores(report[parsed.split])
    return 0


def predict(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax predict RUN PATH... --out DIR` or `segjax predict RUN --video IN --out OUT`: masks or boxes."""
    if bool(parsed.paths) == (parsed.video is not None):
        return fail("name images to predict, or one video with --video IN --out OUT.mp4.")
    prepare()
    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.inference import Tiling
    from segjax.runs.saved import open_predictor
    from segjax.tasks import Options

    keep_compiled_programs()
    task, model, variables = open_predictor(parsed.run, parsed.checkpoint)[:3]
    say_unfinished(parsed.run)
    out = Path(parsed.out)
    tiling = Tiling(parsed.tile, parsed.margin, parsed.tta)
    options = Options(tiling, parsed.probabilities, parsed.score, parsed.coco, parsed.soft_nms, parsed.track)
    if parsed.track and parsed.video is None:
        return fail("objects are tracked over the frames of a video: name one with --video, or leave --track out.")
    if parsed.video is not None:
        video = task.predictions.write_video(model, variables, Path(parsed.video), out, options)
        print(f"{counted(video.frames, 'frame')}, {video.frames_per_second:.1f} frames/s", file=sys.stderr)
        print(parsed.out)
        return 0
    images = task.predictions.write_files(model, variables, [Path(path) for path in parsed.paths], out, options)
    if images.done:
        print(parsed.out)
    return 1 if images.failed else 0


def data_list(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data list`: the data sets that segjax fetches by itself, and those it reads."""
    from segjax.data.catalogue import CATALOGUE

    rows = [{"name": entry.name, "what": entry.what, "use": entry.use} for entry in CATALOGUE]
    if parsed.json:
        print(as_json(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']:<18}{row['what']}\n{'':<18}{row['use']}")
    return 0


def data_convert(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data convert PATH OUT`: write what a labelling tool or a folder of masks says in COCO's format."""
    from segjax.data.sets.converted import convert

    written = convert(parsed.path, parsed.out)
    for sentence in written.warnings:
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"{counted(written.images, 'image')} with {counted(written.objects, 'object')}", file=sys.stderr)
    print(parsed.out)
    return 0


def data_pack(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data pack SET --out DIR`: write a set as shards that are read from disks and buckets alike."""
    from segjax.data.pack import pack_by_name

    masks = {None: None, "exclusive": True, "overlapping": "multilabel"}[parsed.labels]
    named = {"class_names": tuple(parsed.classes), "attribute_names": tuple(parsed.attributes), "masks": masks}
    same = ("root", "train", "val", "test", "groups", "fold")
    given = {name: getattr(parsed, name) for name in same} | {"bands": tuple(parsed.bands)}
    written = pack_by_name(parsed.set, parsed.out, **given, **named)
    counts = ", ".join(f"{count} {split}" for split, count in written.records.items())
    print(f"{counts}; {written.bytes / 2**20:.1f} MiB", file=sys.stderr)
    print(parsed.out)
    return 0


def data_split(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data split PATH [--groups G] [--folds K]`: write which images train, validate and test."""
    from segjax.data.formats.grouped import write_splits

    for folder in write_splits(parsed.path, parsed.groups, parsed.folds):
        print(folder)
    return 0


def data_check(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax data check PATH`: read everything and list every problem at once."""
    from segjax.data import check
    from segjax.data.check.report import print_report

    picture = Path(parsed.picture)
    earlier = picture.stat().st_mtime_ns if picture.exists() else None
    report = check(parsed.path, picture=picture, bands=parsed.bands)
    if parsed.json:
        print(as_json(report.to_json(), indent=2))
    else:
        print_report(report)
        if picture.exists() and picture.stat().st_mtime_ns != earlier:
            print(f"Examples are drawn in {parsed.picture}.")
    return 1 if report.errors else 0
