"""Objects that keep a number from one frame of a video to the next."""

from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64

from segjax.errors import InferenceError
from segjax.ops.boxes import Detections

LEAST_TRACKED = 0.1
"""The score from which a box goes on with a track that no better one goes on with (Zhang et al. 2022)."""


class Tracks:
    """Numbers for objects by ByteTrack (Zhang et al. 2022), of the library `trackers`: `pip install 'segjax[track]'`.

    Objects of each class are followed by themselves. A track begins where two frames in a row have a box of the score
    `least` or better in about the same place, and ends when a second has gone without one.

    Args:
        rate: frames a second.
        least: the score from which a box begins a track; lower ones, of `LEAST_TRACKED` or better, go on with one.

    Raises:
        InferenceError: the library is not installed.
    """

    def __init__(self, rate: float, least: float) -> None:
        try:
            import trackers
        except ModuleNotFoundError as error:
            raise InferenceError(f"--track needs {error.name}: `pip install 'segjax[track]'`.") from error
        make = partial(
            trackers.ByteTrackTracker,
            frame_rate=rate,
            track_activation_threshold=least,
            high_conf_det_threshold=least,
        )
        self._of_class: defaultdict[int, Any] = defaultdict(make)
        self._numbers: dict[tuple[int, int], int] = {}

    def follow(self, found: Detections) -> Int64[np.ndarray, " d"]:
        """The number, from 1, of each object of the next frame; 0 where it belongs to no track, or not yet.

        `found` is without the axis of images.
        """
        import supervision

        numbers = np.zeros(len(found.labels), np.int64)
        corners = np.concatenate([found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]], axis=1)
        for label in self._of_class.keys() | set(np.asarray(found.labels).tolist()):
            mine = np.flatnonzero(np.asarray(found.labels) == label)
            known = self._of_class[label].update(
                supervision.Detections(
                    corners[mine].reshape(-1, 4), confidence=np.asarray(found.scores)[mine], data={"place": mine}
                )
            )
            for place, track in zip(known.data.get("place", ()), known.tracker_id, strict=True):
                if track >= 0:
                    numbers[place] = self._numbers.setdefault((label, int(track)), len(self._numbers) + 1)
        return numbers
