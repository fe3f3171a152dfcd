import copy
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from segjax import data
from segjax.data import Statistics, coco
from segjax.data.checked import checked
from segjax.data.formats.coco import read_coco
from segjax.data.formats.polygons import draw_mask
from segjax.errors import DataError

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 90, "name": "bird"}]


def annotation(number, image, category, box, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


@pytest.fixture
def make_coco(tmp_path):
    """A function that writes images and a file of annotations about them; `change` may spoil the latter."""

    def make(annotations=(), images=("a.png", "b.jpg", "deep/c.png"), path="set/annotations/train.json", change=None):
        rng = np.random.default_rng(0)
        listed = []
        for number, name in enumerate(images):
            file = tmp_path / "set" / "images" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)).save(file)
            listed.append({"id": 10 + number, "file_name": name, "height": 30 + number, "width": 40})
        parsed = copy.deepcopy({"images": listed, "annotations": list(annotations), "categories": CATEGORIES})
        if change:
            parsed = change(parsed) or parsed
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(parsed), "utf-8")
        return tmp_path / "set" / "images", target

    return make


def one_each(names):
    return [annotation(number, 10 + number, 7, [1, 1, 5, 5]) for number in range(len(names))]


GOOD = [
    annotation(1, 10, 3, [1.5, 2, 10, 5.25], attributes={"happy": 0.75, "sad": 0, "name": "Rex", "hidden": True}),
    annotation(2, 12, 90, [0, 0, 40, 32], iscrowd=1),
    annotation(3, 10, 7, [30, 20, 10.5, 10], attributes={"happy": 1}),  # half a pixel too wide
    annotation(4, 10, 7, [5, 5, 0, 3]),  # empty, as some of COCO are
    annotation(5, 10, 7, [-5, 25, 10, 10]),
]


def test_records_have_what_the_file_says(make_coco):
    images, path = make_coco(GOOD)
    dataset = coco(images, path, path, attribute_names=("sad", "happy"))
    assert dataset.class_names == ("dog", "cat", "bird")  # by their ids
    assert dataset.attribute_names == ("sad", "happy")
    assert len({*dataset.palette, (0, 0, 0)}) == 4
    source = dataset.open("test")
    assert len(source) == 3
    first, second, third = (source[i] for i in range(3))
    np.testing.assert_array_equal(first["image"], np.asarray(Image.open(images / "a.png")))
    np.testing.assert_array_equal(first["boxes"], [[1.5, 2, 10, 5.25], [30, 20, 10, 10], [0, 25, 5, 5]])
    assert first["labels"].tolist() == [0, 1, 1]
    assert first["crowd"].tolist() == [False, False, False]
    np.testing.assert_array_equal(first["attributes"], [[0, 0.75], [np.nan, 1], [np.nan, np.nan]])
    assert {name: first[name].dtype.name for name in ("boxes", "labels", "crowd", "attributes")} == {
        "boxes": "float32", "labels": "int32", "crowd": "bool", "attributes": "float32",
    }  # fmt: skip
    assert second["boxes"].shape == (0, 4)
    assert second["attributes"].shape == (0, 2)
    np.testing.assert_array_equal(third["boxes"], [[0, 0, 40, 32]])
    assert third["crowd"].tolist() == [True]
    (batch,) = data.test_batches(source, 3, max_boxes=4)
    assert batch["attributes"].shape == (3, 4, 2)


def test_categories_may_be_chosen_and_then_nothing_is_read_before_it_is_opened(make_coco, tmp_path):
    images, path = make_coco(GOOD)
    dataset = coco(images, path, path, class_names=("bird", "cat"))
    assert dataset.attribute_names == ()
    source = dataset.open("test")
    assert source[0]["labels"].tolist() == [1, 1]
    assert source[2]["labels"].tolist() == [0]
    assert "attributes" not in source[0]
    later = coco(tmp_path, tmp_path / "none.json", class_names=("bird",))
    with pytest.raises(DataError, match=r"none\.json cannot be read \(No such file or directory\): give the file"):
        later.open("train")
    with pytest.raises(ValueError, match="the splits train, val and test, not 'other'"):
        later.open("other")
    with pytest.raises(DataError, match="has no category 'cow': it has dog, cat, bird"):
        coco(images, path, class_names=("cow",)).open("train")


