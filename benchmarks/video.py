"""Videos through trained runs, with frames/s and peak memory: `python -m benchmarks.video RUN [RUN ...]`.

Makes videos of 320 x 190 pixels and 25 frames/s, a crop that moves over Blue Marble from the Mediterranean eastwards:
10 seconds of 250 frames, and 40 of 1000. `segjax predict RUN --video` is run on each of them in a process of its own,
whose largest resident memory is what the system says of it when it ends. Memory is constant where a video four times as
long needs no more. Prints a markdown table; the results stay in the folder --out, if one is given.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from benchmarks.report import machine, markdown
from segjax.data.sets.blue_marble import PIXELS_PER_DEGREE, read_blue_marble

HEIGHT, WIDTH = 190, 320
FRAMES = (250, 1000)
LATITUDE, LONGITUDE = 44, 0
"""Of the upper left corner of the first frame; every frame is a pixel further east."""


class Measured(NamedTuple):
    """What a process said and needed."""

    said: str
    """On stderr."""
    peak: float
    """Its largest resident memory, in MiB."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description="Videos through trained runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, of masks or of boxes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the videos")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        rows = []
        for frames in FRAMES:
            video = out / f"{frames}.mp4"
            make_video(video, read_blue_marble(), frames)
            for run in options.runs:
                result = out / f"{run.name}-{frames}.mp4"
                command = [sys.executable, "-m", "segjax", "predict", str(run), "--video", str(video)]
                found = measured([*command, "--out", str(result)])
                speed = re.search(rf"{frames} frames, ([\d.]+) frames/s", found.said)
                assert speed, found.said
                size = f"{result.stat().st_size / 2**20:.1f} MiB"
                rows.append([str(run), str(frames), speed[1], f"{found.peak:.0f} MiB", size])
    print(f"{machine()}; {WIDTH} x {HEIGHT} pixels\n")
    print(markdown(["run", "frames", "frames/s", "peak memory", "result"], sorted(rows, key=lambda row: row[0])))


def make_video(path: Path, picture: UInt8[np.ndarray, "h w 3"], frames: int) -> None:
    """Write an MP4 of a crop that moves over a picture of the whole Earth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    top, left = (90 - LATITUDE) * PIXELS_PER_DEGREE, (180 + LONGITUDE) * PIXELS_PER_DEGREE
    for x in range(left, left + frames):
        columns = np.arange(x, x + WIDTH) % picture.shape[1]
        writer.write(cv2.cvtColor(picture[top : top + HEIGHT, columns], cv2.COLOR_RGB2BGR))
    writer.release()


def measured(command: Sequence[str]) -> Measured:
    """Run a command; ends this program with what it said where it fails.

    A process counts the memory of the one that started it until its own program begins, so this one has to stay small.
    """
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        said = stderr.read()
    if process.returncode:
        sys.exit(said)
    return Measured(said, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


if __name__ == "__main__":
    main()
