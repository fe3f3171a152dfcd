"""Any segmentation set of TensorFlow Datasets by its name, prepared and read without TensorFlow."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import UInt

from segjax.data.dataset import Dataset
from segjax.data.formats.classes import Colour, voc_palette
from segjax.data.formats.held_out import VAL_SHARE, say_once
from segjax.data.formats.images import read_image
from segjax.data.formats.mask_files import read_mask
from segjax.data.record import Record, refuse_unknown_split
from segjax.errors import DataError, counted
from segjax.mask_numbers import ignored, ignored_in, mask_type


class Examples(Protocol):
    """What is encoded still, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def tfds_dataset(
    name: str,
    class_names: Sequence[str],
    *,
    labels: Sequence[int] | None = None,
    palette: Sequence[Colour] | None = None,
    image_key: str | None = None,
    mask_key: str | None = None,
    train: str = "train",
    test: str = "test",
    val: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Make a data set of one in TensorFlow Datasets; the first `open` downloads and prepares it where it is missing.

    Args:
        name: as `tfds.builder` takes it, with config and version where there are several: "coco/2017_panoptic".
        class_names: of the classes, in the order of their numbers.
        labels: the mask value of each class, where it is not its number; every other value is ignored then.
        palette: the colours that classes are drawn in.
        image_key: the feature that holds the image; by default the only one with three channels.
        mask_key: the feature that holds the mask; by default the only one with one channel.
        train: the split to train on, in the notation of TFDS: "train[:80%]".
        test: the split to score at the end.
        val: the split to score while training; by default "validation" where there is one that does not test, or else
            the last tenth of what trains.
        data_dir: where TFDS keeps its sets; by default `TFDS_DATA_DIR`, or tensorflow_datasets in the home folder.
        download: False refuses what is not prepared yet.

    Raises:
        DataError: on opening: there is no such set or feature, it cannot be had, or only TensorFlow can prepare it.
    """
    levels = None
    if labels is not None:
        if len(labels) != len(class_names):
            raise ValueError(f"{name} has {len(class_names)} class names and {len(labels)} labels: give one for each.")
        count = len(labels)
        levels = np.full(256 if max(labels) < 256 else 65536, ignored(count), mask_type(count))
        levels[list(labels)] = np.arange(count)

    def open_split(split: str) -> TfdsSource:
        refuse_unknown_split(name, split)
        builder = open_builder(name, data_dir)
        image = choose_image(builder, image_key, "image", 3)
        mask = choose_image(builder, mask_key, "mask", 1)
        prepare(builder, download)
        examples = read_split(builder, split, train, val, test)
        return TfdsSource(examples, name, image, mask, len(class_names), levels)

    colours = tuple(palette) if palette else voc_palette(len(class_names))
    return Dataset(name, tuple(class_names), colours, open_split)


@dataclass(frozen=True)
class TfdsSource:
    """Examples of a prepared set, decoded when they are asked for."""

    worth_keeping: ClassVar[bool] = True
    examples: Examples
    """With images still encoded: one reader knows every file there is."""
    name: str
    image_key: str
    mask_key: str
    num_classes: int
    levels: UInt[np.ndarray, " n"] | None
    """The class of every mask value, where it is not that value itself."""

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.examples)

    def stored_jpeg(self, index: int) -> bytes:
        """The file of an image, which may be no JPEG."""
        return self.examples[index][self.image_key]

    def __getitem__(self, index: int) -> Record:
        """Decode one example.

        Raises:
            DataError: its image or mask is damaged, the two differ in size, or a label has no class.
        """
        index = range(len(self))[index]  # counts from the end below zero, and ends a loop with IndexError
        example = self.examples[index]
        name = f"{self.name} example {index}"
        image = read_image(f"{name} ({self.image_key})", data=example[self.image_key])
        what, data = f"{name} ({self.mask_key})", example[self.mask_key]
        mask = read_mask(what, num_classes=self.num_classes, levels=self.levels, data=data)
        if image.shape[:2] != mask.shape:
            raise DataError(f"{name} has an image of {image.shape[:2]} and a mask of {mask.shape}: choose other keys.")
        strange = mask[(mask >= self.num_classes) & (mask != ignored_in(mask))]
        if strange.size:
            raise DataError(
                f"{name} has the label {strange[0]} and only {self.num_classes} classes have names: name them all, or "
                "say with `labels` which values count."
            )
        return {"image": image, "mask": mask}


def open_builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    """The builder of a set, as `tfds.builder`.

    Raises:
        DataError: there is none, or it needs a package that is missing.
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise DataError(f"TensorFlow Datasets has no set '{name}': `tfds.list_builders()` has all names.") from None
    except Exception as error:
        _refuse_missing_package(name, error)
        raise DataError(f"TensorFlow Datasets cannot open '{name}' ({_line(error)}): mend the name.") from error


def image_features(builder: Any) -> dict[str, Any]:
    """The features that are images or masks, by name."""
    import tensorflow_datasets as tfds

    return {key: feature for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)}


