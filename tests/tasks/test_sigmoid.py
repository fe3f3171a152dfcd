"""The task of labels that may overlap, and of one logit: scores, thresholds, what is drawn and written."""

from pathlib import Path
from typing import Any

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from segjax.data import Dataset
from segjax.data.formats.mask_files import read_mask
from segjax.errors import ExperimentError
from segjax.inference import Tiling
from segjax.tasks import Options, SigmoidSegmentation

LABELS = Dataset("labels", ("bright", "right"), ((250, 200, 0), (0, 90, 250)), lambda split: [], multilabel=True)
TWO = Dataset("two", ("dark", "bright"), ((20, 20, 20), (250, 250, 0)), lambda split: [])


class Levels(nn.Module):
    """Logits are what a band of the image is above a level."""

    labels: int

    @nn.compact
    def __call__(self, image, *, train: bool):
        return (jnp.asarray(image, jnp.float32)[..., : self.labels] - 128) / 16


def image(height: int = 200, width: int = 300) -> np.ndarray:
    """The first band is bright below, the second to the right; the third is nothing."""
    pixels = np.full((height, width, 3), 96, np.uint8)
    pixels[height // 2 :, :, 0] = 136
    pixels[:, width // 2 :, 1] = 160
    return pixels


def truth(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., :2] > 128).astype(np.uint8)


def measured(task: SigmoidSegmentation, labels: int, mask: np.ndarray) -> np.ndarray:
    pixels = np.stack([image(40, 60)] * len(mask))
    batch: Any = {"image": pixels, "mask": jnp.asarray(mask)}
    return np.asarray(jax.jit(lambda: task.measure(Levels(labels).apply({}, pixels, train=False), batch))())


def test_scores_are_of_the_set_and_of_every_image_at_thresholds_that_were_chosen():
    task = SigmoidSegmentation(LABELS)
    mask = np.stack([truth(image(40, 60))] * 2)
    mask[0, :10, :, 0] = 1  # half of the label is not bright
    mask[1, ..., 1] = 255
    scores = task.scores([measured(task, 2, mask[:1]), measured(task, 2, mask[1:])])
    # 30 rows of 40, of which 20 are found; 20 rows, all found.
    assert scores["iou"] == {"bright": pytest.approx((1200 + 1200) / (1800 + 1200)), "right": 1.0}
    assert scores["dice"]["bright"] == pytest.approx(2 * 2400 / (2400 + 3000))
    assert scores["precision"] == {"bright": 1.0, "right": 1.0}
    assert scores["recall"]["bright"] == pytest.approx(2400 / 3000)
    assert scores["image_iou"] == {"bright": pytest.approx((2 / 3 + 1) / 2), "right": 1.0}  # one image has no "right"
    assert scores["miou"] == pytest.approx((0.8 + 1) / 2)
    # sigmoid(-2), sigmoid(0.5) and sigmoid(2): the first is best called no, and no threshold between is better.
    assert 0.12 < scores["threshold"]["bright"] <= 0.62
    with pytest.raises(ExperimentError, match=r"last axis of the model's logits is 3, and it must be 2"):
        measured(task, 3, mask)
    decided = task.decided({"threshold": {"bright": 0.75, "right": 0.5}})
    after = decided.scores([measured(decided, 2, mask)])
    assert after["threshold"] == {"bright": 0.75, "right": 0.5}
    assert after["recall"] == {"bright": 0.0, "right": 1.0}
    assert after["precision"]["bright"] is None


def test_one_logit_scores_the_second_class():
    task = SigmoidSegmentation(TWO)
    mask = truth(image(40, 60))[None, ..., 0]
    mask[0, 0] = 255
    mask[0, 1] = 1  # missed
    batch: Any = {"mask": mask}
    np.testing.assert_array_equal(task.targets(batch), mask)
    counts = measured(task, 1, mask)
    assert counts.sum() == 39 * 60
    scores = task.scores([counts])
    assert scores["iou"] == {"bright": pytest.approx(1200 / 1260)}
    assert task.summary(counts.sum(0)) == {"miou": pytest.approx(1200 / 1260)}
    with pytest.raises(
        ExperimentError, match="has 3 classes of which every pixel has one: losses of a sigmoid are for"
    ):
        SigmoidSegmentation(Dataset("three", ("a", "b", "c"), ((0, 0, 0),) * 3, lambda split: []))


def test_a_mask_is_written_for_each_label_and_reads_as_it_was_predicted(tmp_path: Path):
    pixels = image()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    task = SigmoidSegmentation(LABELS).decided({"threshold": {"bright": 0.5, "right": 0.9}})
    options = Options(Tiling(tile=192, margin=0), probabilities="npy")
    summary = task.predictions.write_files(Levels(2), {}, [tmp_path / "a.png"], tmp_path / "out", options)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a_mask_0_bright.png", "a_mask_1_right.png", "a_overlay.png", "a_probabilities.npy"}
    assert summary.done == (tmp_path / "out" / "a_mask_0_bright.png",)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a_mask_0_bright.png"), truth(pixels)[..., 0])
    assert not read_mask(tmp_path / "out" / "a_mask_1_right.png").any()  # sigmoid(2) is 0.88
    shares = np.load(tmp_path / "out" / "a_probabilities.npy")
    np.testing.assert_allclose(shares, 1 / (1 + np.exp(-(pixels[..., :2] - 128.0) / 16)), atol=1e-5)

    task = SigmoidSegmentation(LABELS)
    task.predictions.write_files(Levels(2), {}, [tmp_path / "a.png"], tmp_path / "both", Options(probabilities="png"))
    overlay = np.array(Image.open(tmp_path / "both" / "a_overlay.png"))
    corner = {tuple(colour) for colour in overlay[120:180, 180:280].reshape(-1, 3).tolist()}
    seen = [tuple(np.round(0.55 * pixels[150, 200] + 0.45 * np.array(colour)).astype(int)) for colour in LABELS.palette]
    assert all(min(np.abs(np.subtract(one, colour)).max() for colour in corner) <= 1 for one in seen)  # stripes of both
    share = np.array(Image.open(tmp_path / "both" / "a_1_right.png"))
    assert share[0, 299] == round(65535 / (1 + np.exp(-2)))


def test_where_an_image_has_no_data_no_label_is_known(tmp_path: Path):
    pixels = image(20, 30).astype(np.float32)
    pixels[:5] = np.nan
    np.save(tmp_path / "a.npy", pixels)
    task = SigmoidSegmentation(LABELS)
    task.predictions.write_files(Levels(2), {}, [tmp_path / "a.npy"], tmp_path / "out", Options(probabilities="npy"))
    for number, name in enumerate(LABELS.class_names):
        mask = np.array(Image.open(tmp_path / "out" / f"a_mask_{number}_{name}.png"))
        assert (mask[:5] == 255).all()
        np.testing.assert_array_equal(mask[5:], truth(image(20, 30))[5:, :, number])
    assert np.isnan(np.load(tmp_path / "out" / "a_probabilities.npy")[:5]).all()


def test_one_logit_gives_one_mask_and_shares_of_both_classes(tmp_path: Path):
    pixels = image()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for threshold, there in ((0.5, 1), (0.75, 0)):
        task = SigmoidSegmentation(TWO).decided({"threshold": {"bright": threshold}})
        task.predictions.write_files(
            Levels(1), {}, [tmp_path / "a.png"], tmp_path / "out", Options(probabilities="npy")
        )
        np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a.png"), there * truth(pixels)[..., 0])
    shares = np.load(tmp_path / "out" / "a_probabilities.npy")
    assert shares.shape == (200, 300, 2)
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-6)


def test_records_are_drawn_and_frames_tinted(tmp_path: Path):
    pixels = image(40, 60)
    for task, labels, mask in (
        (SigmoidSegmentation(LABELS), 2, truth(pixels)),
        (SigmoidSegmentation(TWO), 1, truth(pixels)[..., 0]),
    ):
        records: Any = [{"image": pixels, "mask": mask}]
        task.draw_predictions(tmp_path, Levels(labels), {}, records)
        assert (tmp_path / "predictions.png").stat().st_size > 5000
        (tmp_path / "predictions.png").unlink()
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    writer.write(pixels[..., ::-1])
    writer.release()
    task = SigmoidSegmentation(LABELS)
    assert task.predictions.write_video(Levels(2), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options()).frames == 1
