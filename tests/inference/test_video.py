from pathlib import Path

import cv2
import numpy as np
import pytest

from segjax.data.formats.bands import Bands
from segjax.errors import DataError
from segjax.inference import InferenceError, predict_video
from segjax.inference.video import seen

HEIGHT, WIDTH, FRAMES = 31, 48, 6


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Grey frames, each brighter than the one before."""
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT + 1))
    for number in range(FRAMES):
        writer.write(np.full((HEIGHT + 1, WIDTH, 3), 30 * number, np.uint8))
    writer.release()
    return path


def frames(path: Path) -> list[np.ndarray]:
    reader, found = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        found.append(read[1][..., ::-1])
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mov"])
def test_every_frame_comes_out_changed_in_its_order(video: Path, tmp_path: Path, suffix: str):
    def red(frame):
        changed = frame[:HEIGHT].copy()  # an odd height, which codecs would cut
        changed[..., 0] = 255
        return changed

    out = tmp_path / "deeper" / f"out{suffix}"
    summary = predict_video(red, video, out)
    assert summary.frames == FRAMES
    assert summary.frames_per_second > 0
    found = frames(out)
    assert [frame.shape for frame in found] == [(HEIGHT + 1, WIDTH, 3)] * FRAMES
    for number, frame in enumerate(found):
        np.testing.assert_allclose(frame.mean((0, 1)), [255, 30 * number, 30 * number], atol=14)
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.1)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_frames_are_seen_in_the_bands_of_the_set():
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert seen(frame, None, Path("in.avi")) is frame
    np.testing.assert_array_equal(seen(frame, Bands(chosen=(3, 2, 1)), Path("in.avi")), frame[..., ::-1])
    with pytest.raises(DataError, match=r"in\.avi has uint8 where the images of the set have uint16"):
        seen(frame, Bands("uint16"), Path("in.avi"))


@pytest.mark.parametrize(
    ("name", "out", "sentence"),
    [
        ("in.avi", "out.gif", r"out\.gif is no video: end it in \.mp4, \.mov, \.mkv, \.avi\."),
        ("nowhere.avi", "out.mp4", r"nowhere\.avi is not there: check the name\."),
        ("in.avi", "in.avi", r"is the video to read and would be overwritten"),
        ("text.mp4", "out.mp4", r"text\.mp4 has no frame that can be read: it is no video, or damaged"),
        (".", "out.mp4", r" is a folder: name one video file\."),
        ("in.avi", "text.mp4/out.mp4", r"text\.mp4/out\.mp4 cannot be written \(File exists\): give another --out\."),
    ],
)
def test_what_cannot_be_read_or_written_gets_one_sentence(
    video: Path, tmp_path: Path, name: str, out: str, sentence: str
):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InferenceError, match=sentence):
        predict_video(lambda frame: frame, tmp_path / name, tmp_path / out)


@pytest.mark.parametrize("length", [9, 40])
def test_a_video_that_breaks_off_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str], length: int):
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, WIDTH))
    for _ in range(length):
        writer.write(np.random.default_rng(0).integers(0, 256, (WIDTH, WIDTH, 3), np.uint8))  # larger than the header
    writer.release()
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    for video, said in ((whole, False), (cut, True)):
        summary = predict_video(lambda frame: frame, video, tmp_path / "out.mp4")
        sentence = f"{video} should have {length} frames and {summary.frames} can be read: it is damaged or cut short"
        assert (sentence in capfd.readouterr().err) is said
        assert (summary.frames < 0.75 * length) is said


def test_a_frame_that_fails_leaves_nothing_behind(video: Path, tmp_path: Path):
    def fail(frame):
        if frame.mean() > 80:
            raise ValueError("too bright")
        return frame

    with pytest.raises(ValueError, match="too bright"):
        predict_video(fail, video, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.avi"]


def test_a_disk_without_room_leaves_what_was_there(video: Path, tmp_path: Path):
    out = tmp_path / "out.mp4"
    resource = pytest.importorskip("resource")
    out.write_text("from before")
    own = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, own[1]))
    try:
        with pytest.raises(InferenceError, match=r"out\.mp4 cannot be written \(File too large\)"):
            predict_video(lambda frame: frame, video, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, own)
    assert out.read_text() == "from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.avi", "out.mp4"]
