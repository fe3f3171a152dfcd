"""What `--quick` and `--full` run."""

from dataclasses import dataclass
from typing import get_args

from benchmarks.upsampling.cells import UPSAMPLERS, Family


@dataclass(frozen=True)
class Settings:
    """How far the benchmark goes; every cell gets the same of everything here."""

    data: tuple[str, ...]
    width: int
    """Channels of the encoder at full resolution."""
    steps: int
    batch_size: int
    seeds: int
    crop: int | None = None
    """Height and width of training crops; None for what the data set suggests."""
    match: tuple[Family, ...] = get_args(Family)
    """The families whose decoders are also run with matched parameters."""
    families: tuple[Family, ...] = get_args(Family)
    upsamplers: tuple[str, ...] = tuple(UPSAMPLERS)
    learning_rate: float = 1.5e-2
    """The highest of a one-cycle cosine schedule of AdamW."""
    sides: tuple[int, ...] = ()
    """Of square images, one at a time, on which inference is timed besides."""
    rounds: int = 7
    """Of the races that time the cells."""


QUICK = Settings(
    data=("land_cover_4",),
    width=8,
    steps=400,
    batch_size=16,
    seeds=3,
    learning_rate=8e-3,
    crop=32,  # a quarter of a tile: more steps of more different pixels in the same time
    match=("segnet", "unet_no_skips"),
    rounds=5,
)
FULL = Settings(
    data=("land_cover_4", "land_cover_7", "islands"),
    width=16,
    steps=600,
    batch_size=32,
    seeds=5,
    learning_rate=4e-3,
    sides=(512, 1024),
)
