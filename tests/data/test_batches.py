import itertools
import threading

import numpy as np
import pytest

from segjax import data
from segjax.data import Augment, Record
from segjax.data.checked import CheckedSource
from segjax.errors import DataError


class Numbered:
    """Records whose every pixel is the record's number; remembers which were read."""

    def __init__(self, count, shapes=((4, 5, 3),)):
        self.count, self.shapes, self.read = count, shapes, []

    def __len__(self):
        return self.count

    def __getitem__(self, index, /) -> Record:
        self.read.append(index)
        shape = self.shapes[index % len(self.shapes)]
        return Record(image=np.full(shape, index % 256, np.uint8), mask=np.full(shape[:2], index % 256, np.uint8))


class Broken(Numbered):
    def __getitem__(self, index, /) -> Record:
        if index == 5:
            raise DataError("picture5.png cannot be read: delete it.")
        return super().__getitem__(index)


def take(batches, count):
    return list(itertools.islice(batches, count))


def numbers(batches):
    return [batch["mask"][:, 0, 0].tolist() for batch in batches]


def assert_same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.keys() == other.keys() == {"image", "mask"}
        for name in one:
            assert one[name].dtype == other[name].dtype == np.uint8
            np.testing.assert_array_equal(one[name], other[name])


AUGMENT = Augment(flip_horizontal=True, scale=(0.5, 2.0), rotate=30, brightness=0.5, contrast=0.5)


def textured(count=23):
    rng = np.random.default_rng(0)
    return [
        Record(image=rng.integers(0, 256, (8, 9, 3), dtype=np.uint8), mask=rng.integers(0, 9, (8, 9), dtype=np.uint8))
        for _ in range(count)
    ]


def test_shards_put_side_by_side_are_the_one_hosts_batches_bit_by_bit():
    whole = take(data.train_batches(textured(), 8, seed=3, augment=AUGMENT), 10)
    assert whole[0]["image"].shape == (8, 8, 9, 3)
    for count in (2, 4):
        parts = [
            take(data.train_batches(textured(), 8, seed=3, augment=AUGMENT, shard=(i, count)), 10) for i in range(count)
        ]
        merged = [
            {name: np.concatenate([part[name] for part in batch]) for name in ("image", "mask")}
            for batch in zip(*parts, strict=True)
        ]
        assert_same(merged, whole)


def test_starting_late_equals_skipping_bit_by_bit():
    for shard in ((0, 1), (1, 2)):
        for augment in (None, AUGMENT):
            early = take(data.train_batches(textured(), 6, seed=1, augment=augment, shard=shard), 12)
            for start in (1, 4, 11):
                late = take(
                    data.train_batches(textured(), 6, seed=1, augment=augment, shard=shard, start=start), 12 - start
                )
                assert_same(late, early[start:])


def test_starting_late_reads_nothing_of_what_was_before():
    source = Numbered(1000)
    take(data.train_batches(source, 4, seed=0, start=10**9), 1)
    assert len(source.read) <= 4 * (1 + 2 * 2)  # and what two threads read ahead


def test_threads_change_nothing():
    assert_same(
        take(data.train_batches(textured(), 5, seed=2, augment=AUGMENT, threads=1), 20),
        take(data.train_batches(textured(), 5, seed=2, augment=AUGMENT, threads=4), 20),
    )


