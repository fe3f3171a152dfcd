"""What the tables of papers leave out: which difference could have been seen, and scores of spoiled or moved images."""

from collections.abc import Iterator

import numpy as np

from benchmarks.upsampling.cells import CONTROL, FAMILIES, UPSAMPLERS, Family, Place, Size
from benchmarks.upsampling.corruptions import CORRUPTIONS
from benchmarks.upsampling.document import Block, Heading, Table, Text
from benchmarks.upsampling.scoring import CLOSE
from benchmarks.upsampling.statistics import against, detectable
from benchmarks.upsampling.tables import SCORES, Outcome

BEYOND = {
    **{f"boundary_f1_within/{pixels}": f"boundary F1 at {pixels} px" for pixels in CLOSE},
    "calibration_error": "calibration error",
    **{f"spoiled/{name}": f"mIoU, {name.replace('_', ' ')}" for name in CORRUPTIONS},
    "shift/classes": "classes changed by a shift",
    "shift/logits": "logits changed by a shift",
}
"""The scores and what a table calls them."""


def power(outcome: Outcome, data: str) -> Iterator[Block]:
    """The statement of power: a row a family and size, for the scores that operators are compared by."""
    rows = []
    for size in ("published", "matched"):
        for family in outcome.families(data, size):
            row = [f"{FAMILIES[family]}, {size}"]
            for score in SCORES:
                seen = detectable(outcome.table(data, size, family, score))
                row += ["" if np.isnan(points) else f"{100 * points:.1f}" for points in seen]
            rows.append(row)
    yield Heading("Which difference could have been seen")
    yield Text(
        "The least true difference from bilinear, in points, that these runs find four times in five: at p < 0.05 for "
        "one comparison that was meant from the start, and after Holm's correction for all of a table. Where nothing "
        "differs below, smaller differences than these may well be there."
    )
    yield Table(["family", *(f"{title}{kind}" for title in SCORES.values() for kind in ("", ", corrected"))], rows)


def beyond(outcome: Outcome, data: str, size: Size) -> Iterator[Block]:
    """A table a family."""
    yield Heading("What tables leave out")
    yield Text(
        "Boundary F1 within 1, 2 and 4 pixels; expected calibration error in 15 bins; mIoU of test images spoiled as "
        "in ImageNet-C, by Gaussian noise, Gaussian blur and JPEG at severities 1 and 3, on which nothing was trained; "
        "and what a shift of the image by one pixel changes, which is 0 where a network is shift-equivariant: the "
        "share of pixels with another class, and the logits' change over their spread."
    )
    for family in outcome.families(data, size):
        yield Heading(FAMILIES[family], 3)
        yield _table(outcome, data, size, family)
    wide = _large(outcome, data, size)
    if wide.rows:
        yield wide


def _table(outcome: Outcome, data: str, size: Size, family: Family) -> Table:
    tables = {score: outcome.table(data, size, family, score) for score in BEYOND}
    compared = {score: against(table, CONTROL) if CONTROL in table else {} for score, table in tables.items()}
    rows = []
    for name in next(iter(tables.values())):
        row = [UPSAMPLERS[name]]
        for score, table in tables.items():
            found, text = compared[score].get(name), f"{table[name].mean():.3f}"
            row.append(f"**{text}**" if found is not None and found.adjusted_p < 0.05 else text)
        rows.append(row)
    caption = "Means over seeds. **Bold**: differs from bilinear, p < 0.05 after Holm's correction by column."
    return Table(["upsampler", *BEYOND.values()], rows, caption)


def _large(outcome: Outcome, data: str, size: Size) -> Table:
    sides = outcome.settings.sides
    rows = []
    for family in outcome.families(data, size):
        for name, label in UPSAMPLERS.items():
            cost = outcome.costs.get(Place(data, size, family, name))
            if cost is None or not sides:
                continue
            row = [FAMILIES[family], label]
            for large in (cost["large"][str(side)] for side in sides):
                row += [f"{large['ms']:.1f}", f"{large['bytes'] / 2**20:.0f}"]
            rows.append(row)
    head = ["family", "upsampler", *(f"{what} at {side}" for side in sides for what in ("ms", "peak MiB"))]
    return Table(head, rows, "Inference on one square image of so many pixels a side.")
