import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import segjax
from segjax.errors import ExperimentError
from segjax.runs import create_run, experiment_of
from segjax.train import Interrupted, Run, interruption, loop

pytestmark = pytest.mark.usefixtures("unoptimised")


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
    with pytest.raises(ExperimentError, match="goes on as it began: steps was 12, not 13; seed was 0, not 2"):
        segjax.train(segjax.experiment(squares, steps=13, evaluate_every=6, seed=2), out=run.path)
    with pytest.raises(ExperimentError, match="was trained from Python, without an experiment file"):
        segjax.load(run.path)


def test_a_run_of_a_file_is_not_taken_for_one_of_python(squares: Path, tmp_path: Path):
    create_run(tmp_path / "run", squares, {"steps": 4})
    with pytest.raises(ExperimentError, match="was made from an experiment file; go on by `segjax train --resume"):
        segjax.train(segjax.experiment(squares, steps=4), out=tmp_path / "run")
