import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import resource

from segjax.data.formats.tfds_boxes import tfds_boxes
from segjax.data.sets.wider_face import wider_face
from segjax.errors import DataError

# x, y, width, height, invalid. One reaches over the border, one is empty.
FACES = {
    "train": {"a.jpg": [(10, 20, 30, 16, 0), (50, 5, 20, 60, 1)], "b.jpg": [], "c.jpg": [(0, 0, 64, 48, 0)]},
    "val": {"d.jpg": [(60, 40, 10, 20, 0), (7, 7, 0, 5, 0)]},
}
SIZE = (64, 48)


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """The archives of WIDER FACE in their original layout, in TFDS' download folder, and the images in them."""
    root = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    hidden = b"0--Parade/hidden.jpg\n"  # the boxes of its own test images are not published
    pictures, archives = {}, {"wider_face_split.zip": {"wider_face_split/wider_face_test_filelist.txt": hidden}}
    for split, members in FACES.items():
        lines = []
        archives[f"WIDER_{split}.zip"] = files = {}
        for name, boxes in members.items():
            pictures[name] = encoded(rng.integers(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8))
            files[f"WIDER_{split}/images/0--Parade/{name}"] = pictures[name]
            lines += [f"0--Parade/{name}", str(len(boxes))]
            # x, y, w, h, blur, expression, illumination, invalid, occlusion, pose; zeros where there is no face.
            lines += [f"{x} {y} {w} {h} 1 0 0 {invalid} 2 1 " for x, y, w, h, invalid in boxes or [(0, 0, 0, 0, 0)]]
        text = "".join(f"{line}\n" for line in lines).encode()
        archives["wider_face_split.zip"][f"wider_face_split/wider_face_{split}_bbx_gt.txt"] = text
    archives["WIDER_test.zip"] = {"WIDER_test/images/0--Parade/hidden.jpg": pictures["a.jpg"]}
    for url, info in (tfds.builder("wider_face", data_dir=root).url_infos or {}).items():
        path = root / "downloads" / "wider_face" / resource.get_dl_fname(url, info.checksum)
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in archives[info.filename].items():
                archive.writestr(name, data)
        # TFDS takes a file with this beside it for one whose checksum it has seen.
        Path(f"{path}.INFO").write_text(json.dumps({"urls": [url], "original_fname": info.filename}))
    return root, pictures


def test_the_stock_faces_are_prepared_and_read_without_tensorflow(faces):
    root, pictures = faces
    code = """
import sys
import numpy as np
from segjax.data import wider_face
dataset = wider_face(data_dir=sys.argv[1])
assert dataset.class_names == ("face",)
for split in ("train", "val", "test"):
    source = dataset.open(split)
    records = {f"{split} {i} {part}": value for i in range(len(source)) for part, value in source[i].items()}
    np.savez(f"{sys.argv[1]}/{split}.npz", **records)
assert not {"tensorflow", "jax"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for splits, members in zip((("train", "val"), ("test",)), FACES.values(), strict=True):
        found = {key: value for split in splits for key, value in np.load(root / f"{split}.npz").items()}
        assert len(found) == 4 * len(members)
        names = {np.asarray(Image.open(io.BytesIO(pictures[name]))).tobytes(): name for name in members}
        for one in [key.removesuffix(" image") for key in found if key.endswith(" image")]:
            record = {part: found[f"{one} {part}"] for part in ("image", "boxes", "labels", "crowd")}
            wanted = [box for box in members[names.pop(record["image"].tobytes())] if box[2] > 0]
            expected = [(x, y, min(w, SIZE[0] - x), min(h, SIZE[1] - y)) for x, y, w, h, _ in wanted]
            np.testing.assert_allclose(record["boxes"], np.reshape(expected, (-1, 4)), atol=1e-4)
            assert record["crowd"].tolist() == [bool(invalid) for *_, invalid in wanted]
            assert record["labels"].tolist() == [0] * len(wanted)
            assert [record[name].dtype.name for name in ("boxes", "labels", "crowd")] == ["float32", "int32", "bool"]
        assert not names
    # What its authors call validation tests, and so it does not validate.
    assert len(np.load(root / "val.npz")) == 4
    assert "wider_face has no split for validation: the last 1 of the 3 that train are." in done.stderr


class TinyObjects(tfds.core.GeneratorBasedBuilder):
    """A set in the format of TFDS' COCO and VOC, with boxes as shares of an image of 20 x 40 pixels."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(num_classes=3),
            "pose": tfds.features.ClassLabel(num_classes=2),
            "is_crowd": np.bool_,
        }
        features = {"image": tfds.features.Image(), "objects": tfds.features.Sequence(objects)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        boxes = [(0.1, 0.25, 0.5, 0.75, 2, True), (0.0, 0.0, 1.0, 1.0, 1, False)]
        objects = [
            {"bbox": tfds.features.BBox(ymin=top, xmin=left, ymax=bottom, xmax=right), "label": label, "pose": 0,
             "is_crowd": crowd}
            for top, left, bottom, right, label, crowd in boxes
        ]  # fmt: skip
        yield 0, {"image": io.BytesIO(encoded(np.zeros((20, 40, 3), np.uint8))), "objects": objects}


def test_sets_in_the_format_of_coco(tmp_path):
    source = tfds_boxes("tiny_objects", ("a", "b", "c"), data_dir=tmp_path).open("test")
    assert len(source) == 1
    np.testing.assert_allclose(source[0]["boxes"], [[10, 2, 20, 8], [0, 0, 40, 20]], atol=1e-5)
    assert source[0]["labels"].tolist() == [2, 1]
    assert source[0]["crowd"].tolist() == [True, False]
    np.testing.assert_array_equal(source[-1]["boxes"], source[0]["boxes"])
    with pytest.raises(IndexError):
        source[1]
    with pytest.raises(DataError, match="tiny_objects has 1 example in 'train': training and validation need one each"):
        tfds_boxes("tiny_objects", ("a", "b", "c"), data_dir=tmp_path).open("val")
    few = tfds_boxes("tiny_objects", ("a", "b"), data_dir=tmp_path, download=False).open("train")
    with pytest.raises(DataError, match="tiny_objects example 0 has the label 2 and only 2 classes have names"):
        few[0]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_set", r"has no set 'no_such_set'"),
        (
            "oxford_iiit_pet",
            r"oxford_iiit_pet has 0 sequences of objects with one box each: choose a set",
        ),
        ("wider_face", r"wider_face is not prepared in .*: open it once with `download=True`"),
    ],
)
def test_what_cannot_be_had_gets_one_sentence(tmp_path, name, sentence):
    dataset = tfds_boxes(name, ("a",), data_dir=tmp_path, download=False)
    with pytest.raises(DataError, match=sentence) as caught:
        dataset.open("train")
    assert "\n" not in str(caught.value)


def test_nothing_is_opened_before_it_is_asked_for():
    with pytest.raises(ValueError, match="wider_face has the splits train, val and test, not 'other'"):
        wider_face().open("other")
