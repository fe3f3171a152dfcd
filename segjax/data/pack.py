"""Data sets written as shards into a folder or a bucket, from which `segjax.data.sets.packed` reads them."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, get_args

from segjax.cache.files import Files, files_in
from segjax.data.catalogue import NAMES, found
from segjax.data.checked import checked
from segjax.data.dataset import Dataset
from segjax.data.formats.box_layouts import find_boxes
from segjax.data.formats.opened import matching
from segjax.data.formats.shards import Shard, ShardWriter, encoded
from segjax.data.record import Source, Split
from segjax.data.sets.packed import FORMAT, INDEX, PackedDefaults, checksum
from segjax.errors import DataError
from segjax.progress import Bar
from segjax.strict_json import as_json

SHARD = 2**25
"""Bytes from which on a shard is ended."""
_BEGUN = "packing.json"
_OF_FILES = ("folder", "labelled", "coco", "voc")
"""Sets whose files are yours, and may be others when they are packed again."""
_PACKED = re.compile(rf"({'|'.join(get_args(Split))})-\d{{5,}}\.zip(\.json)?|{INDEX}|{_BEGUN}")
"""The names of what is written."""
_AT_ONCE = 64
"""Records in memory together."""


class Packed(NamedTuple):
    """What was written."""

    records: dict[str, int]
    """Of each split."""
    bytes: int


def pack(
    data: Dataset,
    out: str | os.PathLike[str],
    *,
    crop: int | None = None,
    class_weights: tuple[float, ...] = (),
    made_of: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD,
) -> Packed:
    """Write all splits of a data set, from which `packed` reads the same records bit for bit.

    The index is written last. Where it was ended before that, the same call goes on after the last whole shard.

    Args:
        data: the data set.
        out: a folder, or an address such as `s3://bucket/folder`; made where it is not there.
        crop: height and width of training crops, where its augmentation does not say it.
        class_weights: of its classes, where they are known.
        made_of: what the set was made of, such as its folder, to be kept with it.
        shard_bytes: from which size on a shard is ended.

    Raises:
        DataError: a record cannot be read, `out` cannot be written or holds another set.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
        >>> colours = (0, 0, 0), (0, 255, 0)
        >>> mine = data.Dataset("mine", ("ground", "tree"), colours, open=lambda split: [record] * 4)
        >>> data.pack(mine, "packed").records
        {'train': 4, 'val': 4, 'test': 4}
        >>> data.packed("packed").open("val")[0]["mask"].shape
        (8, 8)
    """
    files = files_in(out)
    sources: dict[str, Source] = {split: data.open(split) for split in get_args(Split)}
    about = PackedDefaults(
        data.name,
        data.class_names,
        data.palette,
        data.attribute_names,
        data.multilabel,
        data.statistics,
        data.bands,
        data.augment,
        crop,
        class_weights,
    )
    counts = {split: len(source) for split, source in sources.items()}
    plan = json.loads(as_json({"format": FORMAT, "about": asdict(about), "made_of": made_of or {}, "records": counts}))
    try:
        index, begun = _read(files, INDEX), _read(files, _BEGUN)
        if any(there and {key: there.get(key) for key in plan} != plan for there in (index, begun)):
            raise DataError(f"{files.root} holds another set, or this one as it was before: name another folder.")
        if index is None:
            _write(files, _BEGUN, plan)
            with Bar("records", sum(counts.values())) as bar:
                splits = {name: _pack_split(files, name, one, shard_bytes, bar) for name, one in sources.items()}
            index = plan | {"splits": splits}
            _write(files, INDEX, index)
            begun = plan
        shards = [shard for split in index["splits"].values() for shard in split]
        if begun is not None:
            for shard in shards:
                files.remove(_note_of(shard["file"]))
            files.remove(_BEGUN)
    except OSError as error:
        raise DataError(f"{files.root} cannot be written ({error.strerror or error}): name another folder.") from None
    return Packed(counts, sum(shard["size"] for shard in shards))


def pack_by_name(name: str | os.PathLike[str], out: str | os.PathLike[str], **options: Any) -> Packed:
    """Write a set of the catalogue by its name, or of your files by their path, as `pack` does.

    Args:
        name: as `segjax data list` has it; or a folder of images and masks, or what a labelling tool left.
        out: a folder, or an address such as `s3://bucket/folder`.
        options: what `segjax.data.catalogue.by_name` takes.

    Raises:
        DataError: there is no such set, or not with such options; `out` holds it as it was before a file of yours was
            changed; and as `pack`.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value not in (None, ())}
    if str(name) not in NAMES and Path(name).exists():
        given = {"root": os.fspath(name)} | given
        name = "folder" if find_boxes(name) is None else "labelled"
    made_of = {"data": str(name)} | given
    if "://" not in str(given.get("root", "://")):
        made_of["root"] = os.path.abspath(given["root"])
    data, crop, class_weights = found(str(name), **given)
    if str(name) in _OF_FILES:
        data.open("train")  # which may write lists of splits
        lists = get_args(Split) if name == "coco" else ()  # which are files of annotations
        made_of["files"] = _checksum_of([Path(given[key]) for key in ("root", *lists) if key in given], out)
    return pack(data, out, crop=crop, class_weights=class_weights, made_of=made_of)


