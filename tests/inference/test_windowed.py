from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
import zarr
from PIL import Image
from rasterio.transform import from_origin

from segjax.data.formats import scenes
from segjax.data.formats.bands import Bands
from segjax.inference import Tiling, predict, predict_mask_files, windowed

NAMES = ("dark", "bright", "green")
PALETTE = ((0, 0, 0), (255, 255, 255), (0, 255, 0))


class Thirds(nn.Module):
    """A class by the first band and one by the last, with sigmoids or a softmax."""

    @nn.compact
    def __call__(self, image, *, train):
        first, last = image[..., 0] / 100 - 1, image[..., -1] / 100 - 1
        return jnp.stack([-first, first, last], axis=-1)


@pytest.mark.parametrize("thresholds", [None, (0.501, 0.501, 0.701)])
def test_what_is_written_by_windows_is_what_the_whole_image_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thresholds: tuple[float, ...] | None
):
    monkeypatch.setattr(scenes, "LARGE", 1000)
    monkeypatch.setattr(windowed, "LONGEST", 200)
    image = np.random.default_rng(0).integers(1, 200, (300, 500, 4)).astype(np.uint8)
    image[:50, :50] = 0
    place = from_origin(5e5, 5e6, 10, 10)
    with rasterio.open(
        tmp_path / "a.tif", "w", height=300, width=500, count=4, dtype="uint8", nodata=0, crs="EPSG:32633",
        transform=place, tiled=True, blockxsize=64, blockysize=64, photometric="minisblack", alpha="no",
    ) as file:  # fmt: skip
        file.write(np.moveaxis(image, -1, 0))
    zarr.create_array(tmp_path / "b.zarr", data=image, chunks=(64, 64, 4))
    summary = predict_mask_files(
        Thirds(), {}, [tmp_path], tmp_path / "out", class_names=NAMES, palette=PALETTE, tiling=Tiling(192, 0),
        probabilities="npy", bands=Bands("uint8", 4), thresholds=thresholds,
    )  # fmt: skip
    assert (len(summary.done), summary.failed) == (2, ())
    whole = predict(Thirds(), {}, image, activation="softmax" if thresholds is None else "sigmoid")
    gone = np.zeros((300, 500), bool)
    gone[:50, :50] = True
    for name, missing in (("a", gone), ("b", np.zeros_like(gone))):
        masks = whole.argmax(-1)[None] if thresholds is None else np.moveaxis(whole >= thresholds, -1, 0)
        endings = [""] if thresholds is None else [f"_mask_{number}_{label}" for number, label in enumerate(NAMES)]
        for ending, mask in zip(endings, masks, strict=True):
            with rasterio.open(tmp_path / "out" / f"{name}{ending}.tif") as file:
                np.testing.assert_array_equal(file.read(1), np.where(missing, 255, mask))
                assert name == "b" or (file.crs.to_epsg(), file.transform, file.nodata) == (32633, place, 255)
        with rasterio.open(tmp_path / "out" / f"{name}_probabilities.tif") as file:
            shares = np.moveaxis(file.read(), 0, -1)
            assert file.descriptions == NAMES
        np.testing.assert_allclose(shares[~missing], whole[~missing], atol=1e-5)
        assert np.isnan(shares[missing]).all()
        with Image.open(tmp_path / "out" / f"{name}_overlay.png") as overlay:
            assert overlay.width >= 500 / 3
