"""The grid: every upsampler in every decoder family behind one encoder, as published and with parameters matched.

The encoder is the same to the last initial parameter: three stages of two 3x3 convolutions, of `width`, `2 * width` and
`4 * width` channels, each followed by a 2x2 max-pooling, so that what the decoders climb from lies at stride 8.

| family | decoder |
|---|---|
| FCN | class scores at stride 8, which the upsampler alone brings to the image (Long et al. 2015) |
| SegNet | two convolutions after every upsampling, the mirror image of the encoder (Badrinarayanan et al. 2017) |
| U-Net | the same, each with the encoder's features of that size beside it (Ronneberger et al. 2015) |
| U-Net, no skips | U-Net without those features |

FCN scores after two more convolutions, the first 3x3. SegNet differs from U-Net without skips in the widths: its stages
narrow before they hand on to the finer level, and its last convolution is 3x3.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from benchmarks.upsampling import pretrained
from segjax import upsampling
from segjax.decoders import FCNDecoder, UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.errors import DataError
from segjax.layers import ConvBlock
from segjax.models import Segmenter

Family = str
Size = Literal["published", "matched"]
PLAIN: dict[Family, str] = {"fcn": "FCN", "segnet": "SegNet", "unet": "U-Net", "unet_no_skips": "U-Net, no skips"}
FAMILIES = PLAIN | pretrained.FAMILIES
"""The families and what a table calls them: those behind the encoder above, and those of `--pretrained`."""
CONTROL = "bilinear"
"""What all others are compared with, and whose parameters they are matched to."""
TWIN = "bilinear_again"
"""The control under another name, started from other parameters: what chance alone does."""
UPSAMPLERS: dict[str, str] = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "max_unpool": "max-unpool",
    "conv_transpose_2x2": "transposed conv 2x2",
    "conv_transpose_3x3": "transposed conv 3x3",
    "conv_transpose_3x3_bilinear": "transposed conv 3x3, bilinear start",
    "resize_conv": "resize-conv",
    "pixel_shuffle": "pixel shuffle",
    "pixel_shuffle_icnr": "pixel shuffle, ICNR start",
    "carafe": "CARAFE",
    "dysample": "DySample",
    "fade": "FADE",
    "sapa": "SAPA",
}
"""The upsamplers and what a table calls them."""
OWN: dict[str, Callable[..., upsampling.Upsampling]] = {}
"""Those of a third party, which `own.join` enters here and among the others."""
LABELS = UPSAMPLERS | {TWIN: "bilinear, again"}
_SAME_SIZE = {
    TWIN: CONTROL,
    "nearest": CONTROL,
    "conv_transpose_3x3_bilinear": "conv_transpose_3x3",
    "resize_conv": "conv_transpose_3x3",
    "pixel_shuffle_icnr": "pixel_shuffle",
}
"""Upsamplers with as many parameters as another, so that fewer networks are traced to be counted."""
SQUEEZED = {"carafe": (64, "compressed"), "fade": (64, "compressed"), "sapa": (32, "embedding")}
"""Upsamplers that predict kernels: from how many channels in their papers, and the field that says so."""
TOLERANCE = 0.02
"""How far from the control's a matched decoder's number of parameters may be."""
LEVELS = 3
"""Stages of the encoder and, but in FCN, of the decoder."""
STRIDE = 2**LEVELS
"""Of the deepest features."""


@dataclass(frozen=True)
class Cell:
    """One network on one data set; its runs differ by their seed alone."""

    data: str
    family: Family
    upsampler: str
    width: int
    """Channels of the encoder at full resolution; of a pretrained one, what the decoder's widths are multiples of."""
    decoder: tuple[int, ...]
    """Channels of the decoder at each level, finest first; of FCN's, which has none there, at the deepest alone."""
    squeeze: int = 1
    """What the channels that CARAFE's, FADE's and SAPA's kernels are predicted from are divided by, below `width`."""

    @property
    def name(self) -> str:
        """A name that no other cell has, fit for a file."""
        widths = "_".join(map(str, self.decoder)) + (f"_q{self.squeeze}" if self.squeeze > 1 else "")
        return f"{self.data}-{self.family}-{self.upsampler}-w{self.width}-d{widths}"


class Place(NamedTuple):
    """Where a cell stands in the tables."""

    data: str
    size: Size
    family: Family
    upsampler: str


def published(data: str, family: Family, upsampler: str, width: int) -> Cell:
    """The cell whose decoder mirrors the encoder, or has the widths of its pretrained family."""
    if family in pretrained.FAMILIES:
        return Cell(data, family, upsampler, width, pretrained.widths_of(family, width))
    widths = tuple(width * 2**level for level in range(LEVELS))
    return Cell(data, family, upsampler, width, widths[-1:] if family == "fcn" else widths)


def network(cell: Cell, num_classes: int) -> nn.Module:
    """The cell's model: a normalised image in, logits out."""
    if cell.family in pretrained.FAMILIES:
        return pretrained.network(cell.family, cell.decoder, _upsampler(cell), num_classes)
    stages = tuple((cell.width * 2**level,) * 2 for level in range(LEVELS))
    upsample = _upsampler(cell)
    encoder = ConvEncoder((*stages, ()))
    if cell.family == "fcn":
        scores = FCNDecoder(
            num_classes,
            hidden=cell.decoder[0],
            window=3,
            dropout=0.0,
            upsample=upsample,
            block=ConvBlock,
            climb=True,
        )
        return Segmenter(num_classes, encoder, scores, head=None)
    if cell.family == "segnet":
        finer = (cell.decoder[0], *cell.decoder)
        decoder = UNetDecoder(tuple(zip(cell.decoder, finer, strict=False)), upsample, skips=False)
        return Segmenter(num_classes, encoder, decoder, head=partial(nn.Conv, kernel_size=(3, 3)))
    mirror = tuple((width, width) for width in cell.decoder)
    return Segmenter(num_classes, encoder, UNetDecoder(mirror, upsample, skips=cell.family == "unet"))


