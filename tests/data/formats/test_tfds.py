import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import resource

from segjax.data.formats.tfds import tfds_dataset
from segjax.data.sets.pets import oxford_iiit_pet
from segjax.errors import DataError

# The stock builder sends beagle_116 through TensorFlow, since that file is a PNG of four channels in the real archive.
PETS = {"trainval.txt": ["Abyssinian_1", "beagle_116", "pug_3"], "test.txt": ["Bombay_7", "pug_9"]}


def encoded(pixels, format):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """The archives of the Oxford pets in their original layout, in TFDS' download folder, and what is in them."""
    root = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    images, trimaps, annotations = {}, {}, {}
    for file, names in PETS.items():
        annotations[f"annotations/{file}"] = "".join(f"{name} 1 1 1\n" for name in names).encode()
        for name in names:
            pixels = rng.integers(0, 256, (20, 30, 4 if name == "beagle_116" else 3)).astype(np.uint8)
            images[f"images/{name}.jpg"] = encoded(pixels, "PNG" if name == "beagle_116" else "JPEG")
            trimaps[name] = rng.integers(1, 4, (20, 30)).astype(np.uint8)
            annotations[f"annotations/trimaps/{name}.png"] = encoded(trimaps[name], "PNG")
    for url, info in (tfds.builder("oxford_iiit_pet", data_dir=root).url_infos or {}).items():
        path = root / "downloads" / "oxford_iiit_pet" / resource.get_dl_fname(url, info.checksum)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:  # the original is called .tar.gz and is not compressed either
            for name, data in (images if "images" in url else annotations).items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        # TFDS takes a file with this beside it for one whose checksum it has seen.
        Path(f"{path}.INFO").write_text(json.dumps({"urls": [url], "original_fname": url.rpartition("/")[2]}))
    return root, images, trimaps


