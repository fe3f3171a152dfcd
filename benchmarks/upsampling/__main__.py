"""The upsampling benchmark: `python -m benchmarks.upsampling [--quick|--full|--pretrained [--reduced]] [--out DIR]`.

Trains what has not been trained yet, times it, and writes report.md and report.html into the folder. It can be stopped
or killed at any time; the same command goes on where it was. `--quick` is for two CPU cores, on which it took over an
hour beside other work.
"""

import argparse
import dataclasses
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.upsampling.cells import FAMILIES, UPSAMPLERS
from benchmarks.upsampling.results import Results
from benchmarks.upsampling.run import plan, run
from benchmarks.upsampling.settings import FULL, PRETRAINED, QUICK, REDUCED, Settings
from benchmarks.upsampling.workers import default_workers
from segjax.cli.arguments import count
from segjax.errors import DataError


def main() -> int:
    options = make_parser().parse_args()
    changes: dict[str, Any] = {
        key: getattr(options, key)
        for key in (
            "data",
            "families",
            "upsamplers",
            "match",
            "width",
            "steps",
            "batch_size",
            "crop",
            "seeds",
            "rounds",
            "sides",
            "own",
            "start",
        )
        if getattr(options, key) is not None
    }
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    size, settings = chosen(options)
    settings = dataclasses.replace(settings, **changes)
    folder = options.out or Path("runs") / "upsampling" / size
    signal.signal(signal.SIGTERM, _stop)
    try:
        places = plan(settings)
        failures = run(settings, places, folder, options.workers or default_workers())
    except KeyboardInterrupt:
        print(f"Stopped; what is done is in {folder}, and the same command goes on.", file=sys.stderr)
        return 130
    except DataError as error:
        print(f"upsampling: {error}", file=sys.stderr)
        return 1
    from benchmarks.upsampling import report  # here, as workers import this file and draw nothing

    command = " ".join(["python -m benchmarks.upsampling", *sys.argv[1:]])
    report.write(settings, places, Results(folder), command)
    for failure in failures:
        print(f"upsampling: {failure}", file=sys.stderr)
    print(folder / "report.html")
    return 1 if failures else 0


def chosen(options: argparse.Namespace) -> tuple[str, Settings]:
    """The name of what is run, and its settings before they are changed one by one."""
    if options.pretrained:
        return ("pretrained_reduced", REDUCED) if options.reduced else ("pretrained", PRETRAINED)
    return ("full", FULL) if options.full else ("quick", QUICK)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upsampling", description="Every upsampler in every decoder family, all else alike."
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small networks, 3 seeds: over an hour on 2 cores (default)")
    size.add_argument("--full", action="store_true", help="three data sets, larger networks, 5 seeds: for a GPU")
    size.add_argument("--pretrained", action="store_true", help="five decoders on ImageNet encoders: for a GPU")
    parser.add_argument("--reduced", action="store_true", help="--pretrained for 2 cores: one encoder, few steps")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results [runs/upsampling/quick, full, ...]")
    parser.add_argument("--workers", type=count, metavar="N", help="processes, each with a core [all cores]")
    change = parser.add_argument_group("instead of what --quick, --full or --pretrained says")
    change.add_argument(
        "--data",
        nargs="+",
        metavar="NAME",
        help="land_cover_4, land_cover_7, islands, nuclei, camvid, tfds:NAME:class,..., a folder",
    )
    change.add_argument("--families", nargs="+", choices=FAMILIES, metavar="NAME", help="decoder families")
    change.add_argument("--match", nargs="*", choices=FAMILIES, metavar="NAME", help="those matched as well")
    change.add_argument("--upsamplers", nargs="+", choices=UPSAMPLERS, metavar="NAME", help="and bilinear, always")
    change.add_argument("--own", nargs="+", metavar="FILE.py:CLASS", help="upsamplers of your own, besides")
    change.add_argument("--width", type=count, metavar="N", help="channels of the encoder at full resolution")
    change.add_argument("--steps", type=count, metavar="N")
    change.add_argument("--batch-size", type=count, metavar="N")
    change.add_argument("--crop", type=count, metavar="N", help="height and width of training crops")
    change.add_argument("--seeds", type=count, metavar="N")
    change.add_argument("--sides", type=count, nargs="*", metavar="N", help="of images to time inference on besides")
    change.add_argument("--start", choices=("weights", "random"), help="of pretrained encoders [weights]")
    change.add_argument("--rounds", type=count, metavar="N", help="of the races that time")
    return parser


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends it twice
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