def test_every_record_comes_once_an_epoch_and_each_epoch_in_another_order():
    # Batches of 4 do not divide 10 records, so that epochs end within batches.
    order = [number for batch in numbers(take(data.train_batches(Numbered(10), 4, seed=0), 25)) for number in batch]
    epochs = [order[i : i + 10] for i in range(0, 100, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10


def test_seeds_give_other_orders_also_shifted_by_an_epoch():
    def epochs(seed):
        return [tuple(batch) for batch in numbers(take(data.train_batches(Numbered(20), 20, seed=seed), 5))]

    assert epochs(0) == epochs(0)
    assert len(set(epochs(0)) | set(epochs(1)) | set(epochs(2))) == 15


def test_each_epoch_augments_a_record_in_another_way():
    batches = data.train_batches(textured(1), 1, seed=0, augment=AUGMENT)
    assert len({batch["image"].tobytes() for batch in take(batches, 20)}) == 20


def test_a_batch_may_be_larger_than_the_source():
    (batch,) = take(data.train_batches(Numbered(3), 7, seed=0), 1)
    counts = np.bincount(batch["mask"][:, 0, 0])
    assert sorted(counts) == [2, 2, 3]


def boxed(counts, attributes=0, mask=False):
    """Records with so many boxes each, of which nothing is the same twice."""
    rng = np.random.default_rng(1)
    records = []
    for count in counts:
        record = Record(
            image=rng.integers(0, 256, (8, 9, 3), dtype=np.uint8),
            boxes=rng.uniform(1, 4, (count, 4)).astype(np.float32),
            labels=rng.integers(0, 5, count).astype(np.int32),
        )
        if mask:
            record["mask"] = rng.integers(0, 3, (8, 9), dtype=np.uint8)
        if attributes:
            record["crowd"] = rng.random(count) < 0.5
            record["attributes"] = rng.random((count, attributes)).astype(np.float32)
        records.append(record)
    return records


def test_boxes_are_padded_to_one_length_and_come_back_as_they_were():
    records = boxed([3, 0, 7, 1, 2], attributes=4, mask=True)
    first, second = data.test_batches(records, 3, max_boxes=7)
    for batch, chosen in ((first, records[:3]), (second, records[3:])):
        assert batch["boxes"].shape == (3, 7, 4)
        assert batch["attributes"].shape == (3, 7, 4)
        kinds = {name: np.asarray(values).dtype for name, values in batch.items()}
        assert kinds == {
            "image": np.uint8, "mask": np.uint8, "boxes": np.float32, "labels": np.int32, "crowd": np.bool_,
            "valid": np.bool_, "size": np.int32, "attributes": np.float32,
        }  # fmt: skip
        for place, record in enumerate(chosen):
            real = batch["labels"][place] >= 0
            np.testing.assert_array_equal(real, np.arange(7) < len(record["boxes"]))
            for name in ("boxes", "labels", "crowd", "attributes"):
                np.testing.assert_array_equal(batch[name][place][real], record[name])
            np.testing.assert_array_equal(batch["mask"][place, :8, :9], record["mask"])
    # The record that is missing in the last batch, and every place without a box.
    assert (second["labels"][2] == -1).all()
    assert (first["labels"][1] == -1).all()
    assert (first["valid"].tolist(), second["valid"].tolist()) == ([True] * 3, [True, True, False])
    nowhere = first["labels"] < 0
    assert (first["labels"][nowhere] == -1).all()
    assert not first["crowd"][nowhere].any()
    assert not first["boxes"][nowhere].any()
    assert np.isnan(first["attributes"][nowhere]).all()


def test_batches_have_what_records_have():
    (batch,) = data.test_batches(boxed([2, 1]), 2)
    assert batch.keys() == {"image", "boxes", "labels", "crowd", "valid", "size"}
    assert batch["boxes"].shape == (2, 128, 4)
    assert not batch["crowd"].any()
    assert next(data.train_batches(textured(2), 2, seed=0)).keys() == {"image", "mask"}


def test_smaller_records_keep_their_boxes_where_they_are():
    small, large = boxed([2, 1])
    large["image"] = np.zeros((70, 20, 3), np.uint8)
    of_small, of_large = data.test_batches([small, large], 2, max_boxes=2)
    assert of_small["image"].shape == (2, 8, 16, 3)
    assert of_large["image"].shape == (2, 96, 24, 3)
    assert of_small["size"].tolist() == [[8, 9], [0, 0]]
    np.testing.assert_array_equal(of_small["boxes"][0], small["boxes"])
    np.testing.assert_array_equal(of_small["image"][0, :8, :9], small["image"])


def test_training_moves_boxes_with_their_images_and_shards_agree():
    records = boxed([3, 0, 7, 1, 2], attributes=2)
    augment = Augment(flip_horizontal=True)
    whole = take(data.train_batches(records, 4, seed=0, augment=augment, max_boxes=8), 5)
    parts = [
        take(data.train_batches(records, 4, seed=0, augment=augment, max_boxes=8, shard=(i, 2)), 5) for i in range(2)
    ]
    by_labels = {tuple(record["labels"]): record for record in records}
    flipped = 0
    for batch, *halves in zip(whole, *parts, strict=True):
        for name in batch:
            np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), batch[name])
        for place in range(4):
            real = batch["labels"][place] >= 0
            record = by_labels[tuple(batch["labels"][place][real])]
            expected = record["boxes"].copy()
            if not np.array_equal(batch["image"][place], record["image"]):
                np.testing.assert_array_equal(batch["image"][place], record["image"][:, ::-1])
                expected[:, 0] = 9 - expected[:, 0] - expected[:, 2]
                flipped += 1
            np.testing.assert_allclose(batch["boxes"][place][real], expected, rtol=1e-6)
    assert 0 < flipped < 20