def test_the_stock_pets_are_prepared_and_read_without_tensorflow(pets):
    root, images, trimaps = pets
    code = """
import sys
import numpy as np
from segjax.data.sets.pets import oxford_iiit_pet
dataset = oxford_iiit_pet(data_dir=sys.argv[1])
records = {split: list(dataset.open(split)) for split in ("train", "val", "test")}
np.savez(sys.argv[2], **{f"{split} {number} {part}": record[part]
                         for split in records for number, record in enumerate(records[split]) for part in record})
assert not {"tensorflow", "jax"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), str(root / "read.npz")],
        capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = np.load(root / "read.npz")
    for splits, names in zip((("train", "val"), ("test",)), PETS.values(), strict=True):
        # TFDS shuffles what it writes: every record is one of the archive's, and none comes twice.
        masks = {trimaps[name].tobytes(): name for name in names}
        for record in [key.removesuffix(" mask") for key in found if key.startswith(splits) and key.endswith(" mask")]:
            name = masks.pop((found[f"{record} mask"] + np.uint8(1)).tobytes())
            pixels = np.asarray(Image.open(io.BytesIO(images[f"images/{name}.jpg"])))
            np.testing.assert_array_equal(found[f"{record} image"], pixels[..., :3])
        assert not masks
    assert [sum(key.startswith(split) for key in found) for split in ("train", "val", "test")] == [2 * 2, 2 * 1, 2 * 2]
    assert done.stderr.count("oxford_iiit_pet has no split for validation: the last 1 of the 3 that train are.") == 1


@pytest.fixture(scope="module")
def prepared(pets):
    root = pets[0]
    oxford_iiit_pet(data_dir=root).open("test")
    return root


def test_prepared_sets_are_found_again(prepared):
    dataset = oxford_iiit_pet(data_dir=prepared, download=False)
    assert dataset.class_names == ("pet", "background", "border")
    source = dataset.open("train")
    assert len(source) == 2
    np.testing.assert_array_equal(source[-1]["mask"], source[1]["mask"])
    with pytest.raises(IndexError):
        source[2]
    whole = tfds_dataset("oxford_iiit_pet", list("0123"), val="train[2:]", data_dir=prepared)
    assert len(whole.open("train")) == 3
    np.testing.assert_array_equal(dataset.open("val")[0]["image"], whole.open("val")[0]["image"])


def test_values_that_are_no_label_are_ignored(prepared):
    whole = oxford_iiit_pet(data_dir=prepared).open("test")[0]["mask"]
    part = tfds_dataset("oxford_iiit_pet", ("border", "pet"), labels=(3, 1), data_dir=prepared).open("test")[0]["mask"]
    np.testing.assert_array_equal(part, np.choose(whole, [1, 255, 0]))


def test_splits_may_be_slices(prepared):
    dataset = tfds_dataset("oxford_iiit_pet", list("0123"), train="train[:2]", test="train[2:]", data_dir=prepared)
    assert [len(dataset.open(split)) for split in ("train", "val", "test")] == [1, 1, 1]


def test_labels_without_a_name_are_refused(prepared):
    source = tfds_dataset("oxford_iiit_pet", ("a", "b", "c"), data_dir=prepared).open("train")
    with pytest.raises(DataError, match="oxford_iiit_pet example 0 has the label 3 and only 3 classes have names"):
        source[0]


def test_as_many_labels_as_names():
    with pytest.raises(ValueError, match="mnist has 2 class names and 1 labels: give one for each"):
        tfds_dataset("mnist", ("a", "b"), labels=(1,))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("no_such_set", {}, r"has no set 'no_such_set': `tfds\.list_builders\(\)` has all names"),
        ("oxford_iiit_pet:9.9.9", {}, "cannot open 'oxford_iiit_pet:9.9.9'"),
        ("voc", {}, "voc has 0 image features of 1 channels that may be the mask: .*'image' .*segmentation"),
        ("scene_parse150", {}, "has 2 image features of 3 channels that may be the image: say which with image_key"),
        ("cityscapes", {"mask_key": "labels"}, "cityscapes has no image feature 'labels': choose of 'image_left' .*"),
        ("cityscapes", {}, "cityscapes is not prepared in .*: open it once with `download=True`"),
        ("coco/2017_panoptic", {}, "The builder of coco/2017_panoptic needs tensorflow, which segjax does without: .*"
                                   "`tfds build coco/2017_panoptic --file_format=array_record`"),
        ("oxford_iiit_pet", {"train": "nope"}, "The split 'nope' of oxford_iiit_pet cannot be read .* has train, test"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_gets_one_sentence(prepared, name, options, sentence):
    dataset = tfds_dataset(name, ("a", "b"), data_dir=prepared, download=False, **options)
    with pytest.raises(DataError, match=sentence) as caught:
        dataset.open("train")
    assert "\n" not in str(caught.value)


class TinyMasks(tfds.core.GeneratorBasedBuilder):
    """A set whose builder gives arrays, which TFDS encodes with TensorFlow, or fails as a download does."""

    VERSION = tfds.core.Version("1.0.0")
    failing = False

    def _info(self):
        features = {"image": tfds.features.Image(), "mask": tfds.features.Image(shape=(None, None, 1))}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        if self.failing:
            raise ConnectionError("While fetching:\nno route to host.")
        yield 0, {"image": np.zeros((4, 4, 3), np.uint8), "mask": np.zeros((4, 4, 1), np.uint8)}


def test_builders_that_need_tensorflow_say_so(tmp_path):
    with pytest.raises(DataError, match="The builder of tiny_masks needs tensorflow, which segjax does without"):
        tfds_dataset("tiny_masks", ("a", "b"), data_dir=tmp_path).open("train")


def test_downloads_that_fail_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(TinyMasks, "failing", True)
    with pytest.raises(DataError, match=r"tiny_masks could not be prepared \(no route to host\): .*downloads/manual"):
        tfds_dataset("tiny_masks", ("a", "b"), data_dir=tmp_path).open("train")


def test_nothing_is_opened_before_it_is_asked_for():
    assert tfds_dataset("no_such_set", ("a", "b")).palette == ((0, 0, 0), (128, 0, 0))
    with pytest.raises(ValueError, match="no_such_set has the splits train, val and test, not 'other'"):
        tfds_dataset("no_such_set", ("a", "b")).open("other")
