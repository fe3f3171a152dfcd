"""What changed from one run to another: knobs, scores, and those of every image that both were scored on."""

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from segjax.errors import ExperimentError
from segjax.report import RunFiles, read_run
from segjax.runs.report import finished_runs
from segjax.train.history import flat_scores

RESAMPLES = 10_000
_AT_ONCE = 500
"""Resamples in memory together."""


class Paired(NamedTuple):
    """How much better the second run is on an image, over those that both were scored on."""

    score: str
    images: int
    mean: float
    low: float
    high: float
    """The ends of the interval that holds 95% of the means of resampled images."""
    better: int
    worse: int


class Comparison(NamedTuple):
    """What is different of two runs."""

    knobs: dict[str, list[Any]]
    """Those of the first and of the second."""
    scores: dict[str, list[float | None]]
    """Of the first and of the second on the test split; by class as `iou/water`."""
    paired: Paired | None
    """None where they were not scored on the same images."""
    why_not: str
    """Why they are not paired; empty where they are."""

    def as_json(self) -> dict[str, Any]:
        """The same as objects."""
        return self._asdict() | {"paired": self.paired and self.paired._asdict()}


def compare_runs(one: Path, other: Path) -> Comparison:
    """Compare two finished runs.

    Raises:
        ExperimentError: a folder is no run, holds several, or its run is not finished.
    """
    first, second = map(_single, (one, other))
    paired, why_not = _paired(first, second)
    return Comparison(_different(first, second), _scores(first, second), paired, why_not)


def interval_of_mean(differences: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The ends of the bootstrap's percentile interval of 95% (Efron and Tibshirani 1993); the same every time."""
    rng, count, means = np.random.default_rng(0), len(differences), []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        means.append(differences[rng.integers(0, count, (_AT_ONCE, count))].mean(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def _single(path: Path) -> RunFiles:
    runs = finished_runs(path)
    if len(runs) > 1:
        raise ExperimentError(f"{path} holds {len(runs)} runs: compare one of them, such as {runs[0].path}.")
    return read_run(runs[0].path)


def _different(first: RunFiles, second: RunFiles) -> dict[str, list[Any]]:
    names = dict.fromkeys([*first.knobs, *second.knobs])
    both = {name: [first.knobs.get(name), second.knobs.get(name)] for name in names}
    return {name: values for name, values in both.items() if json.dumps(values[0]) != json.dumps(values[1])}


def _scores(first: RunFiles, second: RunFiles) -> dict[str, list[float | None]]:
    here, there = (dict(flat_scores(run.report["test"])) for run in (first, second))
    return {name: [here.get(name), there.get(name)] for name in dict.fromkeys([*here, *there])}


def _paired(first: RunFiles, second: RunFiles) -> tuple[Paired | None, str]:
    for run in (first, second):
        if not run.images:
            command = f"segjax report {shlex.quote(str(run.folder))}"
            return None, f"{run.folder} holds no scores of single images: write them by `{command}`"
    score = first.headline
    if score != second.headline:
        return None, f"one is scored by {score}, the other by {second.headline}"
    one, other = (
        {name for name, _ in flat_scores(run.report["test"]) if name.startswith("iou/")} for run in (first, second)
    )
    if one != other:  # a mean with the background and one without it are two scores of one name
        return None, f"{score} is not of the same classes in both"
    # By what they show, since the same file may have another number or name in another folder.
    here, there = ({one["digest"]: one[score] for one in run.images} for run in (first, second))
    shared = here.keys() & there.keys()
    known = [digest for digest in here if digest in shared and None not in (here[digest], there[digest])]
    if not known:
        return None, "they were scored on other images"
    differences = np.array([there[digest] - here[digest] for digest in known])
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Paired(score, len(known), float(differences.mean()), *interval_of_mean(differences), better, worse), ""