def pixels_of(source):
    return [source[i]["image"].tobytes() for i in range(len(source))]


def test_one_file_is_shared_out_by_a_hash_of_names(make_coco, capfd):
    names = [f"{letter}.png" for letter in "abcdefghij"]
    images, path = make_coco(one_each(names), names)
    dataset = coco(images, path)
    sources = {split: dataset.open(split) for split in ("train", "val", "test")}
    assert {split: len(source) for split, source in sources.items()} == {"train": 7, "val": 1, "test": 2}
    parts = [set(pixels_of(source)) for source in sources.values()]
    assert len(set.union(*parts)) == 10  # none is in two of them
    said = f"{path} does not say which images validate: 1 of the 8 for training do, chosen by a hash of their names, "
    assert capfd.readouterr() == ("", said + "tiles of one image together.\n")  # once
    images, path = make_coco(one_each(names), names[::-1])
    again = coco(images, path).open("test")
    chosen = sorted(names, key=lambda name: hashlib.sha256(name[:-4].encode()).digest())[:2]
    expected = {np.asarray(Image.open(images / name)).tobytes() for name in chosen}
    assert {again[i]["image"].tobytes() for i in range(2)} == expected
    # And of the others the one of the least hash of its name, without the ending, validates.
    least = min(set(names) - set(chosen), key=lambda name: hashlib.sha256(name[:-4].encode()).digest())
    assert pixels_of(coco(images, path).open("val")) == [np.asarray(Image.open(images / least)).tobytes()]


def test_tiles_of_one_image_train_or_validate_together(make_coco):
    names = [f"{letter}_{row}_{column}.png" for letter in "abcdefgh" for row in (0, 256) for column in range(3)]
    images, path = make_coco(one_each(names), names)
    dataset = coco(images, path, path)
    parts = []
    for split in ("train", "val"):
        pixels = pixels_of(dataset.open(split))
        parts.append([name for name in names if np.asarray(Image.open(images / name)).tobytes() in pixels])
    train, val = parts
    assert len(val) == 6
    assert len({name[0] for name in val}) == 1
    assert sorted(train + val) == sorted(names)


def test_a_file_for_validation_is_honoured(make_coco, capfd):
    images, path = make_coco(one_each("abc"), ["a.png", "b.png", "c.png"])
    _, val = make_coco([], ["d.png", "e.png"], path="set/annotations/val.json")
    _, test = make_coco(one_each("f"), ["f.png"], path="set/annotations/test.json")
    dataset = coco(images, path, test, val=val)
    assert [len(dataset.open(split)) for split in ("train", "val", "test")] == [3, 2, 1]
    assert capfd.readouterr().err == ""
    elsewhere = images.parent / "elsewhere"
    elsewhere.mkdir()
    for name in ("d.png", "e.png"):
        (images / name).rename(elsewhere / name)
    assert len(coco((images, images, elsewhere), path, test, val=val).open("val")) == 2
    alone = coco(images, test, path)
    assert len(alone.open("train")) == 1
    with pytest.raises(DataError, match="has no images for the split val: add some"):
        alone.open("val")


def test_training_and_testing_may_have_folders_of_their_own(make_coco):
    images, path = make_coco(GOOD)
    other = images.parent / "val"
    images.rename(other)
    empty, _ = make_coco(one_each("x"), ["x.png"], path="set/annotations/other.json")
    dataset = coco((empty, other), path.with_name("other.json"), path)
    assert (len(dataset.open("train")), len(dataset.open("test"))) == (1, 3)
    with pytest.raises(DataError, match=r"'a\.png'"):
        coco(empty, path).open("train")


