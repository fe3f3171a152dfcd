import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segjax.cli.parser import make_parser
from segjax.errors import ExperimentError
from segjax.runs import read_experiment
from segjax.runs.knobs import TAKEN
from segjax.train import Recipe

FILE = '''
from dataclasses import dataclass
from typing import Literal
from flax import linen as nn
from segjax.data import Dataset
from segjax.runs import Preset
from segjax.train import Experiment, Recipe

@dataclass(frozen=True)
class Own(Recipe):
    momentum: float = 0.9
    """A knob more."""

def experiment(data: str | Dataset = "some", model: Literal["a", "b"] | nn.Module = "a", head: nn.Module | None = None,
               width: int | None = None, losses: tuple[Literal["x", "y"], ...] = ("x",),
               recipe: Own = Own(steps=7, batch_size=3)) -> Experiment:
    """Knobs of every kind.

    Args:
        width: How wide it is.
    """
    return Made(data, model, head, width, losses, recipe)

class Made(Experiment):
    """Nothing but what its function was given."""

    def __init__(self, *given):
        object.__setattr__(self, "given", given)

PRESETS = {"wide": Preset("A wide one.", model="b", width=9, recipe=Own(steps=70))}
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.py"
    path.write_text(FILE)
    return path


def test_a_recipe_is_flat_on_the_command_line_and_put_together_again(file: Path):
    found = read_experiment(file)
    knobs = found.knobs(["--steps", "5", "--losses", "y", "x", "--momentum", ".5", "--width", "4"])
    assert knobs == {
        "data": "some",
        "model": "a",
        "width": 4,
        "losses": ("y", "x"),
        **vars(Recipe(steps=5, batch_size=3)),
        "momentum": 0.5,
    }
    data, model, head, width, losses, recipe = found.build(knobs).given  # type: ignore[attr-defined]
    assert (data, model, head, width, losses) == ("some", "a", None, 4, ("y", "x"))
    assert (recipe.steps, recipe.batch_size, recipe.momentum) == (5, 3, 0.5)
    assert type(recipe).__name__ == "Own"


def test_a_sentence_names_a_file_once_however_long_and_whatever_is_in_its_name(tmp_path: Path):
    file = tmp_path / f"my {'x' * 90}.py"
    file.write_text(FILE.replace('data: str | Dataset = "some"', "data: str").replace('"b"] | nn.Module = "a"', '"b"]'))
    with pytest.raises(ExperimentError) as missing:
        read_experiment(file).knobs(["--data", "some"])
    with pytest.raises(ExperimentError) as unknown:
        read_experiment(file).knobs(["--data", "some", "--model", "a", "--quux", "3"])
    advice = f"`segjax train '{file}' --help` lists the knobs."
    assert str(missing.value) == f"{file}: Missing: --model {{a,b}} (required). {advice}"
    assert str(unknown.value) == f"{file}: Unrecognized options: --quux, 3. {advice}"


def test_what_only_python_can_give_is_no_flag(file: Path):
    with pytest.raises(ExperimentError, match="Unrecognized options: --head"):
        read_experiment(file).knobs(["--head", "x"])
    head = object()
    assert read_experiment(file).build({"head": head, "model": head}).given[1:3] == (head, head)  # type: ignore[attr-defined]


def test_a_preset_changes_the_defaults_and_says_what_it_is(file: Path, capsys: pytest.CaptureFixture[str]):
    wide = read_experiment(file, preset="wide")
    knobs = wide.knobs(["--batch-size", "2"])
    assert (knobs["model"], knobs["width"], knobs["steps"], knobs["batch_size"]) == ("b", 9, 70, 2)
    assert wide.build({}).given[3] == 9  # type: ignore[attr-defined]
    assert wide.build({"steps": 1}).given[5].steps == 1  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        wide.knobs(["--help"])
    said = capsys.readouterr().out
    assert said.index("A wide one.") < said.index("Knobs of every kind.")
    assert "How wide it is. (default: 9)" in said
    assert "A knob more. (default: 0.9)" in said
    assert "Updates of the parameters. (default: 70)" in said


def test_an_unknown_knob_is_named(file: Path):
    with pytest.raises(ExperimentError, match=r"experiment has no knob named stepz; leave it out\."):
        read_experiment(file).build({"stepz": 3})


def test_a_preset_of_a_knob_that_is_not_there_is_named(file: Path):
    file.write_text(FILE.replace("width=9", "depth=9"))
    with pytest.raises(ExperimentError, match="experiment has no knob named depth"):
        read_experiment(file, preset="wide")


def test_a_knob_that_the_command_would_take_for_itself_is_refused(file: Path):
    options = [action.option_strings for name in ("train", "launch", "sweep") for action in _options_of(name)]
    taken = {string.removeprefix("--").replace("-", "_") for strings in options for string in strings}
    assert taken | {"help"} == {*TAKEN}
    file.write_text(FILE.replace("width: int | None = None", "shard_optimizer: bool = False"))
    read = read_experiment(file)
    with pytest.raises(
        ExperimentError, match="has a knob named shard_optimizer, and --shard-optimizer is what the comm"
    ):
        read.knobs(["--shard-optimizer"])
    assert "shard_optimizer" in read.types()  # from Python it is a knob like others


def _options_of(command: str) -> list[argparse.Action]:
    (commands,) = (one.choices for one in make_parser()._actions if isinstance(one, argparse._SubParsersAction))
    return [one for one in commands[command]._actions if one.option_strings]


def test_two_knobs_of_one_name_are_refused(file: Path):
    file.write_text(FILE.replace("width: int | None = None", "seed: int = 0"))
    with pytest.raises(ExperimentError, match="experiment has the knob seed twice; rename one of them"):
        read_experiment(file)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"model": "c"}, "c is no model; name one, such as a or b."),
        ({"losses": ("x", "z")}, "z is no losses; name one, such as x or y."),
        ({"schedule": "one_cycl"}, "one_cycl is no schedule; name one, such as one_cycle."),
    ],
)
def test_a_name_that_is_no_choice_is_refused_from_python_too(file: Path, knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=f"^{re.escape(sentence)}$"):
        read_experiment(file).build(knobs)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"freeze": 2}, "freeze is 2; it must be a string or None, such as '2'."),
        ({"losses": "x"}, "losses is 'x'; it must be a tuple of names, such as ('x',)."),
        ({"scale": 1.5}, "scale is 1.5; it must be a tuple of 2 numbers or None."),
        ({"scale": (0.5, "2")}, "scale is (0.5, '2'); it must be a tuple of 2 numbers or None."),
        ({"width": (32, 32)}, "width is (32, 32); it must be a whole number or None."),
        ({"width": "4"}, "width is '4'; it must be a whole number or None."),
        ({"width": 2.5}, "width is 2.5; it must be a whole number or None."),
        ({"width": True}, "width is True; it must be a whole number or None."),
        ({"remat": "yes"}, "remat is 'yes'; it must be True or False."),
        ({"momentum": "0.9"}, "momentum is '0.9'; it must be a number."),
        ({"model": 3}, "model is 3; it must be one of 'a', 'b' or a Module."),
        ({"head": "x"}, "head is 'x'; it must be a Module or None."),
        ({"data": ("a",)}, "data is ('a',); it must be a string or a Dataset."),
        ({"data": {}}, "data is {}; it must be a string or a Dataset."),
    ],
)
def test_a_value_of_another_type_is_refused_from_python_too(file: Path, knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=f"^{re.escape(sentence)}$"):
        read_experiment(file).build(knobs)


def test_a_value_that_can_be_meant_is_taken(file: Path):
    knobs = {"momentum": 1, "width": np.int64(4), "losses": ["x", "y"], "scale": [1, np.float32(2)], "clip": None}
    _, _, _, width, losses, recipe = read_experiment(file).build(knobs).given  # type: ignore[attr-defined]
    assert (width, losses, recipe.momentum, recipe.scale) == (4, ["x", "y"], 1, [1, 2])


def test_a_default_of_another_type_is_what_it_is(file: Path):
    file.write_text(FILE.replace("width: int | None = None", "width: int = None"))
    assert read_experiment(file).build({"width": None}).given[3] is None  # type: ignore[attr-defined]
    file.write_text(FILE.replace("width: int | None = None", "width=None"))
    assert read_experiment(file).build({"width": 7}).given[3] == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_finite_number_is_refused(file: Path, value: str):
    found = read_experiment(file)
    with pytest.raises(ExperimentError, match=f"momentum is {value}; it must be a finite number"):
        found.build(found.knobs(["--momentum", value]))


def test_a_number_that_cannot_be_meant_is_one_sentence_on_the_command_line(file: Path):
    with pytest.raises(ExperimentError, match="steps is 0; it must be a whole number, at least 1"):
        read_experiment(file).knobs(["--steps", "0"])


def test_what_tyro_writes_in_bold_is_plain_words(file: Path):
    with pytest.raises(ExperimentError, match="did not match expected argument count 2 of `FLOAT FLOAT`") as caught:
        read_experiment(file).knobs(["--scale", "1.5"])
    assert "[bold]" not in str(caught.value)


def test_the_nearest_choice_is_offered_on_the_command_line(file: Path):
    with pytest.raises(ExperimentError, match=r"one_cycl is no schedule; name one, such as one_cycle\. `segjax train"):
        read_experiment(file).knobs(["--schedule", "one_cycl"])
