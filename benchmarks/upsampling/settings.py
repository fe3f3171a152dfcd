"""What `--quick`, `--full` and `--pretrained` run."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.upsampling import pretrained
from benchmarks.upsampling.cells import PLAIN, UPSAMPLERS, Family


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
    match: tuple[Family, ...] = tuple(PLAIN)
    """The families whose decoders are also run with matched parameters."""
    families: tuple[Family, ...] = tuple(PLAIN)
    upsamplers: tuple[str, ...] = tuple(UPSAMPLERS)
    own: tuple[str, ...] = ()
    """Classes of a third party, each as FILE.py:CLASS, that are among the upsamplers."""
    learning_rate: float = 1.5e-2
    """The highest of a one-cycle cosine schedule of AdamW."""
    sides: tuple[int, ...] = ()
    """Of square images, one at a time, on which inference is timed besides."""
    start: Literal["weights", "random"] = "weights"
    """What the encoders of pretrained families begin with."""
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
PRETRAINED = Settings(
    data=("land_cover_7", "nuclei", "camvid"),
    width=32,
    steps=300,
    batch_size=16,
    seeds=3,
    families=pretrained.families("vgg16", "mobilenetv2"),
    learning_rate=1e-3,
    sides=(512, 1024),
    rounds=5,
)
REDUCED = Settings(
    data=("land_cover_7",),
    width=32,
    steps=60,
    batch_size=8,
    seeds=3,
    crop=64,
    families=pretrained.families("mobilenetv2"),
    learning_rate=1e-3,
    rounds=1,
)
"""`--pretrained` on two cores: one encoder, as compiling takes most of the time."""
