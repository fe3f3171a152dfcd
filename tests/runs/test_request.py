from pathlib import Path

import pytest

from segjax.errors import ExperimentError
from segjax.runs.request import new_runs, old_runs
from segjax.train import Run


def test_the_same_command_goes_on_where_it_was_killed_and_no_other_does(squares: Path, tmp_path: Path):
    out, knobs = tmp_path / "run", ["--steps", "3"]
    new_runs(str(squares), knobs, out, None)
    began = (out / "run.json").read_text()
    assert new_runs(str(squares), knobs, out, None) == (out, [Run(out)])
    assert (out / "run.json").read_text() == began
    with pytest.raises(ExperimentError, match="run is already there and not an empty folder"):
        new_runs(str(squares), ["--steps", "4"], out, None)
    squares.write_text(squares.read_text() + "# another\n")
    with pytest.raises(ExperimentError, match="go on with the run in it by `segjax train --resume"):
        new_runs(str(squares), knobs, out, None)


def test_several_seeds_go_on_together_and_a_finished_run_is_left_alone(squares: Path, tmp_path: Path):
    out = tmp_path / "seeds"
    new_runs(str(squares), [], out, [1, 0])
    assert new_runs(str(squares), [], out, [0, 1])[1] == [Run(out / "seed0"), Run(out / "seed1")]
    with pytest.raises(ExperimentError, match="seed0 is already there"):
        new_runs(str(squares), [], out, [0])
    (out / "report.json").write_text("{}")
    with pytest.raises(ExperimentError, match="seed0 is already there"):
        new_runs(str(squares), [], out, [0, 1])


def test_what_a_kill_left_before_there_was_a_run_stands_in_no_way(squares: Path, tmp_path: Path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".run.json.partial").write_text("{")
    folder, _ = new_runs(str(squares), [], tmp_path / "run", None)
    assert (folder / "run.json").exists()


def test_a_run_that_another_process_trains_in_is_not_removed(tmp_path: Path):
    run = Run.create(tmp_path / "run", {})
    with run.in_use():
        run.remove_if_unsaved()
        assert run.configuration()
    run.remove_if_unsaved()
    assert not run.path.exists()


def test_seeds_of_which_one_went_on_by_itself_are_not_trained_as_one(squares: Path, tmp_path: Path):
    out = tmp_path / "seeds"
    new_runs(str(squares), [], out, [0, 1])
    old_runs(out / "seed1", ["--learning-rate", "1e-4", "--steps", "30"])
    with pytest.raises(ExperimentError, match=r"seed1 has steps 30 and .*seed0 has 40: .* give all of them one steps"):
        old_runs(out, [])
    with pytest.raises(ExperimentError, match=r"seed1 has learning_rate 0.0001 and"):
        old_runs(out, ["--steps", "30"])
    both = [Run(out / "seed0"), Run(out / "seed1")]
    assert old_runs(out, ["--steps", "30", "--learning-rate", "1e-4"]) == both
    with pytest.raises(ExperimentError, match=r"seed0 has steps 30 and this command has 50: seeds of one folder"):
        new_runs(str(squares), ["--steps", "50", "--learning-rate", "1e-4"], out, [2])
    assert not (out / "seed2").exists()
    _, runs = new_runs(str(squares), ["--steps", "30", "--learning-rate", "1e-4"], out, [2])
    assert runs == [*both, Run(out / "seed2")]


def test_seeds_of_which_a_kill_left_some_alone_are_made_up(squares: Path, tmp_path: Path):
    out = tmp_path / "seeds"
    new_runs(str(squares), [], out, [0])
    both = [Run(out / "seed0"), Run(out / "seed1")]
    with pytest.raises(ExperimentError, match="0, 0, 1 are not different"):
        new_runs(str(squares), [], out, [0, 0, 1])
    assert new_runs(str(squares), [], out, [1, 0])[1] == both
    (out / "seed1" / "run.json").unlink()
    (out / "seed0" / "checkpoints" / "20").mkdir()  # that was trained alone
    with pytest.raises(ExperimentError, match="seed0 is already there"):
        new_runs(str(squares), [], out, [0, 1])
