import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from squares import bits, run_squares

import segjax
from segjax.errors import DataError
from segjax.runs import create_run, experiment_of
from segjax.train import ExperimentError, Layout, Run, train


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


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ('"val": (0, 2)', "The val split of squares has no records, and a run needs some"),
        ('"test": (0, 1)', "The test split of squares has no records, and a run needs some"),
        ('"test": (7, 1)}["other"] or {', r"The train split of squares cannot be opened \(KeyError: 'other'\); mend"),
    ],
)
def test_a_split_that_is_not_there_is_said_before_anything_is_trained(
    squares: Path, tmp_path: Path, split: str, said: str
):
    name = split.partition(":")[0]
    whole = {'"val"': '"val": (5, 2)', '"test"': '"test": (7, 1)'}[name]
    squares.write_text(squares.read_text().replace(whole, split))
    run = create_run(tmp_path / "run", squares, {"steps": 2}, {})
    with pytest.raises(DataError, match=said):
        train(experiment_of(run), run)
    assert not [*run.checkpoints.iterdir()]
    assert not run.metrics()


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


def test_several_steps_a_call_log_score_and_go_on_as_one_does(squares: Path, tmp_path: Path):
    knobs = {"steps": 20, "evaluate_every": 10}
    expected = run_squares(squares, tmp_path / "one", **knobs)
    straight = create_run(tmp_path / "straight", squares, knobs, {})
    train(experiment_of(straight), straight, Layout(steps_per_call=2))
    assert [row.keys() for row in straight.metrics()] == [row.keys() for row in expected.metrics()]
    for row, other in zip(straight.metrics(), expected.metrics(), strict=True):
        assert row["step"] == other["step"]
        if "train" in row:
            assert row["train"]["loss"] == pytest.approx(other["train"]["loss"], rel=1e-3)
    speed, of_one = (json.loads((run.path / "report.json").read_text()) for run in (straight, expected))
    assert speed["flops_per_step"] == of_one["flops_per_step"]

    resumed = Run(shutil.copytree(straight.path, tmp_path / "resumed"))
    shutil.rmtree(resumed.checkpoints / "20")
    with pytest.raises(ExperimentError, match=r"steps_per_call is 4; .*: take 1, 2, 5 or 10\."):
        train(experiment_of(resumed), resumed, Layout(steps_per_call=4))
    train(experiment_of(resumed), resumed, Layout(steps_per_call=2))
    assert bits(resumed) == bits(straight)
    assert resumed.metrics() == straight.metrics()


@pytest.mark.parametrize(
    ("knobs", "calls", "sentence"),
    [
        ({}, 0, "steps_per_call is 0; it must be a whole number, at least 1"),
        ({}, 20, "steps_per_call is 20; every 10 steps are logged: take 1, 2, 5 or 10"),
        ({"steps": 12}, 5, "steps_per_call is 5 and steps 12, which is no multiple of it; change one of them"),
        ({"evaluate_every": 7}, 2, "steps_per_call is 2 and evaluate_every 7, which is no multiple of it"),
    ],
)
def test_calls_that_do_not_end_where_something_is_to_be_done_are_refused(
    squares: Path, tmp_path: Path, knobs: dict[str, Any], calls: int, sentence: str
):
    run = create_run(tmp_path / "run", squares, {"steps": 20, "evaluate_every": 10} | knobs, {})
    with pytest.raises(ExperimentError, match=sentence):
        train(experiment_of(run), run, Layout(steps_per_call=calls))
    assert not run.metrics()


def test_a_checkpoint_between_two_calls_is_refused_and_stays(squares: Path, tmp_path: Path):
    run = run_squares(squares, tmp_path / "run", steps=3)
    more = Run(run.path)
    experiment = dataclasses.replace(experiment_of(more), steps=6)
    rows = more.metrics()
    with pytest.raises(ExperimentError, match=r"steps_per_call is 2, and .*run goes on from step 3, which is no multi"):
        train(experiment, more, Layout(steps_per_call=2))
    assert more.metrics() == rows
