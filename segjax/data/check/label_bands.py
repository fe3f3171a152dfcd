"""What is wrong with masks of labels that may overlap, and what their numbers mean."""

import numpy as np
from jaxtyping import Int64, UInt8

from segjax.data.check.mask_report import Seen
from segjax.data.formats.classes import ClassList
from segjax.data.formats.layouts import FoundImages
from segjax.data.record import IGNORE
from segjax.errors import counted


def meaning_of_labels(found: FoundImages, seen: list[Seen]) -> tuple[ClassList, UInt8[np.ndarray, " 256"] | None]:
    """The labels, and what each number of a mask stands for where that is not itself: 0 no, 1 yes, 255 ignored."""
    assert found.classes is not None
    nothing = np.zeros((len(found.labels), 256), np.int64)
    by_label = sum((one.counts.dense(256) for one in seen), nothing)
    total = by_label.sum(axis=0)
    levels = np.arange(256, dtype=np.uint8)
    if soft_edged(total):
        found.warn(
            "soft edges",
            found.root,
            "has masks of 0 and 255 with other values between, as a JPEG or smoothing leaves them at edges: 128 and "
            "above is taken for the label, and less for none; save such masks as PNG, and resize them without "
            "interpolation",
        )
        levels[:] = levels >= 128
        return found.classes, levels
    if total[IGNORE] and not total[1:IGNORE].any():
        found.notes.append("The masks hold only 0 and 255: 255 is taken for the label and not for pixels to ignore.")
        levels[IGNORE] = 1
        return found.classes, levels
    for name, counts in zip(found.labels, by_label, strict=True):
        # More than is ignored where a label is known to be 1 was hardly meant to be ignored.
        if counts[IGNORE] > by_label[by_label[:, 1] > 0, IGNORE].max(initial=0) and not counts[1]:
            found.error(
                "label",
                found.root,
                f"has only 0 and 255 in the masks of '{name}', and 1 in those of others: write 1 where a pixel has the "
                "label, and 255 where it is ignored",
            )
    for one in seen:
        for band, counts in enumerate(one.counts.dense(256)):
            wrong = np.flatnonzero(counts[2:IGNORE]) + 2
            if len(wrong):
                path = one.pair.labels[band] if one.pair.labels else one.pair.mask
                found.error(
                    "label",
                    path or one.pair.mask,
                    f"has {counted(counts[wrong].sum(), 'pixel')} of the value {', '.join(map(str, wrong[:8]))} for "
                    f"the label '{found.labels[band]}': a mask of a label is 0 where a pixel has it not, 1 where it "
                    "has, and 255 where it is ignored",
                )
    return found.classes, None


def check_labels(found: FoundImages, train: tuple[Seen, ...], val: tuple[Seen, ...], test: tuple[Seen, ...]) -> None:
    """Note labels that nothing teaches, and masks without anything to count."""
    for one in train + val + test:
        if len(one.counts.numbers) and (one.counts.numbers == IGNORE).all():
            found.warn("ignored", one.pair.mask, "has 255 in every pixel: nothing of it trains or scores")
    nothing = np.zeros((len(found.labels), 2), np.int64)
    splits = (("training", train), ("validation", val), ("test", test))
    having = {name: sum((one.counts.dense(2) for one in part), nothing)[:, 1] for name, part in splits}
    read = bool(train or val or test) and all(problem.severity == "warning" for problem in found.problems)
    if read and not any(counts.any() for counts in having.values()):
        found.error("labels", found.root, "has masks without any pixel of a label: there is nothing to learn")
        return
    for number, name in enumerate(found.labels):
        where = [split for split, counts in having.items() if not counts[number]]
        if where:
            found.warn("never seen", found.root, f"has the label '{name}' in no {' and no '.join(where)} mask")


def soft_edged(total: Int64[np.ndarray, " 256"]) -> bool:
    """Whether nearly all pixels are black or white, and the others of any grey: no numbers of classes are like that."""
    black, white = total[:8].sum(), total[-8:].sum()
    greys = total[8:128].any() and total[128:-8].any()
    return bool(greys and black and white and black + white >= 0.8 * total.sum())
