"""Options of a prediction, and what a task does with those that it does not take."""

import re
from pathlib import Path
from typing import Any

import flax.linen as nn
import pytest
from box_records import DATA

from segjax import tasks
from segjax.inference import InferenceError, Tiling
from segjax.tasks import Options

GIVEN: dict[str, dict[str, Any]] = {
    "--tile": {"tiling": Tiling(tile=256)},
    "--margin": {"tiling": Tiling(margin=8)},
    "--tta": {"tiling": Tiling(tta=("hflip",))},
    "--probabilities": {"probabilities": "npy"},
    "--score": {"score": 0.0},
    "--soft-nms": {"soft_nms": "linear"},
    "--track": {"track": True},
}
TAKEN = {
    "Segmentation": {"--tile", "--margin", "--tta", "--probabilities"},
    "SigmoidSegmentation": {"--tile", "--margin", "--tta", "--probabilities"},
    "Localization": {"--score", "--tta", "--track"},
    "Detection": {"--score", "--tta", "--soft-nms", "--track"},
    "MultiTask": {"--score", "--probabilities"},
}


def test_every_task_is_here():
    known = {name for name in tasks.__all__ if hasattr(getattr(tasks, name), "decided")} - {"Task"}
    assert known == TAKEN.keys()


class Nothing(nn.Module):
    """A model that is never asked."""


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("option", GIVEN)
def test_an_option_that_a_task_does_not_take_is_refused_in_one_sentence(name: str, option: str, tmp_path: Path):
    task, options, sentence = getattr(tasks, name)(DATA), Options(**GIVEN[option]), f"on two .*: leave {option} out."
    if option == "--track" and option in TAKEN[name]:
        pytest.importorskip("trackers", reason="the extra track is not installed")
    if option in TAKEN[name] and option != "--track":  # which images have no use for
        task.predictions.write_files(Nothing(), {}, [], tmp_path, options)
    else:
        with pytest.raises(InferenceError, match=sentence):
            task.predictions.write_files(Nothing(), {}, [], tmp_path, options)
    if option in TAKEN[name] and option != "--probabilities":  # which a video has none of
        sentence = "nowhere.avi is not there"
    with pytest.raises(InferenceError, match=sentence):
        task.predictions.write_video(Nothing(), {}, tmp_path / "nowhere.avi", tmp_path / "out.avi", options)


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_a_score_that_is_none_is_refused(score: float):
    with pytest.raises(InferenceError, match=re.escape(f"--score is {score:g}: a score is between 0 and 1.")):
        Options(score=score)


def test_objects_are_shown_from_the_score_that_is_asked_for():
    assert Options().least == 0.3
    assert Options(score=0.0).least == 0
