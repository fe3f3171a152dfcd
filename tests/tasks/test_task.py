"""What the predictions of every task have in common."""

import dataclasses
from pathlib import Path

import cv2
import flax.linen as nn
import numpy as np
import pytest
from box_records import DATA

from segjax import tasks
from segjax.data.formats.bands import Bands
from segjax.errors import DataError
from segjax.tasks import Options


class Nothing(nn.Module):
    """A model that is never asked."""


@pytest.mark.parametrize("name", ["Segmentation", "SigmoidSegmentation", "Localization", "Detection", "MultiTask"])
def test_frames_without_the_bands_of_the_set_are_refused(name: str, tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    writer.write(np.zeros((40, 60, 3), np.uint8))
    writer.release()
    task = getattr(tasks, name)(dataclasses.replace(DATA, bands=Bands(chosen=(4, 3, 2))))
    with pytest.raises(DataError, match=r"in\.avi has 3 bands, and band 4 is asked for"):
        task.predictions.write_video(Nothing(), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options())