def test_shards_pad_the_last_batch_with_what_others_have():
    parts = [list(data.test_batches(boxed([1, 2, 3], attributes=2), 4, shard=(i, 2), max_boxes=3)) for i in range(2)]
    (whole,) = data.test_batches(boxed([1, 2, 3], attributes=2), 4, max_boxes=3)
    for name in whole:
        np.testing.assert_array_equal(np.concatenate([part[0][name] for part in parts]), whole[name])
    (late,) = data.test_batches(boxed([1], attributes=2), 2, shard=(1, 2), max_boxes=3)
    assert late["attributes"].shape == (1, 3, 2)
    assert (late["labels"] == -1).all()


def test_more_boxes_than_there_is_room_for_are_refused():
    sentence = r"^Record 2 has 7 boxes and a batch has room for 6: raise max_boxes\."
    with pytest.raises(DataError, match=sentence):  # since all hosts need batches of one size
        list(data.test_batches(boxed([3, 0, 7]), 2, max_boxes=6, shard=(0, 2)))
    with pytest.raises(DataError, match=sentence):
        take(data.train_batches(boxed([3, 0, 7]), 3, seed=0, max_boxes=6), 1)
    outside = boxed([3, 0, 7])
    outside[2]["boxes"] += 100  # none of which is left after augmentation
    assert take(data.train_batches(outside, 3, seed=0, max_boxes=6, augment=Augment()), 1)


def test_a_batch_for_testing_has_room_for_the_boxes_of_its_records():
    records = boxed([3, 0, 7, 1, 13], attributes=2)
    batches = list(data.test_batches(records, 2, max_boxes=3))
    assert [batch["boxes"].shape for batch in batches] == [(2, 3, 4), (2, 12, 4), (2, 24, 4)]
    for batch, first in zip(batches, (0, 2, 4), strict=True):
        for place, record in enumerate(records[first : first + 2]):
            real = batch["labels"][place] >= 0
            for name in ("boxes", "labels", "crowd", "attributes"):
                np.testing.assert_array_equal(batch[name][place][real], record.get(name, batch[name][place][real]))
            assert real.sum() == len(record["boxes"])


def test_testing_reads_in_order_and_pads_the_last_batch():
    batches = list(data.test_batches(Numbered(10), 4))
    assert numbers(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 255, 255]]
    assert (batches[2]["mask"][2:] == 255).all()
    assert (batches[2]["image"][2:] == 0).all()
    assert (batches[2]["image"][1] == 9).all()
    assert len(list(data.test_batches(Numbered(8), 4))) == 2


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("records", [1, 3, 8, 9])
def test_testing_shards_have_as_many_batches_and_each_record_once(count, records):
    whole = list(data.test_batches(Numbered(records), 4))
    parts = [list(data.test_batches(Numbered(records), 4, shard=(i, count))) for i in range(count)]
    assert {len(part) for part in parts} == {len(whole)}
    merged = [
        {name: np.concatenate([part[name] for part in batch]) for name in ("image", "mask")}
        for batch in zip(*parts, strict=True)
    ]
    assert_same(merged, whole)


def test_testing_puts_records_of_like_sizes_together_and_shows_each_the_same_whatever_it_is_with():
    records = Numbered(5, shapes=[(2, 5, 3), (70, 9, 3), (8, 8, 3)])
    batches = list(data.test_batches(records, 2))
    # Sides go up to a multiple of 8, or of 32 from 64 pixels on.
    assert [batch["image"].shape[1:] for batch in batches] == [(8, 8, 3), (96, 16, 3), (8, 8, 3)]
    assert numbers(batches) == [[0, 2], [1, 4], [3, 255]]
    np.testing.assert_array_equal(batches[1]["mask"][0, :70, :9], 1)
    assert (batches[1]["mask"][0] == 1).sum() == 70 * 9  # and 255 around it
    assert (batches[1]["image"][0] == 1).all()  # the edge is repeated, and nothing black comes in
    alone = {int(batch["mask"][0, 0, 0]): batch["image"][0] for batch in data.test_batches(records, 1)}
    for batch in batches:
        for image, number in zip(batch["image"], batch["mask"][:, 0, 0], strict=True):
            assert number == 255 or np.array_equal(image, alone[int(number)])


