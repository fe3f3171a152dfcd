import numpy as np
import pytest

from segjax.data import Augment, DataError, Record, train_batches
from segjax.data.mixing import copy_paste, cutmix, mixup, mosaic


def plain(number: int, boxes: list[tuple[float, ...]] | None = None, size: int = 32) -> Record:
    """Every pixel has the record's number, in the image ten times it; the first row is ignored."""
    record = Record(image=np.full((size, size, 3), 10 * number, np.uint8))
    if boxes is None:
        record["mask"] = np.full((size, size), number, np.uint8)
        record["mask"][0] = 255
    else:
        record["boxes"] = np.array(boxes, np.float32).reshape(-1, 4)
        record["labels"] = np.full(len(boxes), number, np.int32)
    return record


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_alike(record: Record):
    """The mask says what the image shows."""
    counted = record["mask"] != 255
    np.testing.assert_array_equal(record["image"][counted], np.repeat(10 * record["mask"][counted, None], 3, 1))
    assert not counted[0].any()


def test_a_mosaic_has_four_parts_and_a_cutmix_two():
    for seed in range(5):
        four = mosaic(plain(1), [plain(2), plain(3), plain(4)], rng(seed))
        assert_alike(four)
        assert set(np.unique(four["mask"])) == {1, 2, 3, 4, 255}
        assert_alike(cutmix(plain(1), [plain(2)], rng(seed)))
    shares = [(cutmix(plain(1), [plain(2)], rng(seed))["image"] == 20).mean() for seed in range(200)]
    assert min(shares) < 0.05 < 0.5 < max(shares)


def test_half_of_the_classes_are_pasted_and_never_the_first():
    other = plain(0)
    other["mask"][8:] = np.arange(8, 32)[:, None] // 8  # classes 1, 2 and 3
    other["image"] = np.repeat((other["mask"] % 255 * 10)[..., None], 3, axis=2)
    pasted = copy_paste(plain(9), [other], rng())
    assert_alike(pasted)
    assert len(set(np.unique(pasted["mask"])) & {1, 2, 3}) == 2
    assert (pasted["mask"][1:8] == 9).all()
    bands = Record(image=other["image"], mask=(other["mask"][..., None] == (1, 2)).astype(np.uint8))
    below = Record(image=plain(9)["image"], mask=np.full((32, 32, 2), 255, np.uint8))
    both = copy_paste(below, [bands], rng())
    there = (both["mask"] == 1).any(axis=2)
    np.testing.assert_array_equal(there, (both["image"] != 90).any(axis=2))
    np.testing.assert_array_equal(both["mask"][there], bands["mask"][there])  # with all of its labels
    assert (both["mask"][~there] == 255).all()


def test_boxes_come_with_what_is_pasted_and_go_with_what_is_hidden():
    one, other = plain(1, [(0, 0, 4, 4), (10, 10, 8, 8)]), plain(2, [(9, 9, 10, 10)])
    pasted = copy_paste(one, [other], rng())
    assert pasted["boxes"].tolist() == [[0, 0, 4, 4], [9, 9, 10, 10]]
    assert pasted["labels"].tolist() == [1, 2]
    assert (pasted["image"][9:19, 9:19] == 20).all()
    crowd = plain(2, [(9, 9, 10, 10)])
    crowd["crowd"] = np.array([True])
    assert copy_paste(one, [crowd], rng())["labels"].tolist() == [1, 1]
    corners = [(0.0, 0.0), (26.0, 0.0), (0.0, 26.0), (26.0, 26.0)]
    parts = [plain(number, [(x, y, 6, 6) for x, y in corners]) for number in range(4)]
    whole = mosaic(parts[0], parts[1:], rng())
    assert sorted(zip(whole["labels"], map(tuple, whole["boxes"][:, :2]), strict=True)) == list(enumerate(corners))