def _checksum_of(places: list[Path], out: str | os.PathLike[str]) -> str:
    """Of the names and contents of files and of all that is below folders, but for what is hidden or packed there."""
    found, into = hashlib.sha256(), Path(out).absolute()
    for place in places:
        for file in sorted(matching(place, "**/*")) if place.is_dir() else [place]:
            if file.is_file() and not (file.absolute().parent == into and _PACKED.fullmatch(file.name)):
                name = os.fsencode(file.relative_to(place.parent).as_posix())
                found.update(len(name).to_bytes(4) + name + bytes.fromhex(checksum(file)))
    return found.hexdigest()


def _pack_split(files: Files, split: str, source: Source, shard_bytes: int, bar: Bar) -> list[dict[str, Any]]:
    """What the index says of every shard of a split, which are written where they are not there."""
    shards: list[dict[str, Any]] = []
    first = 0
    with ThreadPoolExecutor() as pool:
        while first < len(source):
            file = f"{split}-{len(shards):05d}.zip"
            shard = _read(files, _note_of(file))
            if shard is None:
                shard = _pack_shard(files, file, _encoded(source, first, pool), first, shard_bytes, bar)
                _write(files, _note_of(file), shard)
            else:
                bar.advance(len(shard["offsets"]) - 1)
            shards.append(shard)
            first += len(shard["offsets"]) - 1
    return shards


def _encoded(source: Source, first: int, pool: Executor) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Names and files of all records from that number on, some of them made ahead."""
    inner = checked(source).source
    name_of = getattr(inner, "name_of", lambda index: "")
    stored_jpeg = getattr(inner, "stored_jpeg", lambda index: None)

    def encode(index: int) -> tuple[str, dict[str, bytes]]:
        return name_of(index), encoded(source[index], stored_jpeg(index))

    for start in range(first, len(source), _AT_ONCE):
        yield from pool.map(encode, range(start, min(start + _AT_ONCE, len(source))))


def _pack_shard(
    files: Files, file: str, records: Iterator[tuple[str, dict[str, bytes]]], first: int, shard_bytes: int, bar: Bar
) -> dict[str, Any]:
    names = []
    with tempfile.TemporaryDirectory(prefix="segjax-pack-") as aside:
        path = Path(aside, file)
        writer = ShardWriter(path)
        for number, (name, members) in enumerate(records, first):
            writer.add(number, members)
            names.append(name)
            bar.advance()
            if writer.size >= shard_bytes:
                break
        offsets = writer.close()
        files.write(file, path)
        size, digest = path.stat().st_size, checksum(path)
    return Shard(file, size, digest, offsets, tuple(names) if any(names) else ())._asdict()


def _note_of(file: str) -> str:
    """Where it is noted that a shard is whole, until the index says it."""
    return f"{file}.json"


def _read(files: Files, name: str) -> dict[str, Any] | None:
    try:
        return json.loads(files.read(name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise DataError(f"{files.root}/{name} is damaged: delete it and run again.") from None


def _write(files: Files, name: str, content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside, name)
        path.write_text(as_json(content), "utf-8")
        files.write(name, path)
