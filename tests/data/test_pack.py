import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from buckets import BadNetwork
from PIL import Image

from segjax import data
from segjax.data import Augment, Dataset, Record
from segjax.data.pack import pack, pack_by_name
from segjax.data.sets.packed import _Kept, packed
from segjax.errors import DataError

AUGMENT = Augment(crop=(16, 16), flip_horizontal=True, scale=(0.5, 2.0), rotate=30, brightness=0.5)
COUNTS = {"train": 23, "val": 4, "test": 5}


def record(number: int) -> Record:
    rng = np.random.default_rng(number)
    count = number % 4
    return Record(
        image=rng.integers(0, 256, (20, 24, 3), dtype=np.uint8),
        mask=rng.integers(0, 3, (20, 24), dtype=np.uint8),
        boxes=rng.uniform(1, 9, (count, 4)).astype(np.float32),
        labels=rng.integers(0, 2, count).astype(np.int32),
        attributes=rng.random((count, 2)).astype(np.float32),
    )


def dataset(seen: list[int] | None = None, ends_at: int = 1000, name: str = "mine") -> Dataset:
    """Counts the records that are read of it, and breaks at one."""

    class Numbered:
        def __init__(self, split: str) -> None:
            self.first, self.count = 100 * list(COUNTS).index(split), COUNTS[split]

        def __len__(self) -> int:
            return self.count

        def __getitem__(self, index: int, /) -> Record:
            if index >= self.count:
                raise IndexError
            if self.first + index >= ends_at:
                raise DataError("The power is off.")
            if seen is not None:
                seen.append(self.first + index)
            return record(self.first + index)

        def name_of(self, index: int) -> str:
            return f"picture {self.first + index}"

    colours = (255, 0, 0), (0, 255, 0)
    statistics = data.Statistics((0.1, 0.2, 1 / 3), (0.3,) * 3, gamma=0.5)
    return Dataset(name, ("a", "b"), colours, Numbered, ("sad", "glad"), statistics, AUGMENT)


def assert_same(one: Dataset, other: Dataset) -> None:
    for split in COUNTS:
        ours, theirs = one.open(split), other.open(split)
        assert len(ours) == len(theirs)
        for index in range(len(ours)):
            assert ours[index].keys() == theirs[index].keys()
            for name, values in dict[str, Any](ours[index]).items():
                np.testing.assert_array_equal(values, theirs[index][name], strict=True)


def assert_same_batches(one: Dataset, other: Dataset, count: int = 12, **settings) -> None:
    ways = {"seed": 3, "augment": AUGMENT, "max_boxes": 4} | settings
    ours, theirs = (itertools.islice(data.train_batches(of.open("train"), 4, **ways), count) for of in (one, other))
    for left, right in zip(ours, theirs, strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_a_packed_set_says_of_itself_what_its_source_does(tmp_path: Path):
    packed_counts = pack(dataset(), tmp_path / "out", shard_bytes=10_000).records
    back = packed(tmp_path / "out")
    assert packed_counts == COUNTS
    for name in ("name", "class_names", "palette", "attribute_names", "statistics", "augment", "multilabel", "bands"):
        assert getattr(back, name) == getattr(dataset(), name)
    assert back.open("val").name_of(2) == "picture 102"  # pyright: ignore
    assert len(list((tmp_path / "out").glob("train-*.zip"))) > 3
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".zip", ".json"}
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


def test_training_sees_the_same_for_any_hosts_and_threads_and_when_it_goes_on(tmp_path: Path):
    pack(dataset(), tmp_path, shard_bytes=10_000)
    assert_same(dataset(), packed(tmp_path))
    ways: list[dict[str, Any]] = [{"threads": 4}, {"shard": (1, 2)}, {"start": 7}]
    for settings in ways:
        assert_same_batches(dataset(), packed(tmp_path), **settings)


def test_what_ended_in_the_middle_looks_like_nothing_and_goes_on(tmp_path: Path):
    seen: list[int] = []
    with pytest.raises(DataError, match=r"^The power is off"):
        pack(dataset(ends_at=18), tmp_path, shard_bytes=10_000)
    with pytest.raises(DataError, match=r"has no index.json: name what `segjax data pack` wrote, or run that again"):
        packed(tmp_path)
    done = len(list(tmp_path.glob("train-*.zip.json")))
    assert done > 2
    with pytest.raises(DataError, match="holds another set"):
        pack(dataset(name="other"), tmp_path)
    pack(dataset(seen), tmp_path, shard_bytes=10_000)
    assert min(seen) > done  # nothing of the shards that were whole is read again
    assert_same(dataset(), packed(tmp_path))
    assert not list(tmp_path.glob("*.zip.json"))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    seen.clear()
    pack(dataset(seen), tmp_path)
    assert not seen
    pack(dataset(), tmp_path / "at once", shard_bytes=10_000)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "at once").iterdir()}


def test_a_damaged_shard_is_named(tmp_path: Path):
    pack(dataset(), tmp_path)
    shard = tmp_path / "train-00000.zip"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    source, wrong = packed(tmp_path).open("train"), []
    for index in range(23):
        try:
            source[index]
        except DataError as error:
            wrong.append(str(error))
    assert len(wrong) == 1
    assert f"in {shard} is damaged: copy the shard again from where it is whole, or pack the set again." in wrong[0]
    # Cut short between the image of a record and what else it has.
    pack(dataset(), tmp_path / "short")
    shard = tmp_path / "short" / "train-00000.zip"
    content, index = shard.read_bytes(), json.loads((tmp_path / "short" / "index.json").read_text())
    start, end = index["splits"]["train"][0]["offsets"][20:22]
    shard.write_bytes(content[: content.index(b"PK\x03\x04", start + 1, end)])
    source = packed(tmp_path / "short").open("train")
    source[19]
    for index in (20, 21):
        with pytest.raises(DataError, match=f"Record {index} in {shard} is damaged: copy the shard again"):
            source[index]
    shard.unlink()
    with pytest.raises(DataError, match=f"Record 0 in {shard} is not there: copy the shard again"):
        source[0]


