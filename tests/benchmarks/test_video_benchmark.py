import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.video import HEIGHT, WIDTH, make_video, measured


def test_the_video_moves_over_the_picture_one_pixel_a_frame(tmp_path: Path):
    picture = np.zeros((2700, 5400, 3), np.uint8)
    picture[:, 2800:] = 255
    make_video(tmp_path / "deeper" / "earth.mp4", picture, 12)
    reader, frames = cv2.VideoCapture(str(tmp_path / "deeper" / "earth.mp4")), []
    while (read := reader.read())[0]:
        frames.append(read[1])
    assert [frame.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 12
    assert reader.get(cv2.CAP_PROP_FPS) == 25
    for number, frame in enumerate(frames):
        assert (frame[95, :, 0] > 127).argmax() == 100 - number


def test_the_peak_memory_is_that_of_the_process_alone():
    def peak(mebibytes: int) -> float:
        code = f"import sys; x = b'x' * ({mebibytes} << 20); print('done', file=sys.stderr)"
        found = measured([sys.executable, "-c", code])
        assert found.said == "done\n"
        return found.peak

    least = int(measured([sys.executable, "-c", ""]).peak)  # with what this process has
    assert peak(least + 100) == pytest.approx(least + 110, abs=20)
    assert peak(least + 300) == pytest.approx(least + 310, abs=20)
    with pytest.raises(SystemExit, match="nothing of this name"):
        measured([sys.executable, "-c", "raise SystemExit('nothing of this name')"])
