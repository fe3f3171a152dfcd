"""Which images go through a model in one pass, so that few programs are compiled for batches of many sizes."""

from collections.abc import Hashable, Iterable


def together(shapes: Iterable[Hashable]) -> list[list[int]]:
    """The numbers of images in batches: each of one shape, and as many images as a power of two.

    Seven images of one shape are batches of 4, 2 and 1, so that nothing is computed to fill one up.
    """
    alike: dict[Hashable, list[int]] = {}
    for number, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(number)
    batches = []
    for numbers in alike.values():
        while numbers:
            size = 1 << (len(numbers).bit_length() - 1)
            batches.append(numbers[:size])
            numbers = numbers[size:]
    return batches