def choose_image(builder: Any, key: str | None, what: str, channels: int) -> str:
    """The image feature of that name, or the only one of so many channels.

    Raises:
        DataError: there is none of that name, or several may be meant.
    """
    images = image_features(builder)
    shapes = ", ".join(f"'{key}' {feature.shape}" for key, feature in images.items()) or "none"
    if key in images:
        return key
    if key is not None:
        raise DataError(f"{builder.name} has no image feature '{key}': choose of {shapes}.")
    fitting = [key for key, feature in images.items() if feature.shape[-1] == channels]
    if len(fitting) != 1:
        raise DataError(
            f"{builder.name} has {len(fitting)} image features of {channels} channels that may be the {what}: say "
            f"which with image_key and mask_key (there are: {shapes}), or choose a set for segmentation."
        )
    return fitting[0]


def prepare(builder: Any, download: bool) -> None:
    """Download and prepare a set where that was not done yet.

    Raises:
        DataError: it fails, or may not be done.
    """
    import tensorflow_datasets as tfds

    if builder.is_prepared():
        return
    if not download:
        raise DataError(f"{builder.name} is not prepared in {builder.data_path}: open it once with `download=True`.")
    try:
        with _without_tensorflow(builder):
            builder.download_and_prepare(
                file_format="array_record", download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except Exception as error:
        _refuse_missing_package(builder.name, error)
        raise DataError(
            f"{builder.name} could not be prepared ({_line(error)}): check network and disk and run again, or lay its "
            f"archives in {builder.data_dir_root / 'downloads' / 'manual'}."
        ) from error


def read_split(builder: Any, split: str, train: str, val: str | None, test: str) -> Examples:
    """The examples of one of our splits, from TFDS's; validation is cut from training where nothing else is for it.

    Raises:
        DataError: They cannot be read, or there is a single one to train on.
    """
    if val is None and "validation" in builder.info.splits and not test.startswith("validation"):
        val = "validation"
    if split == "test" or (split == "val" and val):
        return read_examples(builder, test if split == "test" else val or "")
    examples = read_examples(builder, train)
    if val or (split == "train" and len(examples) == 1):
        return examples
    # TFDS writes most sets in an order of its own, so that the last ones are any; of others, neighbours stay together.
    count = len(examples)
    if count < 2:
        raise DataError(
            f"{builder.name} has {counted(count, 'example')} in '{train}': training and validation need one each."
        )
    held = max(1, round(VAL_SHARE * count))
    say_once(f"{builder.name} has no split for validation: the last {held} of the {count} that train are.")
    return _Part(examples, range(count - held) if split == "train" else range(count - held, count))


@dataclass(frozen=True)
class _Part:
    """Some of the examples of a split."""

    examples: Examples
    places: range

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        return self.examples[self.places[index]]


def read_examples(builder: Any, split: str) -> Examples:
    """The examples of a split with images still encoded.

    Raises:
        DataError: they cannot be read.
    """
    import tensorflow_datasets as tfds

    try:
        encoded = {key: tfds.decode.SkipDecoding() for key in image_features(builder)}
        return builder.as_data_source(split=split, decoders=encoded)
    except NotImplementedError:
        raise DataError(
            f"{builder.data_path} is stored in a format that only TensorFlow reads: convert it with "
            "`tfds convert_format`, or give another `data_dir` to prepare it again."
        ) from None
    except Exception as error:
        splits = ", ".join(builder.info.splits)
        raise DataError(
            f"The split '{split}' of {builder.name} cannot be read ({_line(error)}): it has {splits}."
        ) from error


@contextmanager
def _without_tensorflow(builder: Any) -> Iterator[None]:
    """Take needless uses of TensorFlow away: opening files, and mending images that segjax reads as they are.

    Archives are unpacked through `tf.io.gfile`, and the builder of WIDER FACE reads its lists through it; the pets'
    builder re-encodes a dozen files that are not the JPEG which their name says.
    """
    from tensorflow_datasets.core.download import extractor

    files = SimpleNamespace(compat=SimpleNamespace(as_text=str), io=SimpleNamespace(gfile=SimpleNamespace(GFile=open)))
    module = sys.modules[type(builder).__module__]
    replacements = [(extractor, "tf", files), (module, "_CORRUPT_SAMPLES", ())]
    if builder.name == "wider_face":
        replacements.append((module, "tf", files))
    replacements = [(owner, name, value) for owner, name, value in replacements if name in vars(owner)]
    kept = [(owner, name, vars(owner)[name]) for owner, name, _ in replacements]
    for owner, name, value in replacements:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def _refuse_missing_package(name: str, error: Exception) -> None:
    """Say which package the builder of a set asks for, mostly TensorFlow: TFDS hides that in errors of any type."""
    if missing := re.search(r"No module named '([\w.]+)'", str(error)):
        raise DataError(
            f"The builder of {name} needs {missing[1]}, which segjax does without: where that is installed, run "
            f"`tfds build {name} --file_format=array_record`, and give the folder that it fills as `data_dir`."
        ) from error


def _line(error: Exception) -> str:
    """Take the last line of a message: TFDS puts what it was doing before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
