"""Every frame of a video, one after the other."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Num, UInt8

from segjax.data.formats.bands import Bands
from segjax.data.formats.images import shown
from segjax.data.formats.rasters import Raster
from segjax.errors import InferenceError
from segjax.progress import Bar

Frame = UInt8[np.ndarray, "h w 3"]
CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""What OpenCV writes everywhere, by the suffix of the file."""

_RATE = 25.0
"""Frames a second of a video that does not say how many."""


class VideoSummary(NamedTuple):
    """What became of a video."""

    frames: int
    seconds: float
    """From the second frame on, since the model is compiled for the first: reading, predicting and writing together."""

    @property
    def frames_per_second(self) -> float:
        """Frames a second, 0 for a video of a single one."""
        return (self.frames - 1) / self.seconds if self.frames > 1 else 0.0


def predict_video(
    change: Callable[[Frame], Frame], video: str | os.PathLike[str], out: str | os.PathLike[str]
) -> VideoSummary:
    """Write a video whose frames are those of another, changed; one at a time, whatever the length.

    Frames are RGB. What `change` makes of them may have another size than they, the same for all. The result plays as
    fast as the video did, has no sound, and is whole or not there; where a side is odd, its last pixels are repeated.
    Where the video breaks off more than a second before its end, or a quarter, a sentence on stderr says so.

    Raises:
        InferenceError: the video cannot be read, the result's name has no suffix of `CODECS`, or it cannot be written.
    """
    video, out = Path(video), Path(out)
    codec = CODECS.get(out.suffix.lower())
    if codec is None:
        raise InferenceError(f"{shown(out)} is no video: end it in {', '.join(CODECS)}.")
    if not video.is_file():
        what = "a folder: name one video file" if video.is_dir() else "not there: check the name"
        raise InferenceError(f"{shown(video)} is {what}.")
    if out.exists() and out.samefile(video):
        raise InferenceError(f"{shown(out)} is the video to read and would be overwritten: give --out another name.")
    reader = cv2.VideoCapture(str(video))
    partial = out.with_name(f".segjax-{os.getpid()}{out.suffix}")
    writer = None
    frames, begin = 0, time.perf_counter()
    try:
        total = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = reader.get(cv2.CAP_PROP_FPS) or _RATE
        with Bar("frames", total if total > 0 else None, sums_up=True) as bar:
            while True:
                there, frame = reader.read()
                if not there:
                    break
                changed = _even(change(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
                if writer is None:
                    out.parent.mkdir(parents=True, exist_ok=True)
                    size = changed.shape[1], changed.shape[0]
                    writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*codec), rate, size)
                    if not writer.isOpened():
                        raise InferenceError(f"{shown(out)} cannot be written: give --out a file of yours, or .avi.")
                writer.write(cv2.cvtColor(changed, cv2.COLOR_RGB2BGR))
                frames += 1
                if frames == 1:
                    begin = time.perf_counter()
                bar.advance()
            if frames < total - min(rate, total / 4):  # what a container says may be rounded
                bar.say(
                    f"{shown(video)} should have {total} frames and {frames} can be read: it is damaged or cut short, "
                    "and so is what is written."
                )
        if writer is None:
            raise InferenceError(
                f"{shown(video)} has no frame that can be read: it is no video, or damaged, or of a codec that OpenCV "
                "does not have; write it again as MP4."
            )
        seconds = time.perf_counter() - begin
        writer.release()
        _refuse_full(partial)
        partial.replace(out)
    except OSError as error:
        raise InferenceError(f"{shown(out)} cannot be written ({error.strerror}): give another --out.") from error
    finally:
        reader.release()
        if writer is not None:
            writer.release()
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return VideoSummary(frames, seconds)


def seen(frame: Frame, bands: Bands | None, video: Path) -> Num[np.ndarray, "h w c"]:
    """A frame as it would be read from an image file, for a model of such bands; None takes it as it is.

    Raises:
        DataError: it has not these bands, or not their depth.
    """
    if bands is None:
        return frame
    pixels = Raster(frame).bands(bands.chosen, shown(video)).pixels
    bands.refuse_others(pixels, shown(video))
    return pixels


def frame_rate(video: Path) -> float:
    """How many frames a second a video has; of one that cannot be read, 25."""
    if not video.is_file():
        return _RATE
    reader = cv2.VideoCapture(str(video))
    try:
        return reader.get(cv2.CAP_PROP_FPS) or _RATE
    finally:
        reader.release()


def _refuse_full(written: Path) -> None:
    """Ask for room behind what was written: OpenCV keeps to itself that there was none."""
    with written.open("ab") as file:
        end = file.tell()
        file.write(bytes(2**16))
        file.truncate(end)


def _even(frame: Frame) -> Frame:
    """The frame with sides of even length: codecs that halve the colours leave the last row out otherwise."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else frame