def test_a_box_under_several_parts_of_a_mosaic_ends_where_it_is_seen():
    nothing = [plain(number, []) for number in (2, 3, 4)]
    hidden = mosaic(plain(1, [(0, 0, 32, 32)]), nothing, rng())
    y, x = ((hidden["image"][..., 0] == 10).any(axis=axis).sum() for axis in (1, 0))
    assert not len(hidden["boxes"])  # each part hides less than half of it, and all three more
    cut = mosaic(plain(1, [(0, 0, x + 2, y + 2)]), nothing, rng())
    assert cut["boxes"].tolist() == [[0, 0, x, y]]


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(DataError, match="bring them to one size"):
        cutmix(plain(1), [plain(2, size=16)], rng())
    with pytest.raises(DataError, match="leave mixup out where there are boxes"):
        mixup(plain(1, []), plain(2, []), 0.5)


MIXES = Augment(crop=(24, 24), flip_vertical=False, mosaic=0.5, cutmix=0.5, copy_paste=0.5, rare_crops=0.5, noise=0.1)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_mixes_are_the_same_for_threads_shards_and_when_a_run_goes_on(alpha: float):
    augment = Augment(**{**vars(MIXES), "mixup": alpha})
    source = [plain(number) for number in range(7)]

    def batches(**settings):
        found = train_batches(source, 4, seed=3, augment=augment, **settings)
        return [next(found) for _ in range(4)]

    whole = batches(threads=1)
    late = train_batches(source, 4, seed=3, augment=augment, start=2)
    for number, batch in enumerate(batches(threads=3)):
        halves = [batches(shard=(i, 2))[number] for i in (0, 1)]
        again = next(late) if number >= 2 else batch
        for name in batch:
            np.testing.assert_array_equal(batch[name], whole[number][name])
            np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), batch[name])
        if number >= 2:
            np.testing.assert_array_equal(again["image"], whole[number]["image"])
    assert ("share" in whole[0]) == (alpha > 0)


def test_a_mixup_is_a_mean_whose_weights_the_batch_has():
    source = [plain(number) for number in range(7)]
    batch = next(train_batches(source, 6, seed=0, augment=Augment(mixup=0.5)))
    assert len(set(batch["share"])) == 1
    share = float(batch["share"][0])
    wanted = 10 * (share * batch["mask"] + (1 - share) * batch["other_mask"])[..., None]
    np.testing.assert_allclose(batch["image"][:, 1:], np.broadcast_to(wanted, batch["image"].shape)[:, 1:], atol=0.51)


def test_a_mix_that_makes_too_many_boxes_is_left_out():
    source = [
        plain(number, [(0.0, 0.0, 30.0, 30.0), (0.0, 0.0, 2.0, 2.0), (28.0, 28.0, 2.0, 2.0)]) for number in range(4)
    ]
    mixes = Augment(copy_paste=1.0, mosaic=1.0)
    batch = next(train_batches(source, 4, seed=0, augment=mixes, max_boxes=3))
    assert batch["labels"].shape == (4, 3)


def test_all_that_is_seen_of_what_is_pasted_has_its_box():
    """A small object within the one that is pasted, and a crowd that it touches; own boxes are cut to what is left."""
    other = plain(2, [(8, 8, 16, 16), (10, 10, 4, 4), (8, 8, 10, 10)])
    other["crowd"] = np.array([False, True, True])
    one = plain(1, [(0, 0, 32, 32), (9, 9, 2, 2)])
    one["crowd"] = np.zeros(2, bool)
    pasted = copy_paste(one, [other], rng())
    assert pasted["boxes"].tolist() == [[0, 0, 32, 32], [8, 8, 16, 16], [10, 10, 4, 4], [8, 8, 10, 10]]
    assert pasted["labels"].tolist() == [1, 2, 2, 2]
    assert pasted["crowd"].tolist() == [False, False, True, True]
    whole = mosaic(plain(1, [(0, 0, 14, 2)]), [plain(number, []) for number in (2, 3, 4)], rng(3))
    width = int((whole["image"][0, :, 0] == 10).sum())
    assert 7 <= width < 14
    assert whole["boxes"].tolist() == [[0, 0, width, 2]]


def test_pairs_of_mixup_that_differ_in_size_are_refused_however_they_are_drawn():
    source = [Record(image=np.zeros((n, n, 3), np.uint8), mask=np.zeros((n, n), np.uint8)) for n in (8, 16)]
    for seed in range(12):  # of which some draw each record with itself
        with pytest.raises(DataError, match="one size"):
            next(train_batches(source, 2, seed=seed, augment=Augment(mixup=0.2)))