def test_files_with_other_categories_are_refused(make_coco):
    images, path = make_coco(GOOD)
    _, other = make_coco(
        [], path="set/annotations/val.json", change=lambda parsed: parsed["categories"].pop(0) and None
    )
    sentence = r"val\.json has the categories dog, bird where dog, cat, bird were expected: give both files the same"
    with pytest.raises(DataError, match=sentence):
        coco(images, other, path).open("train")


def outlines():
    """Annotations with outlines of every kind, on the image 10 of 30 x 40 pixels."""
    polygon = [[3.0, 4, 20, 4, 20, 15, 3, 15], [25, 4, 35, 4, 30, 14]]
    blob = np.zeros((30, 40), np.uint8)
    blob[6:10, 8:14] = 1
    packed: Any = rle.encode(np.asfortranarray(blob))
    crowd = np.zeros((30, 40), np.uint8)
    crowd[20:28, 5:35] = 1
    runs, value, lengths = crowd.ravel(order="F"), 0, [0]
    for pixel in runs:
        if pixel == value:
            lengths[-1] += 1
        else:
            value = pixel
            lengths.append(1)
    return [
        annotation(1, 10, 7, [3, 4, 32, 11], segmentation=polygon),
        annotation(2, 10, 90, [8, 6, 6, 4], segmentation={"size": [30, 40], "counts": packed["counts"].decode()}),
        annotation(3, 10, 3, [5, 20, 30, 8], segmentation={"size": [30, 40], "counts": lengths}, iscrowd=1),
        annotation(4, 10, 3, [35, 0.5, 3, 2], segmentation=[]),
    ]


def test_masks_are_those_of_cocos_own_tools(make_coco):
    images, path = make_coco(outlines())
    dataset = coco(images, path, path, masks=True)
    assert dataset.class_names == ("background", "dog", "cat", "bird")  # value k of the mask is class k
    assert len(dataset.palette) == 4
    record = dataset.open("test")[0]
    assert record.keys() == {"image", "mask"}
    theirs = COCO(path)
    polygon, blob, crowd = (theirs.annToMask(theirs.anns[number]) > 0 for number in (1, 2, 3))
    assert blob[polygon].any()
    expected = np.zeros((30, 40), np.uint8)
    expected[crowd] = 255
    expected[polygon] = 2
    expected[blob] = 3  # the smaller one lies upon the larger one
    expected[0:3, 35:38] = 255  # nobody knows where in its box the last one is
    np.testing.assert_array_equal(record["mask"], expected)
    assert "mask" not in coco(images, path, path).open("test")[0]
    assert coco(images, path, path, masks=True).open("test")[1]["mask"].max() == 0
    overlapping = coco(images, path, path, masks="multilabel")
    assert (overlapping.class_names, overlapping.multilabel) == (("dog", "cat", "bird"), True)
    bands = np.stack([np.where(crowd, 255, 0), polygon, blob], axis=-1).astype(np.uint8)
    bands[0:3, 35:38, 0] = 255
    np.testing.assert_array_equal(overlapping.open("test")[0]["mask"], bands)  # whole outlines, one upon the other


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ([[1, 2, 3, 4]], "of at least three corners"),
        ([[1, 2, 3, 4, 5, 6, 7]], "of at least three corners"),
        ([[1, 2, 3, "x", 5, 6]], "of numbers"),
        ([[1, 2, 3, float("nan"), 5, 6]], "of numbers"),
        ("text", "it is 'text'"),
        ({"size": [40, 30], "counts": [1200]}, r"run lengths of \[40, 30\] rows and columns"),
        ({"size": [30, 40], "counts": [5]}, r"\[5\] that are not those of 1200 pixels"),
        ({"size": [30, 40], "counts": [-1, 1201]}, "not those of 1200 pixels"),
        ({"size": [30, 40], "counts": "oh no"}, "the character ' '"),
        ({"size": [30, 40], "counts": "0"}, "not those of 1200 pixels"),
        ({"size": [30, 40]}, "counts"),
    ],
)
def test_outlines_that_cannot_be_drawn_are_refused(make_coco, outline, reason):
    images, path = make_coco([annotation(1, 10, 7, [1, 1, 5, 5], segmentation=outline)])
    with pytest.raises(
        DataError, match=rf"annotation 1 \('a\.png'\) has an outline .* \(.*{reason}.*\): give polygons"
    ):
        coco(images, path, path, masks=True).open("test")
    assert len(coco(images, path, path).open("test")) == 3  # who wants boxes alone does not look at it