def _upsampler(cell: Cell) -> Callable[..., upsampling.Upsampling]:
    if cell.upsampler == TWIN:
        return upsampling.BY_NAME[CONTROL]
    if cell.upsampler == "max_unpool" and cell.family in pretrained.FAMILIES:
        return partial(upsampling.MaxUnpool, of_skip=True)  # where no indices are recorded
    if cell.upsampler == "conv_transpose_3x3_bilinear":
        return partial(upsampling.ConvTranspose, overlap=1, kernel_init=upsampling.bilinear_init)
    if cell.upsampler in SQUEEZED:
        # The papers' 64 channels, SAPA's 32, are for networks of 256; here they shrink as the network does.
        channels, field = SQUEEZED[cell.upsampler]
        fewer = max(1, channels * cell.width // 64 // cell.squeeze)
        return partial(upsampling.BY_NAME[cell.upsampler], **{field: fewer})
    return OWN.get(cell.upsampler) or upsampling.BY_NAME[cell.upsampler]


def parameters(cell: Cell, num_classes: int) -> tuple[int, int]:
    """Of the whole network, and of what follows the encoder; counted from shapes alone."""
    return _parameters(replace(cell, upsampler=_SAME_SIZE.get(cell.upsampler, cell.upsampler)), num_classes)


@cache
def _parameters(cell: Cell, num_classes: int) -> tuple[int, int]:
    if cell.family in pretrained.FAMILIES:
        return pretrained.parameters(cell.family, cell.decoder, _upsampler(cell), num_classes)
    image = jax.ShapeDtypeStruct((1, STRIDE, STRIDE, 3), np.float32)
    init = partial(network(cell, num_classes).init, train=False)
    tree = jax.eval_shape(init, jax.random.key(0), image)["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in tree.items()}
    total = sum(counts.values())
    return total, total - counts["encoder"]


def matched(cell: Cell, num_classes: int) -> Cell:
    """The published cell with its decoder scaled to the control's parameters; itself where it has as many already.

    The convolutions that predict kernels do not shrink with the decoder, so they are squeezed until they leave room for
    it. Raises DataError where nothing gives as many parameters within `TOLERANCE`.
    """
    goal = parameters(published(cell.data, cell.family, CONTROL, cell.width), num_classes)[1]

    def excess(candidate: Cell) -> float:
        return parameters(candidate, num_classes)[1] / goal - 1

    def off(candidate: Cell) -> float:
        return abs(excess(candidate))

    best = cell
    for squeeze in (1, 2, 4, 8) if cell.upsampler in SQUEEZED else (1,):
        low, high = 0.0, 2.0
        while off(best) > TOLERANCE and high - low > 0.01:
            scale = (low + high) / 2
            middle = replace(cell, decoder=tuple(max(1, round(scale * w)) for w in cell.decoder), squeeze=squeeze)
            best = min(best, middle, key=off)
            low, high = (scale, high) if excess(middle) < 0 else (low, scale)
        # All widths at once take too large steps: try their neighbours one by one.
        if len(best.decoder) <= LEVELS:
            for widths in itertools.product(*((w, w - 1, w + 1) for w in best.decoder)):
                if off(best) > TOLERANCE and min(widths) > 0:
                    best = min(best, replace(best, decoder=widths), key=off)
        for place in reversed(range(len(best.decoder))):
            if off(best) > TOLERANCE:
                best = min(best, _with_one_fitted(best, place, excess), key=off)
        if off(best) > TOLERANCE and best.decoder[0] > 1:
            # One channel less where a channel is many parameters, and the last width makes up for it.
            narrower = replace(best, decoder=(best.decoder[0] - 1, *best.decoder[1:]))
            best = min(best, _with_one_fitted(narrower, len(best.decoder) - 1, excess), key=off)
    if off(best) > TOLERANCE:
        raise DataError(
            f"No width of {cell.name}'s decoder brings its parameters within {TOLERANCE:.0%} of the {goal} of "
            f"{CONTROL}: the nearest is off by {off(best):.1%}; take a larger width."
        )
    return best


def _with_one_fitted(cell: Cell, place: int, excess: Callable[[Cell], float]) -> Cell:
    """The cell with that one of its widths, up to 64 times the base, that brings it nearest to the parameters."""
    widened = [
        replace(cell, decoder=(*cell.decoder[:place], width, *cell.decoder[place + 1 :]))
        for width in range(1, 64 * cell.width + 1)
    ]
    over = bisect.bisect_left(widened, 0.0, key=excess)
    return min(widened[max(over - 1, 0) : over + 1], key=lambda candidate: abs(excess(candidate)))


def grid(
    data: str,
    num_classes: int,
    width: int,
    families: Iterable[Family] = tuple(PLAIN),
    upsamplers: Iterable[str] = tuple(UPSAMPLERS),
    match: Iterable[Family] = tuple(PLAIN),
) -> dict[Place, Cell]:
    """Every place in the tables of a data set with the cell that stands there; one cell may stand in two.

    The control and its twin are always among them. Only the families of `match` get matched decoders, and pretrained
    ones no others.
    """
    names = dict.fromkeys((CONTROL, TWIN, *upsamplers))
    places = {}
    for family in families:
        for name in names:
            cell = published(data, family, name, width)
            alone = family in pretrained.FAMILIES
            if alone and not pretrained.fits(family, name):
                continue
            if not alone:
                places[Place(data, "published", family, name)] = cell
            if alone or family in match:
                places[Place(data, "matched", family, name)] = matched(cell, num_classes)
    return places
