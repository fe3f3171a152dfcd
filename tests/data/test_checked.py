import numpy as np
import pytest

from segjax.data import Dataset, Record, Statistics, train_batches
from segjax.data import test_batches as batches_of
from segjax.data.checked import CheckedSource, checked
from segjax.errors import DataError


def record(**parts) -> Record:
    """A record as it must be, with some parts in the place of its own; None leaves one out."""
    whole = {
        "image": np.zeros((8, 6, 3), np.uint8),
        "mask": np.array([[0, 1, 2, 3, 255, 0]] * 8, np.uint8),
        "boxes": np.array([(0, 0, 3, 4), (1, 2, 0, 1)], np.float32),
        "labels": np.array([0, 2], np.int32),
        "crowd": np.array([False, True]),
        "attributes": np.array([(0.5, np.nan), (0, 1)], np.float32),
        **parts,
    }
    return Record(**{name: value for name, value in whole.items() if value is not None})


def test_good_records_pass_as_they_are():
    for one in (record(), record(boxes=None, labels=None, crowd=None, attributes=None), record(mask=None, crowd=None)):
        source = CheckedSource([record(), one], "a set", 4 if "boxes" not in one else 3, 2)
        assert len(source) == 2
        assert source[1] is one
    assert checked(source) is source
    nothing = record(boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64), crowd=None, attributes=np.zeros((0, 2)))
    assert checked([nothing])[0] is nothing