def test_annotations_that_do_not_say_the_size_are_clipped_to_the_picture(make_coco):
    def change(parsed):
        for image in parsed["images"]:
            del image["height"]

    boxes = [annotation(1, 10, 7, [30, 20, 50, 50]), annotation(2, 10, 3, [50, 0, 5, 5])]
    images, path = make_coco(boxes, change=change)
    record = coco(images, path, path).open("test")[0]
    np.testing.assert_array_equal(record["boxes"], [[30, 20, 10, 10]])
    assert record["labels"].tolist() == [1]
    assert (coco(images, path, path, masks=True).open("test")[0]["mask"][20:, 30:] == 255).all()


def test_a_picture_of_another_size_is_refused(make_coco):
    images, path = make_coco(GOOD)
    Image.new("RGB", (30, 40)).save(images / "a.png")
    with pytest.raises(DataError, match=r"a\.png is 30x40 pixels, and its annotations say 40x30: boxes are in pixels"):
        coco(images, path, path).open("test")[0]


def spoil(parsed, name):
    """Something wrong with a good file; returns what is to be written where it is another value."""
    images, annotations, categories = parsed["images"], parsed["annotations"], parsed["categories"]
    return {
        "no list": lambda: parsed.pop("categories") and None,
        "list": lambda: [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
        "two categories of a name": lambda: categories[0].update(name="dog"),
        "two categories of an id": lambda: categories[0].update(id=3),
        "no category": lambda: categories.clear(),
        "category without a name": lambda: categories[0].pop("name") and None,
        "image without a name": lambda: images[0].pop("file_name") and None,
        "two images of an id": lambda: images[1].update(id=10),
        "two images of a file": lambda: images[1].update(file_name="a.png"),
        "absent file": lambda: images[0].update(file_name="gone.png"),
        "two annotations of an id": lambda: annotations[1].update(id=1),
        "name too long": lambda: images[0].update(file_name="A" * 300),
        "category of a list": lambda: annotations[0].update(category_id=[7]),
        "unknown image": lambda: annotations[0].update(image_id=99),
        "no image": lambda: annotations[0].pop("image_id") and None,
        "unknown category": lambda: annotations[0].update(category_id=5),
        "no box": lambda: annotations[0].pop("bbox") and None,
        "box of three": lambda: annotations[0].update(bbox=[1, 2, 3]),
        "box of text": lambda: annotations[0].update(bbox=[1, 2, 3, "4"]),
        "box of nan": lambda: annotations[0].update(bbox=[1, 2, 3, float("nan")]),
        "box beyond float64": lambda: annotations[0].update(bbox=[10**400, 2, 3, 4]),
        "box beyond float32": lambda: annotations[0].update(bbox=[1, 2, 3, 1e39]),
        "crowd of text": lambda: annotations[0].update(iscrowd="0"),
        "negative size": lambda: annotations[0].update(bbox=[10, 10, -5, 5]),
        "outside": lambda: annotations[0].update(bbox=[41, 2, 5, 5]),
        "score of 80": lambda: annotations[0].update(attributes={"happy": 80}),
        "score of text": lambda: annotations[0].update(attributes={"happy": "very"}),
    }[name]()


SPOILT = {
    "no list": r"train\.json has no list of objects `categories`: COCO's format has images, annotations, categories",
    "list": r"train\.json holds a list, as files of predictions do: give the file of annotations",
    "two categories of a name": r"train\.json has several categories with the name 'dog': give every one its own",
    "two categories of an id": r"train\.json has several categories with the id 3: give every one its own",
    "no category": r"train\.json has no categories: name at least one class",
    "category without a name": r"train\.json has the category {'id': 7}: give every one a whole number `id` and a",
    "image without a name": r"train\.json images\[0\] has no `id` or no `file_name`: give it both",
    "two images of an id": r"train\.json image 10 \('b\.jpg'\) has the id of another image: give every one its own",
    "two images of a file": r"train\.json image 11 \('a\.png'\) is listed before under another id: put its boxes tog",
    "absent file": r"train\.json image 10 \('gone\.png'\) is not in .*images: copy it there",
    "two annotations of an id": r"train\.json annotation 1 has the id of another annotation: give every one its own",
    "name too long": r"image 10 \('A+'\) is not in .*: copy it there",
    "category of a list": r"train\.json annotation 1 has the category \[7\], which is not listed: list it",
    "unknown image": r"train\.json annotation 1 belongs to the image 99, which is not listed: mend `image_id`",
    "no image": r"train\.json annotation 1 belongs to the image None, which is not listed: mend `image_id`",
    "unknown category": r"train\.json annotation 1 has the category 5, which is not listed: list it",
    "no box": r"train\.json annotation 1 \('a\.png'\) has the box None: write four numbers",
    "box of three": r"train\.json annotation 1 \('a\.png'\) has the box \[1, 2, 3\]: write four numbers",
    "box of text": r"train\.json annotation 1 \('a\.png'\) has the box \[1, 2, 3, '4'\]: write four numbers",
    "box of nan": r"train\.json annotation 1 \('a\.png'\) has the box \[1, 2, 3, nan\]: write four numbers",
    "box beyond float64": r"train\.json annotation 1 \('a\.png'\) has the box \[10{400}, 2, 3, 4\]: write four numbers",
    "box beyond float32": r"train\.json annotation 1 \('a\.png'\) has the box \[1, 2, 3, 1e\+39\]: write four numbers",
    "crowd of text": r"annotation 1 \('a\.png'\) has '0' for `iscrowd`: write 1 where it is a crowd",
    "negative size": r"annotation 1 \('a\.png'\) has a box of -5x5 pixels at \(10, 10\): a size is positive",
    "outside": r"has a box of 5x5 pixels at \(41, 2\), all of it outside the image of 40x30: mend it",
    "score of 80": r"annotation 1 \('a\.png'\) has 80 for 'happy': a score is a number in 0 to 1",
    "score of text": r"annotation 1 \('a\.png'\) has 'very' for 'happy': a score is a number in 0 to 1",
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_said_in_a_sentence(make_coco, name):
    images, path = make_coco(GOOD, change=lambda parsed: spoil(parsed, name))
    with pytest.raises(DataError, match=SPOILT[name]) as caught:
        coco(images, path, path, attribute_names=("happy",)).open("train")
    first, *rest = str(caught.value).splitlines()
    assert first.endswith(".")
    assert not rest or rest[-1].startswith("`segjax data check ")


def test_files_that_are_no_json_are_refused(tmp_path):
    for content, sentence in ((b'{"images": [', "is no JSON, or cut short"), (b"\xff\xfe", "is no JSON, or cut short")):
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(DataError, match=sentence):
            coco(tmp_path, path)


def test_everything_wrong_is_listed_at_once(make_coco):
    def change(parsed):
        for name in ("absent file", "two annotations of an id", "negative size"):
            spoil(parsed, name)

    images, path = make_coco(GOOD, change=change)
    kinds = [(problem.kind, problem.severity) for problem in read_coco(path, images).problems]
    assert kinds == [
        ("absent file", "error"), ("box size", "error"), ("duplicate id", "error"), ("empty box", "warning"),
        ("box outside", "warning"),
    ]  # fmt: skip
    bad = [annotation(number, 10, 5, [0, 0, 1, 1]) for number in range(15)]
    images, path = make_coco(bad)
    with pytest.raises(DataError) as caught:
        coco(images, path).open("train")
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[10] == "... and 5 more errors."


def test_attributes_are_found_where_nobody_names_them(make_coco):
    boxes = [
        annotation(1, 10, 7, [1, 1, 5, 5], attributes={"sad": 0.5, "rotation": 90.0, "occluded": False, "id": "x"}),
        annotation(2, 10, 7, [1, 1, 5, 5], attributes={"happy": 1, "rotation": 0.0}),
        annotation(3, 10, 7, [1, 1, 5, 5], attributes=None),
    ]
    images, path = make_coco(boxes)
    found = read_coco(path, images)
    assert found.attribute_names == ("happy", "sad")
    assert [problem.sentence.partition(".json ")[2] for problem in found.problems] == [
        "has numbers outside 0 to 1 for 'rotation', so that it is taken for no score."
    ]


def test_images_of_four_bands_and_another_depth_are_read_as_their_statistics_say(make_coco):
    names = ("a.npy", "b.npy", "c.npy")
    images, path = make_coco(one_each(names), images=("a.png", "b.png", "c.png"))
    pixels = np.random.default_rng(0).normal(size=(30, 40, 4)).astype(np.float32)
    text = path.read_text().replace(".png", ".npy").replace('"height": 31', '"height": 30').replace("32", "30")
    path.write_text(text)
    for name in names:
        np.save(images / name, pixels)
    data = coco(images, path, path, statistics=Statistics((0.0,) * 4, (1.0,) * 4, depth="float32"))
    np.testing.assert_array_equal(data.open("test")[0]["image"], pixels)
    assert data.shown(pixels).dtype == np.uint8


def test_too_many_classes_for_a_mask_are_refused(tmp_path):
    with pytest.raises(ValueError, match="A mask holds up to 65534 classes and the background, not 65535"):
        coco(tmp_path, tmp_path, class_names=[str(i) for i in range(65535)], masks=True)


def test_a_mask_of_no_objects_is_background(make_coco):
    images, path = make_coco([])
    picture = read_coco(path, images, segmentations=True).pictures[0]
    np.testing.assert_array_equal(draw_mask(picture, (30, 40), 1), np.zeros((30, 40)))


def test_a_root_that_is_above_all_others_and_never_used_is_no_class(make_coco):
    def rooted(parsed):
        parsed["categories"] = [{"id": 0, "name": "pets", "supercategory": "none"}] + [
            {**one, "supercategory": "pets"} for one in parsed["categories"]
        ]

    images, path = make_coco(GOOD, change=rooted)
    assert coco(images, path).class_names == ("dog", "cat", "bird")
    images, path = make_coco([*GOOD, annotation(6, 10, 0, [1, 1, 5, 5])], change=rooted)
    assert coco(images, path).class_names == ("pets", "dog", "cat", "bird")  # it is used


@pytest.mark.parametrize(
    ("annotations", "masks", "said"),
    [
        ([], False, "has no boxes for training"),
        (
            [annotation(1, 10, 7, [1, 1, 5, 5], iscrowd=1)],
            False,
            "has 1 box for training, and none but of crowds",
        ),
        ([annotation(1, 10, 7, [1, 1, 5, 5])], True, "has no outlines"),
    ],
)
def test_where_nothing_can_be_learned_opening_says_so(make_coco, annotations, masks, said):
    images, path = make_coco(annotations)
    dataset = coco(images, path, path, masks=masks)
    with pytest.raises(DataError, match=said):
        dataset.open("train")
    assert len(dataset.open("test")) == 3


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("C:\\photos\\{}", None),
        ("/home/elsewhere/set/{}", None),
        ("/home/elsewhere/b.jpg", "image 11 .* is listed before under another id"),
    ],
)
def test_images_are_found_by_their_names_whatever_path_a_tool_wrote(make_coco, said, sentence):
    def elsewhere(parsed):
        for one in parsed["images"]:
            one["file_name"] = said.format(one["file_name"])

    _, path = make_coco(one_each("abc"), change=elsewhere)
    if sentence is None:
        sources = [checked(data.labelled(path.parent.parent).open(split)) for split in ("train", "val", "test")]
        assert sorted(source.name_of(0) for source in sources) == ["a.png", "b.jpg", "c.png"]
    else:
        with pytest.raises(DataError, match=sentence):
            data.labelled(path.parent.parent)
