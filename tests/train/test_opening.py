import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from squares import bits

import segjax
from segjax.runs import create_run, experiment_of
from segjax.train import ExperimentError, Run, train

pytestmark = pytest.mark.usefixtures("unoptimised")


def test_a_model_that_depends_on_the_size_and_has_a_collection_of_its_own_goes_on_and_is_loaded(
    squares: Path, tmp_path: Path
):
    more = (
        "x = x + self.param('places', nn.initializers.normal(), x.shape[1:])\n"
        "        seen = self.variable('counts', 'seen', lambda: np.int32(0))\n"
        "        if train:\n"
        "            seen.value += 1\n"
        "        x = nn.Dropout("
    )
    squares.write_text(squares.read_text().replace("x = nn.Dropout(", more))
    straight = create_run(tmp_path / "straight", squares, {"steps": 20, "evaluate_every": 10, "ema": 0.9}, {})
    train(experiment_of(straight), straight)
    _, variables = segjax.load(straight.path)
    assert variables["params"]["model"]["places"].shape == (16, 16, 8)
    assert variables["counts"]["model"]["seen"] == 20
    resumed = Run(shutil.copytree(straight.path, tmp_path / "resumed"))
    shutil.rmtree(resumed.checkpoints / "20")
    train(experiment_of(resumed), resumed)
    assert bits(resumed) == bits(straight)
    assert resumed.metrics() == straight.metrics()


def test_training_starts_once_from_what_the_experiment_makes_of_the_initial_variables(squares: Path, tmp_path: Path):
    calls = []

    def start(variables: Any) -> Any:
        calls.append(jax.tree.map(np.shape, variables))
        return jax.tree.map(lambda x: np.full(x.shape, 0.25), variables)  # float64, as a file may have it

    run = create_run(tmp_path / "run", squares, {"steps": 2, "learning_rate": 0.0, "evaluate_every": 1}, {})
    experiment = dataclasses.replace(experiment_of(run), start=start)
    train(experiment, run)
    _, variables = segjax.load(run.path)
    assert {(leaf.dtype, float(leaf.min()), float(leaf.max())) for leaf in jax.tree.leaves(variables["params"])} == {
        (np.dtype(np.float32), 0.25, 0.25)
    }
    shutil.rmtree(run.checkpoints / "2")
    train(experiment, run)
    assert len(calls) == 1  # never when it goes on


def test_a_start_that_gives_back_other_arrays_is_refused_by_the_first(squares: Path, tmp_path: Path):
    run = create_run(tmp_path / "run", squares, {"steps": 2}, {})
    experiment = dataclasses.replace(experiment_of(run), start=lambda variables: {"params": variables["params"]})
    sentence = r"start returns batch_stats/model/norm1/mean not at all, and the model has it of shape \(8,\); give back"
    with pytest.raises(ExperimentError, match=sentence):
        train(experiment, run)