BAD = {
    "float64": ({"image": np.full((8, 6, 3), 0.7)}, r"an image of float64 and shape \(8, 6, 3\): give height"),
    "NaN": ({"image": np.full((8, 6, 3), np.nan, np.float32)}, r"an image \(float32\) with NaN"),
    "signed": ({"image": np.full((8, 6, 3), 300, np.int16)}, r"an image of int16 .*as uint8 in 0 to 255"),
    "grey": ({"image": np.zeros((8, 6), np.uint8)}, r"an image of uint8 and shape \(8, 6\): give height, width and"),
    "no pixels": ({"image": np.zeros((0, 6, 3), np.uint8)}, r"an image of uint8 and shape \(0, 6, 3\)"),
    "no image": ({"image": None}, "an image of nothing: give height, width and channels as uint8"),
    "a list": ({"image": [[0]]}, "an image of the type list"),
    "class 300": ({"mask": np.full((8, 6), 300, np.int64)}, r"a mask of int64 and shape \(8, 6\) for an image of 8x6"),
    "a floating mask": ({"mask": np.zeros((8, 6), np.float32)}, "a mask of float32"),
    "another size": ({"mask": np.zeros((6, 8), np.uint8)}, r"a mask of uint8 and shape \(6, 8\) for an image of 8x6"),
    "class 4": ({"mask": np.full((8, 6), 4, np.uint8)}, r"a mask \(uint8\) with the class 4, and there are 4 classes"),
    "one box": ({"boxes": np.zeros(4, np.float32)}, r"boxes of float32 and shape \(4,\): give x, y, width and height"),
    "corners": ({"boxes": np.array([(5, 5, -2, 3), (0, 0, 1, 1)], np.float32)}, r"boxes \(float32\) with NaN, infin"),
    "a box of NaN": ({"boxes": np.full((2, 4), np.nan, np.float32)}, r"boxes \(float32\) with NaN"),
    "no labels": ({"labels": None}, "2 boxes and labels of nothing: give each its class, as int32"),
    "few labels": ({"labels": np.zeros(1, np.int32)}, r"2 boxes and labels of int32 and shape \(1,\)"),
    "half a label": ({"labels": np.array([0, 0.5])}, "2 boxes and labels of float64"),
    "label 3": ({"labels": np.array([0, 3])}, r"a box with the label 3 \(int64\), of 3 classes: count"),
    "label -1": ({"labels": np.array([0, -1], np.int32)}, r"a box with the label -1 \(int32\)"),
    "crowd by number": ({"crowd": np.array([0, 1])}, r"2 boxes and a crowd of int64 and shape \(2,\): give a bool"),
    "few scores": ({"attributes": np.zeros((2, 1), np.float32)}, r"2 boxes and attributes of float32 .*: give 2"),
    "percent": ({"attributes": np.full((2, 2), 50, np.float32)}, r"attributes \(float32\) outside 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_a_record_must_not_be_is_refused_by_its_number(name):
    parts, sentence = BAD[name]
    source = CheckedSource([record(), record(**parts)], "a set", 3, 2)
    with pytest.raises(DataError, match=rf"^Record 1 of a set has {sentence}") as caught:
        source[1]
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_every_way_into_a_batch_is_checked():
    source = [record(image=np.full((8, 6, 3), 0.7))]
    for batches in (train_batches(source, 1, seed=0), batches_of(source, 1)):
        with pytest.raises(DataError, match="Record 0 has an image of float64"):
            next(batches)


@pytest.mark.parametrize("value", [np.float32(0.7), np.uint16(1000)])
def test_every_depth_goes_into_batches_as_it_is_and_two_do_not_mix(value):
    image = np.full((8, 6, 13), value)
    for batches in (train_batches([record(image=image)], 1, seed=0), batches_of([record(image=image)], 1)):
        batch = next(batches)["image"]
        assert batch.dtype == value.dtype
        assert (batch == value).all()
    mixed = [record(image=image), record(image=np.zeros((8, 6, 13), np.uint8))]
    with pytest.raises(DataError, match="save all images of a set as one type"):
        next(batches_of(mixed, 2))


def test_a_data_set_of_one_depth_refuses_others():
    deep = [record(image=np.full((8, 6, 3), 300, np.uint16), boxes=None, labels=None, crowd=None, attributes=None)]
    of_8_bits = Dataset(
        "squares", ("a", "b"), ((0, 0, 0),) * 2, lambda split: deep, statistics=Statistics((0.5,) * 3, (0.2,) * 3)
    )
    with pytest.raises(DataError, match="The image of record 0 of squares's train split has uint16 where the images"):
        of_8_bits.open("train")[0]


def test_a_data_set_knows_its_classes():
    masks = [record(boxes=None, labels=None, crowd=None, attributes=None)]
    dataset = Dataset("squares", ("a", "b"), ((0, 0, 0),) * 2, lambda split: masks)
    with pytest.raises(
        DataError, match=r"^Record 0 of squares's val split has a mask \(uint8\) with the class 3, and there"
    ):
        dataset.open("val")[0]
    # With boxes, the mask has the background before the classes.
    boxes = Dataset("boxes", ("a", "b", "c"), ((0, 0, 0),) * 3, lambda split: [record()], ("happy", "sad"))
    assert boxes.open("train")[0]["mask"].max() == 255


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((8, 6), np.uint8), r"shape \(8, 6\) for an image of 8x6 and 3 labels: give shape \(8, 6, 3\)"),
        (np.zeros((8, 6, 2), np.uint8), r"shape \(8, 6, 2\) for an image of 8x6 and 3 labels"),
        (np.zeros((8, 6, 3), bool), "a mask of bool"),
        (np.full((8, 6, 3), 4, np.uint8), "a mask of labels with the value 4: give 0, 1, or 255"),
    ],
)
def test_bands_of_labels_are_looked_at(mask, said):
    data = Dataset("set", ("a", "b", "c"), ((0, 0, 0),) * 3, lambda _: [record(mask=mask, boxes=None)], multilabel=True)
    with pytest.raises(DataError, match=said):
        data.open("train")[0]
    right = np.full((8, 6, 3), 255, np.uint8)
    source = CheckedSource([record(mask=right, boxes=None)], "", 3, multilabel=True)
    assert source[0]["mask"] is right  # pyright: ignore[reportTypedDictNotRequiredAccess]
