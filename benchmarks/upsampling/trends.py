"""What theory and the papers predict, asserted over the results with their intervals.

A trend holds where the whole 95% interval lies on the predicted side of zero, does not where it lies on the other, and
is undecided in between. Intervals are of contrasts (see `statistics`) and not corrected for there being several trends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from benchmarks.upsampling import pretrained
from benchmarks.upsampling.cells import CONTROL, FAMILIES, LABELS, TWIN, Cell, Family, Size
from benchmarks.upsampling.costs import kept_bytes
from benchmarks.upsampling.statistics import CONFIDENCE, Estimate, against, contrast, mean
from benchmarks.upsampling.tables import SCORES, Outcome, Table

FIXED = ("nearest", "bilinear")
LEARNED = (
    "conv_transpose_2x2",
    "conv_transpose_3x3",
    "conv_transpose_3x3_bilinear",
    "resize_conv",
    "pixel_shuffle",
    "pixel_shuffle_icnr",
    "carafe",
    "dysample",
)
"""Without FADE and SAPA, which see the encoder's features and so are no bare FCN's."""
SEGFORMER = (
    ("carafe", "miou", "42.82 against 41.68", "Wang et al. 2019"),
    ("fade", "miou", "44.41 against 41.68", "Lu et al. 2022 (FADE)"),
    ("fade", "boundary_iou", "32.65 against 27.80", "Lu et al. 2022 (FADE)"),
    ("sapa", "miou", "43.20 against 41.68", "Lu et al. 2022 (SAPA)"),
    ("dysample", "miou", "", "Liu et al. 2023"),
)
"""Upsamplers that papers put in SegFormer's decoder in place of bilinear, by which score they won there, what it was on
ADE20K with the encoder MiT-B1, and who says so."""
VISIBLE = 1.0
"""Decibels of a checkerboard that count as none."""

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Trend:
    """A prediction and what became of it."""

    claim: str
    source: str
    found: str
    verdict: Verdict


def trends(outcome: Outcome, data: str) -> Iterator[Trend]:
    """Every trend that the runs on a data set can speak of."""
    yield from _nothing(outcome, data)
    yield from _skips(outcome, data)
    yield from _indices(outcome, data)
    yield from _checkerboards(outcome, data)
    yield from _learning(outcome, data)
    yield from _in_segformer(outcome, data)
    yield _storage()


def _nothing(outcome: Outcome, data: str) -> Iterator[Trend]:
    """The control against itself: with what correction the tables use, nothing may come out."""
    p = []
    size = outcome.main_size(data)
    for family in outcome.families(data, size):
        for score in SCORES:
            table = outcome.table(data, size, family, score, twin=True)
            if {CONTROL, TWIN} <= table.keys():
                p.append(against(table, CONTROL)[TWIN].adjusted_p)
    if p and not np.isnan(p).any():
        wrong = sum(value < 1 - CONFIDENCE for value in p)
        yield Trend(
            "Bilinear does not differ from itself started from other parameters, in any family and score",
            "A null experiment",
            f"{wrong} of {len(p)} comparisons significant; the least corrected p is {min(p):.2f}",
            "does not hold" if wrong else "holds",
        )


def _skips(outcome: Outcome, data: str) -> Iterator[Trend]:
    yield from _skips_of(outcome, data, "published", ("unet", "unet_no_skips"), "")
    for name, encoder in pretrained.ENCODERS.items():
        yield from _skips_of(outcome, data, "matched", (f"unet_{name}", f"fcn_{name}"), f", on {encoder.label}")


def _skips_of(outcome: Outcome, data: str, size: Size, families: tuple[Family, Family], where: str) -> Iterator[Trend]:
    pairs = {score: [outcome.table(data, size, family, score) for family in families] for score in SCORES}
    pairs["gap"] = [
        {name: near[name] - all_[name] for name in near}
        for near, all_ in zip(pairs["boundary_iou"], pairs["miou"], strict=True)
    ]
    if not all(pairs["miou"]):
        return
    source = "Long et al. 2015; Ronneberger et al. 2015; Drozdzal et al. 2016"
    for score, claim in (
        ("miou", "Skips beat no skips in mIoU, over all upsamplers"),
        ("boundary_iou", "Skips beat no skips in boundary IoU, over all upsamplers"),
        ("gap", "Skips gain more boundary IoU than mIoU"),
    ):
        yield _trend(claim + where, source, _difference(*pairs[score]), "points")


def _indices(outcome: Outcome, data: str) -> Iterator[Trend]:
    pooled = (f"fcn_{name}" for name, encoder in pretrained.ENCODERS.items() if encoder.pools)
    for family in ("segnet", "unet_no_skips", "fcn", *pooled):
        table = outcome.table(data, "matched", family, "boundary_f1")
        if {"max_unpool", CONTROL} <= table.keys():
            yield _trend(
                f"Max-unpooling beats bilinear in boundary F1 with matched parameters, {FAMILIES[family]}",
                "Badrinarayanan et al. 2017, table 1: mIoU 46.1 against 43.3 at 0.625 M parameters",
                _between([table], ["max_unpool"], [CONTROL]),
                "points",
            )


def _checkerboards(outcome: Outcome, data: str) -> Iterator[Trend]:
    # Not of pretrained families: they go bilinearly to the image, which leaves none of stride 2.
    families = outcome.families(data, "published")
    start = [_decibels(outcome, data, "published", family, "initial_checkerboard/2") for family in families]
    end = [_decibels(outcome, data, "published", family, "checkerboard/2") for family in families]
    needed = {"conv_transpose_3x3", "resize_conv"}
    for tables, when in ((start, "at the start"), (end, "after training")):
        if tables and all(needed <= table.keys() for table in tables):
            yield _trend(
                f"Transposed convolution 3x3 leaves a stronger checkerboard than resize-convolution {when}",
                "Odena et al. 2016",
                _between(tables, ["conv_transpose_3x3"], ["resize_conv"]),
                "dB",
            )
    if start and all({"pixel_shuffle", "pixel_shuffle_icnr"} <= table.keys() for table in start):
        yield _trend(
            "ICNR starts pixel shuffle with less of a checkerboard",
            "Aitken et al. 2017",
            _between(start, ["pixel_shuffle"], ["pixel_shuffle_icnr"]),
            "dB",
        )
        left = np.mean([table["pixel_shuffle_icnr"] for table in start], axis=0)
        yield _trend(
            f"ICNR starts pixel shuffle with none at all: less than {VISIBLE:g} dB",
            "Aitken et al. 2017",
            mean(left - VISIBLE),
            "dB",
            predicted=-1,
            shift=VISIBLE,
        )


def _learning(outcome: Outcome, data: str) -> Iterator[Trend]:
    table = outcome.table(data, "published", "fcn", "miou")
    learned, fixed = ([name for name in names if name in table] for names in (LEARNED, FIXED))
    if learned and fixed:
        yield _trend(
            "In the bare FCN learned upsamplers beat fixed ones in mIoU",
            "Badrinarayanan et al. 2017, section 3.3",
            _between([table], learned, fixed),
            "points",
        )


def _in_segformer(outcome: Outcome, data: str) -> Iterator[Trend]:
    for family in outcome.families(data, "matched"):
        if not family.startswith("segformer"):
            continue
        where = FAMILIES[family]
        for name, score, numbers, source in SEGFORMER:
            table = outcome.table(data, "matched", family, score)
            if {name, CONTROL} <= table.keys():
                yield _trend(
                    f"{LABELS[name]} beats bilinear in {SCORES[score]} with matched parameters, {where}",
                    f"{source}; MiT-B1 on ADE20K: {numbers}" if numbers else source,
                    _between([table], [name], [CONTROL]),
                    "points",
                )
        table = outcome.table(data, "matched", family, "miou")
        kernels = ["carafe", "fade", "sapa"]
        if {"dysample", *kernels} <= table.keys():
            yield _trend(
                f"DySample beats CARAFE, FADE and SAPA together in mIoU, {where}",
                "Liu et al. 2023",
                _between([table], ["dysample"], kernels),
                "points",
            )


def _storage() -> Trend:
    widths = (64, 128, 256)
    full, _ = kept_bytes(Cell("any", "unet", CONTROL, 64, widths), (64, 64, 3))
    indices, _ = kept_bytes(Cell("any", "segnet", "max_unpool", 64, widths), (64, 64, 3))
    return Trend(
        "Max-unpooling keeps at most 1/64 of the bytes of full skips, at 64 channels with packed indices",
        "Badrinarayanan et al. 2017, section 3: 2 bits for every 2x2 window",
        f"{indices:,} against {full:,} bytes for an image of 64x64: 1/{full / indices:g}",
        "holds" if 64 * indices <= full else "does not hold",
    )


def _decibels(outcome: Outcome, data: str, size: Size, family: Family, score: str) -> Table:
    return {name: 10 * np.log10(values) for name, values in outcome.table(data, size, family, score).items()}


def _difference(first: Table, second: Table) -> Estimate:
    """The mean over the operators that both tables have of what the first has more."""
    names = [name for name in first if name in second]
    stacked = np.stack([table[name] for table in (first, second) for name in names])
    return contrast(stacked, np.repeat([1, -1], len(names)) / len(names))


def _between(tables: Sequence[Table], first: Sequence[str], second: Sequence[str]) -> Estimate:
    """What the first operators' mean has more than the second's, over all tables."""
    stacked = np.concatenate([np.stack(list(table.values())) for table in tables])
    names = [name for table in tables for name in table]
    weights: Float[np.ndarray, " operators"] = np.array(
        [(name in first) / len(first) - (name in second) / len(second) for name in names]
    )
    return contrast(stacked, weights / len(tables))


def _trend(
    claim: str, source: str, estimate: Estimate, unit: Literal["points", "dB"], predicted: int = 1, shift: float = 0.0
) -> Trend:
    """The verdict on an estimate that is predicted to have the sign of `predicted`, shown with `shift` added."""
    scale = 100 if unit == "points" else 1
    value, low, high = (scale * (part + shift) for part in estimate[:3])
    if np.isnan(low):
        return Trend(claim, source, f"{value:+.1f} {unit}, from one seed", "undecided")
    signs = {np.sign(predicted * estimate.low), np.sign(predicted * estimate.high)}
    verdict: Verdict = "holds" if signs == {1.0} else "does not hold" if signs == {-1.0} else "undecided"
    return Trend(claim, source, f"{value:+.1f} {unit} [{low:+.1f}, {high:+.1f}]", verdict)
