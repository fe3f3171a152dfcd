"""What the numbers of masks mean, of which a pixel has one, and what is wrong with them."""

import numpy as np
from jaxtyping import UInt

from segjax.data.check.counts import added_up
from segjax.data.check.label_bands import soft_edged
from segjax.data.check.mask_report import Seen
from segjax.data.formats.classes import ClassList, numbered_classes
from segjax.data.formats.images import shown
from segjax.data.formats.layouts import FoundImages
from segjax.data.record import IGNORE
from segjax.errors import counted
from segjax.mask_numbers import MOST_CLASSES, ignored

_NAMED = 10
"""Classes without a pixel that get a sentence each; more get one together."""


def meaning_of_numbers(found: FoundImages, seen: list[Seen]) -> tuple[ClassList, UInt[np.ndarray, " n"] | None]:
    """What the values of grey masks stand for: the classes, and the class of every value where that is another one."""
    total = added_up([one.counts for one in seen if not one.coloured])
    values = set(total.numbers.tolist()) - {MOST_CLASSES}
    classes = found.classes
    if classes and found.levels is not None:
        return classes, found.levels
    levels = np.arange(256, dtype=np.uint8)
    if classes:
        greys = {red: number for (red, green, blue), number in classes.colours.items() if red == green == blue}
        if values <= set(greys) and not values <= set(range(len(classes.names))):
            found.notes.append("Grey masks are read by the colours that classes.txt gives.")
            levels[list(greys)] = list(greys.values())
            return classes, levels
    two = (classes is None or len(classes.names) == 2) and max(values, default=0) <= IGNORE
    if two and soft_edged(pixels := total.dense(256)):
        between = 1 - (pixels[0] + pixels[IGNORE]) / pixels.sum()
        found.warn(
            "soft edges",
            found.root,
            f"has masks of 0 and 255 with other values in {between:.1%} of the pixels, as a JPEG or smoothing leaves "
            "them at edges: 128 and above is taken for class 1, and less for class 0; save such masks as PNG, and "
            "resize them without interpolation",
        )
        levels[:] = levels >= 128
        return classes or numbered_classes(2), levels
    if two and values == {0, IGNORE}:
        found.notes.append("The masks hold only 0 and 255: 255 is taken for class 1 and not for pixels to ignore.")
        levels[IGNORE] = 1
        return classes or numbered_classes(2), levels
    if two and values == {0, 1, IGNORE}:
        _note_two_numberings(found, seen)
    if classes is None:
        classes = _numbered(found, values)
    if len(classes.names) > IGNORE and total.of(IGNORE):
        found.notes.append(
            f"There are {len(classes.names)} classes, so 255 in a mask is one of them: 65535 is what is ignored."
        )
    return classes, None


def _note_two_numberings(found: FoundImages, seen: list[Seen]) -> None:
    """Warn where 255 may well mean class 1: in masks that have it no pixel is 1, as if they came from another tool."""
    numbers = [(one, set(one.counts.numbers.tolist())) for one in seen if not one.coloured]
    white = [one for one, there in numbers if {0, IGNORE} <= there]
    if white and not any({1, IGNORE} <= there for _, there in numbers):
        found.warn(
            "two numberings",
            found.root,
            f"has {counted(len(white), 'mask')} of 0 and 255 alone, such as {shown(white[0].pair.mask)}, and others of "
            "0 and 1: 255 is ignored, so write 1 there if it is the foreground",
        )


def _numbered(found: FoundImages, values: set[int]) -> ClassList:
    """As many classes as the greatest number says; many need 16 bits, in which 255 is a class, too."""
    labels = sorted(values if max(values, default=0) > IGNORE else values - {IGNORE})
    count = labels[-1] + 1 if labels else 0
    if labels and len(labels) <= count / 2:
        some = ", ".join(str(label) for label in labels[:8]) + (", ..." if len(labels) > 8 else "")
        found.error(
            "labels",
            found.root,
            f"has masks with the values {some} and few between: say in classes.txt what each means, one `name value "
            "value value` a line",
        )
    return numbered_classes(count)


def check_numbers(
    found: FoundImages, classes: ClassList, train: tuple[Seen, ...], val: tuple[Seen, ...], test: tuple[Seen, ...]
) -> None:
    """Note numbers that are no class, masks without anything to count, and classes that are nowhere."""
    count = len(classes.names)
    ignore = ignored(count)
    for one in train + val + test:
        numbers = one.counts.numbers
        wrong = (numbers >= count) & (numbers != ignore)
        if found.classes and wrong.any():
            labels = ", ".join(map(str, numbers[wrong][:8]))
            found.error(
                "label",
                one.pair.mask,
                f"has {counted(one.counts.pixels[wrong].sum(), 'pixel')} of label {labels}, but there are {count} "
                f"classes (0 to {count - 1}): mend the mask, or name the class in classes.txt",
            )
        if len(numbers) and (numbers == ignore).all():
            found.warn("ignored", one.pair.mask, f"has {ignore} in every pixel: nothing of it trains or scores")
    splits = {"training": train, "validation": val, "test": test}
    pixels = {name: added_up([one.counts for one in part]).dense(count) for name, part in splits.items()}
    read = bool(train or val or test) and all(problem.severity == "warning" for problem in found.problems)
    if read and np.count_nonzero(sum(pixels.values())) < 2:
        found.error("labels", found.root, "has masks of a single class: there is nothing to tell apart")
        return
    for name, counts in pixels.items() if read else ():
        if not counts.any():
            found.error("ignored", found.root, f"has not one pixel of a class in its {name} masks: take them away")
    _note_absent(found, classes, pixels)


def _note_absent(found: FoundImages, classes: ClassList, pixels: dict[str, np.ndarray]) -> None:
    where = [[split for split, counts in pixels.items() if not counts[number]] for number in range(len(classes.names))]
    absent = [number for number, splits in enumerate(where) if splits]
    if len(absent) > _NAMED:
        some = ", ".join(f"'{classes.names[number]}'" for number in absent[:_NAMED])
        found.warn(
            "never seen", found.root, f"has {len(absent)} classes that a split's masks have not: {some} and others"
        )
        return
    for number in absent:
        said = f"has class {number} ('{classes.names[number]}') in no {' and no '.join(where[number])} mask"
        found.warn("never seen", found.root, said)
