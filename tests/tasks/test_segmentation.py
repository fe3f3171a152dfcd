"""The task of masks: its scores, what is drawn, and what is written of an image and of a video."""

from pathlib import Path
from typing import Any

import cv2
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from segjax.data import Dataset
from segjax.errors import ExperimentError
from segjax.inference import Tiling
from segjax.tasks import Options, Segmentation, masks

DATA = Dataset("two", ("dark", "bright", "never"), ((20, 20, 20), (250, 250, 0), (0, 0, 250)), lambda split: [])


class Threshold(nn.Module):
    """Bright pixels are of the second class."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        red = jnp.asarray(image, jnp.float32)[..., 0] - 127.5
        return jnp.stack([-red, red, jnp.full_like(red, -1e3)], -1)


def halves(height: int = 40, width: int = 60) -> np.ndarray:
    image = np.full((height, width, 3), 30, np.uint8)
    image[:, width // 2 :] = 220
    return image


def test_scores_are_of_counted_pixels_and_undefined_where_a_class_never_occurs():
    task = Segmentation(DATA)
    image = halves()
    mask = (image[..., 0] > 127).astype(np.uint8)
    mask[0] = 255
    mask[1, :6] = 1  # wrong in six pixels
    batch: Any = {"image": image[None], "mask": mask[None]}
    logits: Any = Threshold().apply({}, batch["image"], train=False)
    measured = np.asarray(task.measure(logits, batch))
    assert measured.sum() == 39 * 60
    scores = task.scores([measured])
    assert scores["pixel_accuracy"] == pytest.approx(1 - 6 / (39 * 60))
    assert scores["iou"] == {"dark": pytest.approx(1164 / 1170), "bright": pytest.approx(1170 / 1176), "never": None}
    np.testing.assert_array_equal(task.count((logits, logits), batch), measured)  # deep supervision counts the first
    with pytest.raises(ExperimentError, match=r"last axis of the model's logits is 2, and it must be 3"):
        task.count(logits[..., :2], batch)  # which would never find the third


def test_a_few_records_are_drawn(monkeypatch: pytest.MonkeyPatch):
    records: Any = [{"image": halves(), "mask": np.full((40, 60), number, np.uint8)} for number in range(9)]
    seen: list[Any] = []
    monkeypatch.setattr(masks, "draw_mask_grid", lambda folder, examples, *names: seen.extend(examples))
    Segmentation(DATA).draw_predictions(Path(), Threshold(), {}, records)
    assert [example.truth[0, 0] for example in seen] == [0, 2, 3, 5, 6, 8]
    np.testing.assert_array_equal(seen[0].prediction, halves()[..., 0] > 127)


def test_files_and_frames_are_predicted_in_tiles(tmp_path: Path):
    task, options = Segmentation(DATA), Options(Tiling(tile=192, margin=0), probabilities="npy")
    image = halves(200, 300)
    Image.fromarray(image).save(tmp_path / "a.png")
    summary = task.predictions.write_files(Threshold(), {}, [tmp_path / "a.png"], tmp_path / "out", options)
    assert summary.done == (tmp_path / "out" / "a.png",)
    with Image.open(summary.done[0]) as mask:
        np.testing.assert_array_equal(np.array(mask), image[..., 0] > 127)
    assert np.load(tmp_path / "out" / "a_probabilities.npy").shape == (200, 300, 3)

    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (300, 200))
    for _ in range(2):
        writer.write(image)
    writer.release()
    video = task.predictions.write_video(
        Threshold(), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options(options.tiling)
    )
    assert video.frames == 2
    _, frame = cv2.VideoCapture(str(tmp_path / "out.avi")).read()
    np.testing.assert_allclose(frame[100, 40, ::-1], [0.55 * 30 + 0.45 * 20] * 3, atol=8)
    np.testing.assert_allclose(frame[100, 260, ::-1], 0.55 * 220 + 0.45 * np.array([250, 250, 0]), atol=12)