@pytest.mark.parametrize("index", ["{", "[]", '{"format": "segjax packed 0"}', '{"format": "segjax packed 1"}'])
def test_an_index_that_cannot_be_read_is_said(index: str, tmp_path: Path):
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(DataError, match="pack the set again"):
        packed(tmp_path)


def test_a_bucket_gives_what_the_folder_does_and_its_shards_are_kept(s3: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "kept"))
    pack(dataset(), "s3://bucket/mine", shard_bytes=10_000)
    assert_same(dataset(), packed("s3://bucket/mine"))
    wanted = len(json.loads(_read("mine/index.json"))["splits"]["train"]) + 2
    deadline = time.monotonic() + 20
    while len(list(tmp_path.glob("kept/packed/*.zip"))) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asked: list[str] = []
    monkeypatch.setattr(
        "segjax.cache.files.Bucket.read", lambda self, name, *_: asked.append(name) or _read(f"mine/{name}")
    )
    for file in tmp_path.glob("kept/packed/*val*"):  # what is damaged here is asked for again
        file.write_bytes(bytes(file.stat().st_size))
    assert_same_batches(dataset(), packed("s3://bucket/mine"))
    assert set(asked) == {"index.json"}


def _read(name: str) -> bytes:
    import fsspec

    return fsspec.filesystem("s3", skip_instance_cache=True).cat_file(f"bucket/{name}")


def test_a_shard_that_is_damaged_here_is_asked_of_the_bucket(s3: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    pack(dataset(), "s3://bucket/damaged")
    source = packed("s3://bucket/damaged").open("val")
    source[0]
    deadline = time.monotonic() + 20
    while not (kept := list(tmp_path.glob("packed/*.zip"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kept[0].write_bytes(bytes(kept[0].stat().st_size))
    np.testing.assert_array_equal(packed("s3://bucket/damaged").open("val")[1]["image"], record(101)["image"])


def test_shards_that_cannot_be_kept_are_not_called_missing(s3: str, tmp_path: Path, monkeypatch):
    pack(dataset(), "s3://bucket/unkept")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"^Cannot write to .*file/packed \(Not a directory\): set SEGJAX"):
        packed("s3://bucket/unkept").open("val")


def test_a_set_larger_than_the_disk_is_read_by_ranges(s3: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    monkeypatch.setattr(_Kept, "_has_room", False)
    pack(dataset(), "s3://bucket/large")
    assert_same_batches(dataset(), packed("s3://bucket/large"), count=3)
    assert not list(tmp_path.glob("packed/*"))


def test_a_network_that_stalls_and_breaks_off_changes_no_sample(
    s3: str,
    bad_network: BadNetwork,
    tmp_path: Path,
    monkeypatch,
):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    monkeypatch.setattr("segjax.data.sets.packed._PART", 3000)
    pack(dataset(), "s3://bucket/bad", shard_bytes=20_000)
    assert_same_batches(dataset(), packed("s3://bucket/bad"), count=8, threads=4)
    assert bad_network.stalled
    assert bad_network.cut


def test_a_folder_of_jpegs_keeps_them_as_they_were(make_folder, save, tmp_path: Path):
    root = make_folder(suffix=".jpg", names=[f"{letter}{number}" for letter in "abcd" for number in range(5)])
    for options in ({}, {"root": root}):
        out = tmp_path / f"out{len(options)}"
        pack_by_name("folder" if options else root, out, **options)
        assert_same(data.folder(root), packed(out))
        index = json.loads((out / "index.json").read_text())
        assert index["about"]["crop"] == data.folder_defaults(root).crop
        assert tuple(index["about"]["class_weights"]) == data.folder_defaults(root).class_weights
        assert index["made_of"].pop("files")
        assert index["made_of"] == {"data": "folder", "root": str(root)}
    import zipfile

    files = {file.read_bytes() for file in (root / "images").iterdir()}
    with zipfile.ZipFile(out / "train-00000.zip") as archive:
        kept = {archive.read(name) for name in archive.namelist() if name.endswith(".jpg")}
        assert kept
        assert kept <= files


@pytest.mark.parametrize("where", ["packed", ".", ".."])
def test_files_that_were_changed_since_are_not_taken_for_packed(make_folder, where: str):
    root = make_folder([f"{letter}{number}" for letter in "abcd" for number in range(5)])
    out = (root / where).resolve()
    pack_by_name(root, out)
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    pack_by_name(root, out)
    assert before == {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    mask = np.asarray(Image.open(root / "masks" / "a0.png"))
    Image.fromarray(mask[::-1]).save(root / "masks" / "a0.png")  # of as many pixels of each class
    with pytest.raises(DataError, match="holds another set, or this one as it was before: name another folder"):
        pack_by_name(root, out)


def test_a_command_that_is_killed_goes_on(tmp_path: Path):
    code = (
        "import os, signal, test_pack\nfrom segjax.data import pack\nrecord = test_pack.record\n"
        "test_pack.record = lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == 14 else record(number)\n"
        f"pack(test_pack.dataset(), {str(tmp_path / 'out')!r}, shard_bytes=4000)\n"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(data.__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DataError, match=r"has no index.json"):
        packed(tmp_path / "out")
    pack(dataset(), tmp_path / "out", shard_bytes=4000)
    assert_same(dataset(), packed(tmp_path / "out"))
