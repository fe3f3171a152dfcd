# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false
"""Objects that keep their numbers over the frames of a drawn video."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from box_records import DATA
from read_off import Marked

from segjax.inference import InferenceError
from segjax.inference.tracks import Tracks
from segjax.inference.video import frame_rate
from segjax.ops.boxes import Detections
from segjax.tasks import Options
from segjax.tasks.boxes import BoxPredictions

pytest.importorskip("trackers", reason="the extra track is not installed")
FRAMES = 40


def crossing(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of two squares of 20 pixels on their ways through each other, and one that stands; and their scores."""
    there, back = (5 + 4 * frame, 50 + frame), (165 - 4 * frame, 54 + frame)
    lower = 0.2 if 15 <= frame < 20 else 0.9  # one is hard to see for a while
    return np.array([(*there, 20, 20), (*back, 20, 20), (100, 5, 30, 30)], np.float32), np.array([0.9, lower, 0.8])


def found_at(frame: int, order: np.ndarray) -> Detections:
    boxes, scores = crossing(frame)
    return Detections(boxes[order], np.zeros(3, int), scores[order], scores[order, None])


def test_squares_that_cross_keep_their_numbers():
    tracks, rng = Tracks(25, 0.5), np.random.default_rng(0)
    seen: list[dict[int, int]] = []
    for frame in range(FRAMES):
        order = rng.permutation(3)
        numbers = tracks.follow(found_at(frame, order))
        seen.append(dict(zip(order.tolist(), numbers.tolist(), strict=True)))
    assert all(set(numbers.values()) == {1, 2, 3} for numbers in seen[2:])
    assert all(numbers == seen[2] for numbers in seen[2:])


def test_a_class_has_its_own_tracks_and_an_empty_frame_none():
    tracks = Tracks(25, 0.5)
    boxes, scores = crossing(0)
    labels = np.array([0, 1, 0])
    for _ in range(3):
        tracks.follow(Detections(boxes, labels, scores, scores[:, None]))
    labels[2] = 1  # another thing in the same place
    numbers = tracks.follow(Detections(boxes, labels, scores, scores[:, None]))
    assert len(set(numbers[:2].tolist())) == 2
    assert numbers[2] == 0
    nothing = Detections(boxes[:0], np.zeros(0, int), scores[:0], scores[:0, None])
    assert tracks.follow(nothing).tolist() == []
    again = tracks.follow(Detections(boxes[:2], np.array([0, 1]), scores[:2], scores[:2, None]))
    assert again.tolist() == numbers[:2].tolist()


def test_a_video_has_its_tracks_drawn_and_written(tmp_path: Path):
    """`Marked` reads a red pixel as an object's centre; the codec keeps no pixel, so blocks of 8 stand for one."""

    class Blocks(Marked):
        def __call__(self, image, *, train: bool):
            found = super().__call__(image[:, ::8, ::8], train=train)
            return found.replace(size=0 * found.size + 2.5, attributes=None, stride=8)

    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 12, (192, 96))
    for frame in range(16):
        cells = np.zeros((12, 24, 3), np.uint8)
        cells[3, 3 + frame] = cells[8, 20 - frame] = (0, 0, 180)  # of class 0, in OpenCV's order
        writer.write(cells.repeat(8, 0).repeat(8, 1))
    writer.release()
    assert frame_rate(tmp_path / "in.avi") == pytest.approx(12, abs=0.1)
    predictions = BoxPredictions(DATA, size=None, max_boxes=10)
    predictions.write_video(Blocks(), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options(score=0.5, track=True))
    written = json.loads((tmp_path / "out_boxes.json").read_text())
    assert [image["frame_index"] for image in written["images"]] == list(range(16))
    by_frame = [[] for _ in range(16)]
    for one in written["annotations"]:
        by_frame[one["image_id"] - 1].append((one["bbox"][1] > 40, one.get("track_id")))
    assert all(len(rows) == 2 for rows in by_frame)
    assert all(sorted(rows) == sorted(by_frame[4]) for rows in by_frame[4:])
    assert {number for _, number in by_frame[4]} == {1, 2}
    predictions.write_video(Blocks(), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options(score=0.5))
    plain = json.loads((tmp_path / "out_boxes.json").read_text())
    assert not any("track_id" in one for one in plain["annotations"])


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    with pytest.raises(InferenceError, match=r"--track needs trackers: `pip install 'segjax\[track\]'`"):
        Tracks(25, 0.5)
