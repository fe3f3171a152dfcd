import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

import segjax
from segjax import losses
from segjax.data import Augment
from segjax.errors import ExperimentError
from segjax.runs import create_run, experiment_of
from segjax.tasks import SigmoidSegmentation
from segjax.train import Interrupted, Run, interruption, loop


def bits(variables: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)]


def test_training_from_python_is_training_from_a_file(squares: Path, tmp_path: Path):
    experiment = segjax.experiment(squares, steps=12, evaluate_every=6)
    run = segjax.train(experiment, out=tmp_path / "python")
    file = create_run(tmp_path / "file", squares, {"steps": 12, "evaluate_every": 6})
    scores = loop.train(experiment_of(file), file)
    assert run.metrics() == file.metrics()
    assert run.report()["test"] == scores
    model, variables = segjax.load(run.path, experiment=experiment)
    assert model == experiment.model
    assert bits(variables) == bits(segjax.load(run, experiment=experiment)[1])
    assert bits(variables) == bits(segjax.load(file.path)[1])
    assert json.loads((run.path / "run.json").read_text())["versions"]["segjax"] == segjax.__version__


def test_the_same_call_goes_on(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    experiment = segjax.experiment(squares, steps=12, evaluate_every=6)
    whole = segjax.train(experiment, out=tmp_path / "whole")
    asked = interruption.StopRequest.agreed
    calls = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(interruption.StopRequest, "agreed", lambda self: next(calls) >= 8 or asked(self))
        with pytest.raises(Interrupted, match="Stopped at step"):
            segjax.train(experiment, out=tmp_path / "stopped")
    with pytest.raises(ExperimentError, match=r"holds no report\.json yet"):
        Run(tmp_path / "stopped").report()
    run = segjax.train(experiment, out=tmp_path / "stopped")
    variables = [segjax.load(one.path, experiment=experiment)[1] for one in (whole, run)]
    assert bits(variables[0]) == bits(variables[1])
    with pytest.raises(ExperimentError, match="goes on as it began: seed was 0, not 2"):
        segjax.train(segjax.experiment(squares, steps=13, evaluate_every=6, seed=2), out=run.path)
    with pytest.raises(ExperimentError, match="was trained from Python, without an experiment file"):
        segjax.load(run.path)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"experiment": "folder"}, "experiment is 'folder'; it must be an Experiment."),
        ({"experiment": {}}, "experiment is {}; it must be an Experiment."),
        ({"out": None}, "out is None; it must be a string or a path."),
        ({"out": b"run"}, "out is b'run'; it must be a string or a path."),
        ({"log": "wandb"}, "log is 'wandb'; it must be a tuple of strings or None, such as ('wandb',)."),
    ],
)
def test_what_is_of_another_type_is_refused(squares: Path, tmp_path: Path, given: dict[str, Any], sentence: str):
    call = {"experiment": segjax.experiment(squares), "out": tmp_path / "run"} | given
    with pytest.raises(ExperimentError, match=f"^{re.escape(sentence)}$"):
        segjax.train(**call)
    assert not (tmp_path / "run").exists()


def test_what_a_run_is_stays_and_how_it_is_trained_may_change(squares: Path, tmp_path: Path):
    experiment = segjax.experiment(squares, steps=2)
    run = segjax.train(experiment, out=tmp_path / "run")
    weighted = functools.partial(losses.focal, gamma=3.0)
    for other, sentence in (
        ({"loss": losses.dice}, "loss was 'cross_entropy', not 'dice'"),
        ({"loss": weighted}, r"loss was 'cross_entropy', not 'focal\(gamma=3.0\)'"),
        ({"augment": Augment(flip_vertical=True)}, r"augment was 'Augment\(.*flip_vertical=False.*', not 'Augment"),
        ({"augment": None}, r"augment was 'Augment\(.*', not None"),
        ({"model": nn.Dense(2)}, "model was 'Normalized', not 'Dense'"),
        ({"task": SigmoidSegmentation}, "task was 'Segmentation', not 'SigmoidSegmentation'"),
    ):
        with pytest.raises(ExperimentError, match=f"goes on as it began: {sentence}"):
            segjax.train(dataclasses.replace(experiment, **other), out=run.path)
    with pytest.raises(ExperimentError, match="has taken 2 steps already: give steps more than that"):
        segjax.train(segjax.experiment(squares, steps=1), out=run.path)
    longer = segjax.experiment(squares, steps=np.int64(4), learning_rate=0.01, evaluate_every=2)
    assert segjax.train(longer, out=run.path).report()["steps"] == 4
    kept = run.configuration()
    assert (kept["knobs"]["steps"], kept["knobs"]["evaluate_every"]) == (4, 2)
    assert kept["changes"] == [{"step": 2, "knobs": {"steps": 4, "evaluate_every": 2}}]


def test_a_run_of_a_file_is_not_taken_for_one_of_python(squares: Path, tmp_path: Path):
    create_run(tmp_path / "run", squares, {"steps": 4})
    with pytest.raises(ExperimentError, match="was made from an experiment file; go on by `segjax train --resume"):
        segjax.train(segjax.experiment(squares, steps=4), out=tmp_path / "run")
