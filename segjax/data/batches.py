"""Batches of records by Grain: read and augmented in threads, and the same for any number of hosts and threads."""

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

from segjax.cores import usable_cores
from segjax.data.augment import Augment
from segjax.data.batch import MAX_BOXES, Batch, empty, fill, mixed_up, room_for
from segjax.data.checked import checked
from segjax.data.mixing import mixed
from segjax.data.record import Record, Source
from segjax.errors import DataError

if TYPE_CHECKING:
    import grain

Element = TypeVar("Element")
Use = Literal["order", "augment", "mix", "share"]
"""What random numbers are for; the place in this list is part of their seed."""

_MOST_THREADS = 8
"""More wait for the interpreter's lock."""


def train_batches(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    augment: Augment | None = None,
    start: int = 0,
    shard: tuple[int, int] = (0, 1),
    threads: int | None = None,
    max_boxes: int = MAX_BOXES,
    damaged: Callable[[int, DataError], None] | None = None,
) -> Iterator[Batch]:
    """Shuffled, augmented batches without end, of which number k is a pure function of `seed` and k.

    Every record comes once an epoch, each epoch in another order and with other augmentation; a batch may hold the end
    of one epoch and the beginning of the next.

    Args:
        source: At least one record. Every record comes out of `augment` with the same size.
        batch_size: Records in a batch over all shards; divisible by the number of shards.
        seed: At least 0.
        augment: None leaves the records as they are.
        start: The number of the first batch; the ones before it are not computed.
        shard: (i, count): this host's number and how many there are. Host i gets the i-th of `count` equal contiguous
            parts of every batch.
        threads: How many read and augment; batches are computed ahead of their use, two for each thread. None: one for
            each core that the process may use, up to 8. They gain most where OpenCV starts none of its own,
            `cv2.setNumThreads(1)`, which training does.
        max_boxes: How many boxes every image has room for.
        damaged: Called, from the threads that read, with the number of a record that cannot be read and with what it
            raised; then the record that comes next in its epoch takes its place too. Without it, a record that cannot
            be read is an error.

    Raises:
        ValueError: No records, a batch size that does not divide, or a negative seed or start.
        DataError: While iterating, where records of a batch differ in size, have too many boxes, cannot be read or are
            not what `Record` says; or what `damaged` raises.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
        >>> next(data.train_batches([record] * 3, 2, seed=0))["image"].shape
        (2, 8, 8, 3)
    """
    import grain

    source = checked(source)
    index, count = _check(source, batch_size, shard)
    if seed < 0 or start < 0:
        raise ValueError(f"The seed and the number of the first batch are at least 0, not {seed} and {start}.")
    size = batch_size // count

    @functools.lru_cache(maxsize=4)  # the ends of two epochs may be in work at once
    def order(epoch: int) -> np.ndarray:
        # Grain's own shuffle is slow for sets of less than a few thousand records.
        return _generator(seed, "order", epoch).permutation(len(source))

    def read(epoch: int, place: int) -> tuple[int, Record]:
        for next_place in itertools.chain(range(place, len(source)), range(place)):
            index = int(order(epoch)[next_place])
            try:
                return index, source[index]
            except DataError as error:
                if damaged is None:
                    raise
                damaged(index, error)
        raise DataError("No record of the training split can be read.")

    def made(number: int) -> tuple[int, Record, Record | None]:
        """A record as it trains, and the one that MixUp mixes into it."""
        epoch, place = divmod(number, len(source))
        index, record = read(epoch, place)
        if augment is None:
            return index, record, None
        record = augment(record, _generator(seed, "augment", number))
        if not augment.mixes:  # of many records drawing its seed takes as long as their augmentation
            return index, record, None
        change, drawing = augment, _generator(seed, "mix", number)

        def another() -> Record:
            return change(read(epoch, int(drawing.integers(len(source))))[1], drawing)

        record = mixed(record, another, augment, drawing, max_boxes)
        return index, record, mixed(another(), another, augment, drawing, max_boxes) if augment.mixup else None

    def part(number: int) -> Batch:
        first = number * batch_size + index * size
        together = [made(first + i) for i in range(size)]
        records = [(index, record) for index, record, _ in together]
        shapes = {record["image"].shape for _, record in records}
        if len(shapes) > 1:
            raise DataError(
                f"Images of one batch have the sizes {shapes}: crop them to one size on the host, by --augment host "
                "or, from Python, Augment(crop=...)."
            )
        if augment is not None and augment.mixup:
            return mixed_up(together, _generator(seed, "share", number).beta(augment.mixup, augment.mixup), max_boxes)
        return fill(empty(records[0][1], size, shapes.pop(), max_boxes), records)

    return _in_threads(grain.MapDataset.range(start, sys.maxsize // batch_size).map(part), threads)


def test_batches(
    source: Source,
    batch_size: int,
    *,
    shard: tuple[int, int] = (0, 1),  # noqa: PT028 (for testing, but no pytest function)
    threads: int | None = None,  # noqa: PT028
    max_boxes: int = MAX_BOXES,  # noqa: PT028
) -> Iterator[Batch]:
    """All records once, those of like sizes together, in order among themselves.

    A model sees each image as `segjax.data.padding.padded` makes it, whatever it is in a batch with: its last row and
    column are repeated until its sides are those of few sizes, for each of which one step is compiled. The mask is
    ignored there. Every batch is full; what is missing in the last one of a size is filled with black images whose mask
    is ignored and whose labels are -1 everywhere. Counts without what is ignored are exact; where records have boxes,
    `valid` tells a missing one from one without any, and `size` where an image ends.

    Args:
        source: At least one record; with several shards, all of one size, since each must know its batches' size.
        batch_size: Records in a batch over all shards; divisible by the number of shards.
        shard: (i, count) as in `train_batches`; every shard yields the same number of batches.
        threads: How many read, None as in `train_batches`; records are read ahead of their use, two batches of them.
        max_boxes: How many boxes every image has room for; twice as many, or four times, in a batch that needs it.

    Raises:
        ValueError: No records, or a batch size that does not divide.
        DataError: While iterating, where a record cannot be read or is not what `Record` says, or differs in size or
            has too many boxes while there are several shards.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
        >>> [batch["image"].shape for batch in data.test_batches([record] * 3, 2)]
        [(2, 8, 8, 3), (2, 8, 8, 3)]
    """
    import grain

    source = checked(source)
    index, count = _check(source, batch_size, shard)
    size = batch_size // count
    batches = -(-len(source) // batch_size)
    firsts = (number * batch_size + index * size for number in range(batches))
    numbers = [number for first in firsts for number in range(first, min(first + size, len(source)))]
    records = grain.MapDataset.range(len(numbers)).map(lambda place: (numbers[place], source[numbers[place]]))
    read = _in_threads(records, threads, ahead=2 * size) if numbers else iter(())
    # With several shards one may have nothing of the last batch, which it fills all the same.
    return _by_size(read, size, max_boxes) if count == 1 else _of_one_size(read, size, max_boxes, source[0], batches)


def _by_size(records: Iterator[tuple[int, Record]], size: int, max_boxes: int) -> Iterator[Batch]:
    waiting: dict[tuple[int, ...], list[tuple[int, Record]]] = {}
    for number, record in records:
        shape = room_for(record)
        waiting.setdefault(shape, []).append((number, record))
        if len(waiting[shape]) == size:
            full = waiting.pop(shape)
            yield fill(empty(record, size, shape, _room_for_boxes(full, max_boxes)), full)
    for shape, rest in waiting.items():
        yield fill(empty(rest[0][1], size, shape, _room_for_boxes(rest, max_boxes)), rest)


def _room_for_boxes(records: Sequence[tuple[int, Record]], room: int) -> int:
    """That of a batch, doubled as often as these records need: of few sizes, for each of which a step is compiled."""
    most = max(len(record["boxes"]) if "boxes" in record else 0 for _, record in records)
    while room < most:
        room *= 2
    return room


def _of_one_size(
    records: Iterator[tuple[int, Record]], size: int, max_boxes: int, example: Record, batches: int
) -> Iterator[Batch]:
    shape = room_for(example)
    for _ in range(batches):
        part = list(itertools.islice(records, size))
        for number, record in part:
            if room_for(record) != shape:
                raise DataError(
                    f"Record {number} has an image of the size {record['image'].shape} and record 0 of "
                    f"{example['image'].shape}: on several hosts all records for testing need one size."
                )
        yield fill(empty(example, size, shape, max_boxes), part)


def _check(source: Source, batch_size: int, shard: tuple[int, int]) -> tuple[int, int]:
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"A shard is (number, count) with 0 <= number < count, not {shard}.")
    if batch_size < 1 or batch_size % count:
        raise ValueError(f"A batch of {batch_size} records cannot be divided equally among {count} hosts.")
    if len(source) == 0:
        raise ValueError("The source has no records.")
    return index, count


def _generator(seed: int, use: Use, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(get_args(Use).index(use), number)))


def _in_threads(
    elements: "grain.MapDataset[Element]", threads: int | None, ahead: int | None = None
) -> Iterator[Element]:
    import grain

    threads = threads or min(_MOST_THREADS, usable_cores())
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead or 2 * threads)
    return iter(elements.to_iter_dataset(options))