def test_sizes_that_hosts_or_a_batch_cannot_agree_on_are_refused():
    mixed = Numbered(4, shapes=[(2, 5, 3), (4, 13, 3)])
    with pytest.raises(DataError, match=r"on several hosts all records for testing need one size"):
        list(data.test_batches(mixed, 2, shard=(1, 2)))
    with pytest.raises(DataError, match=r"crop them to one size on the host, by --augment host or, from Python"):
        take(data.train_batches(mixed, 4, seed=0), 1)
    batch = take(data.train_batches(mixed, 4, seed=0, augment=Augment(crop=(3, 3))), 1)[0]
    assert batch["image"].shape == (4, 3, 3, 3)


def test_a_record_that_cannot_be_read_says_so_in_its_own_words():
    with pytest.raises(DataError) as caught:
        take(data.train_batches(Broken(10), 2, seed=0), 5)
    assert str(caught.value) == "picture5.png cannot be read: delete it."
    with pytest.raises(DataError) as caught:
        list(data.test_batches(Broken(10), 2))
    assert str(caught.value) == "picture5.png cannot be read: delete it."


def test_the_next_record_takes_the_place_of_one_that_is_damaged():
    found = []
    whole = take(data.train_batches(Numbered(10), 2, seed=0), 10)
    expected = np.concatenate([batch["mask"][:, 0, 0] for batch in whole])
    for epoch in (0, 10):
        place = epoch + expected[epoch : epoch + 10].tolist().index(5)
        expected[place] = expected[epoch + (place + 1) % 10]
    batches = take(data.train_batches(Broken(10), 2, seed=0, damaged=lambda *one: found.append(one)), 10)
    np.testing.assert_array_equal(np.concatenate([batch["mask"][:, 0, 0] for batch in batches]), expected)
    assert {(number, str(error)) for number, error in found} == {(5, "picture5.png cannot be read: delete it.")}
    late = take(data.train_batches(Broken(10), 2, seed=0, start=4, damaged=lambda *_: None), 6)
    assert_same(late, batches[4:])


def test_when_nothing_can_be_read_there_is_an_end():
    found = []

    class Ruins(Numbered):
        def __getitem__(self, index, /) -> Record:
            raise DataError("ash")

    with pytest.raises(DataError, match="No record of the training split can be read"):
        take(data.train_batches(Ruins(3), 1, seed=0, damaged=lambda *one: found.append(one)), 1)
    assert {number for number, _ in found} == {0, 1, 2}


@pytest.mark.parametrize(
    ("source", "size", "shard", "said"),
    [
        ([], 2, (0, 1), "The source has no records"),
        (Numbered(4), 3, (0, 2), "A batch of 3 records cannot be divided equally among 2 hosts"),
        (Numbered(4), 0, (0, 1), "A batch of 0 records"),
        (Numbered(4), 4, (2, 2), r"A shard is \(number, count\)"),
    ],
)
def test_what_cannot_be_batched_is_refused_at_once(source, size, shard, said):
    with pytest.raises(ValueError, match=said):
        data.train_batches(source, size, seed=0, shard=shard)
    with pytest.raises(ValueError, match=said):
        data.test_batches(source, size, shard=shard)


def test_a_negative_seed_or_start_is_refused():
    for seed, start in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="at least 0"):
            data.train_batches(Numbered(4), 2, seed=seed, start=start)


def test_an_abandoned_iterator_ends_its_threads():
    before = set(threading.enumerate())
    batches = data.train_batches(Numbered(10), 2, seed=0, threads=3)
    next(batches)
    started = set(threading.enumerate()) - before
    assert len(started) == 3
    del batches
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_bands_of_labels_are_padded_as_masks_are():
    rng = np.random.default_rng(0)
    sizes = [(20, 24), (33, 24), (20, 24)]
    records = [
        Record(image=np.zeros((*size, 3), np.uint8), mask=rng.integers(0, 2, (*size, 5)).astype(np.uint8))
        for size in sizes
    ]
    batches = list(data.test_batches(CheckedSource(records, num_classes=5, multilabel=True), 2))
    assert all(batch["mask"].shape == (*batch["image"].shape[:3], 5) for batch in batches)  # pyright: ignore
    whole = batches[0]["mask"]  # pyright: ignore
    np.testing.assert_array_equal(whole[1, :20, :24], records[2]["mask"])  # pyright: ignore
    assert sum(int((batch["mask"] != 255).sum()) for batch in batches) == 5 * sum(h * w for h, w in sizes)  # pyright: ignore
