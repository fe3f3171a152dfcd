import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from segjax.data import Augment, Record, Room, kept, train_batches
from segjax.data.checked import CheckedSource, checked
from segjax.data.kept import kept_where_worth
from segjax.errors import DataError


class Files:
    """Records that are decoded each time, whose reading is counted; number 3 is damaged."""

    def __init__(self, size: int = 8) -> None:
        self.reads = [0] * size

    def __len__(self) -> int:
        return len(self.reads)

    def __getitem__(self, index: int) -> Record:
        self.reads[index] += 1
        if index == 3:
            raise DataError("3.png is cut off.")
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (12, 14, 3)).astype(np.uint8)
        mask = rng.integers(0, 3, (12, 14)).astype(np.uint8)
        boxes, labels = np.array([(2, 3, 5, 6)], np.float32), np.array([1], np.int32)
        return Record(image=image, mask=mask, boxes=boxes, labels=labels)

    def name_of(self, index: int) -> str:
        return f"photo{index}"


SIZE = 12 * 14 * 4 + 4 * 4 + 4
AUGMENT = Augment(
    crop=(10, 9), flip_horizontal=True, scale=(0.8, 1.3), rotate=20, brightness=0.2, contrast=0.2, saturation=0.2,
    gamma=0.2, blur=1.0, noise=0.1, jpeg=60, cutmix=0.5, mosaic=0.5,
)  # fmt: skip


def batches(source: Any, count: int) -> list[Any]:
    made = train_batches(source, 4, seed=1, augment=AUGMENT, damaged=lambda number, error: None)
    return [next(made) for _ in range(count)]


def test_batches_are_the_same_and_files_are_read_once():
    files, again = Files(), Files()
    found, expected = batches(kept(files, Room(7 * SIZE)), 6), batches(again, 6)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    # Two threads may read a record at once, before either keeps it.
    assert max(reads for number, reads in enumerate(files.reads) if number != 3) <= 2 < max(again.reads)
    assert files.reads[3] > 2


def test_only_what_there_is_room_for_is_kept_and_what_is_damaged_takes_none():
    files, room = Files(), Room(2 * SIZE + 5)
    source = kept(files, room)
    for _ in range(3):
        for index in (0, 1, 2, 4):
            np.testing.assert_array_equal(source[index]["image"], Files()[index]["image"])
        with pytest.raises(DataError, match=r"3\.png is cut off"):
            source[3]
    assert files.reads[:5] == [1, 1, 3, 3, 3]
    assert room.left == 5
    other = Files()
    for _ in range(2):
        kept(other, room)[0]
    assert other.reads[0] == 2


def test_two_threads_that_read_a_record_at_once_take_room_for_it_once():
    both = threading.Barrier(2)

    class Slow(Files):
        def __getitem__(self, index: int) -> Record:
            both.wait(timeout=20)
            return super().__getitem__(index)

    room = Room(2 * SIZE)
    source = kept(Slow(), room)
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda index: source[index]["image"], (0, 0))
    np.testing.assert_array_equal(one, other)
    assert room.left == SIZE


def test_nothing_that_it_gives_changes_what_it_keeps():
    source = kept(Files(), Room(10 * SIZE))
    record = source[0]
    with pytest.raises(ValueError, match="read-only"):
        record["image"][:] = 0
    record["image"] = record["image"] * 0
    np.testing.assert_array_equal(source[0]["image"], Files()[0]["image"])


def test_arrays_of_a_source_stay_writable_and_a_part_does_not_keep_the_whole():
    whole = np.zeros((100, 100, 3), np.uint8)
    own = Record(image=np.zeros((4, 4, 3), np.uint8))
    source = kept([own, Record(image=whole[:4, :4])], Room(1000))
    _, part = source[0], source[1]
    own["image"][0, 0, 0] = 7
    assert source[0]["image"][0, 0, 0] == 7  # the same memory, not a second one
    assert part["image"].base is None or part["image"].base.nbytes == 48


def test_names_and_checks_are_those_of_the_source():
    source = kept(CheckedSource(Files(), "photos", 3, 0), Room(10 * SIZE))
    assert (source.name_of(2), source.name, source.num_classes, len(source)) == ("photo2", "photos", 3, 8)
    assert checked(source) is source
    assert kept([Files()[0]], Room(0)).name_of(0) == "record 0"
    with pytest.raises(DataError, match=r"Record 0 of few has a mask \(uint8\) with the class 2"):
        kept(CheckedSource(Files(), "few", 1), Room(10 * SIZE))[0]


def test_only_what_says_so_is_kept_unasked():
    class Decoded(Files):
        worth_keeping = True

    room = Room(10 * SIZE)
    for source, reads in ((Files(), 2), (Decoded(), 1)):
        whole = kept_where_worth(CheckedSource(source, "photos", 3), room)
        assert [whole[5]["labels"].tolist() for _ in range(2)] == [[1], [1]]
        assert source.reads[5] == reads
