"""The knobs of an experiment function: flat by name, whether they are its own or a recipe's."""

import contextlib
import dataclasses
import inspect
import io
import math
import re
import shlex
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from segjax.errors import ExperimentError, nearest
from segjax.train.recipe import Recipe
from segjax.train.typed import refuse_other_types

Knobs = dict[str, Any]
WHERE = {"root": "folder", "train": "file", "val": "file", "test": "file", "coco": "file", "images": "folder"}
"""Knobs that say where data is, which may move, and what is there."""
TRAINING = (
    "steps", "batch_size", "learning_rate", "schedule", "warmup", "weight_decay", "accumulate", "evaluate_every",
    "patience",
)  # fmt: skip
"""Knobs of how a run is trained, which may be others when it goes on: what it is, and what it has learned, stays."""
TAKEN = (
    "out", "resume", "seeds", "devices", "strategy", "space", "shard_optimizer", "steps_per_call", "profile", "log",
    "local", "slurm", "help",
)  # fmt: skip
"""What `segjax train`, `launch` and `sweep` take for themselves, so that a knob of that name would never be heard."""
TABLE = Path(__file__).with_name("knobs.json")
"""The options of the experiments that have names, for shells: `python -m benchmarks.completion`."""
_PLAIN = (str, int, float, bool, type(None), Path)


def knobs_from(arguments: Sequence[str], function: Callable[..., Any], preset: Mapping[str, Any], name: str) -> Knobs:
    """The knobs that a command line's `--knob value` pairs stand for, defaults filled in.

    What only Python can give, such as a module, is no flag. `--help` prints the knobs and exits.

    Raises:
        ExperimentError: an unknown knob, a value of the wrong type, or a knob named like what the command takes.
    """

    def collect(**given: Any) -> dict[str, Any]:
        return given

    parameters = []
    if taken := [one for one, flag in _flags(function).items() if flag is not None and one in TAKEN]:
        raise ExperimentError(
            f"{name} has a knob named {taken[0]}, and --{taken[0].replace('_', '-')} is what the command itself takes; "
            "rename the knob."
        )
    for parameter, hint in _parameters(function).values():
        default = preset.get(parameter.name, parameter.default)
        if (flag := _flag(hint)) is not None:
            flags = {"kind": parameter.KEYWORD_ONLY, "annotation": flag, "default": default}
            parameters.append(parameter.replace(**flags))
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect.__annotations__ = {one.name: one.annotation for one in parameters}
    collect.__doc__ = function.__doc__
    said, command = io.StringIO(), "segjax train"
    if {"-h", "--help"} & {*arguments}:
        command += f" {name}"  # in a sentence, whose box breaks a long one, it stands already
    try:
        with contextlib.redirect_stderr(said):
            config = (tyro.conf.OmitArgPrefixes,)
            return flat(tyro.cli(collect, prog=command, args=list(arguments), config=config))
    except SystemExit as stop:
        if not stop.code:
            raise
    raise ExperimentError(
        f"{name}: {_sentence(said.getvalue())} `segjax train {shlex.quote(name)} --help` lists the knobs."
    )


def located(knobs: Mapping[str, Any]) -> Knobs:
    """The knobs, paths of data as they hold from any working folder; a name of a list, or an address, stays itself."""

    def absolute(name: str, value: Any) -> Any:
        there = WHERE.get(name)
        is_path = there == "folder" or (there == "file" and isinstance(value, str) and Path(value).is_file())
        if not ((is_path and isinstance(value, str)) or isinstance(value, Path)) or "://" in str(value):
            return value
        return type(value)(Path(value).absolute())

    return {name: absolute(name, value) for name, value in knobs.items()}


def flat(values: Mapping[str, Any]) -> Knobs:
    """Knobs by name, a recipe's among the others, as run.json has them."""
    found: Knobs = {}
    for name, value in values.items():
        found |= vars(value) if isinstance(value, Recipe) else {name: value}
    return found


def defaults_of(function: Callable[..., Any], preset: Mapping[str, Any]) -> Knobs:
    """What the knobs are unless they are said, of those that are not required."""
    own = {name: parameter.default for name, (parameter, _) in _parameters(function).items()}
    known = {name: value for name, value in own.items() if value is not inspect.Parameter.empty}
    return flat(known | dict(preset))


def arguments_of(function: Callable[..., Any], preset: Mapping[str, Any], knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What the function takes for these flat knobs: a recipe is put together again.

    Raises:
        ExperimentError: a knob that the function does not have, a value of another type than the knob's, or no finite
            number, which run.json cannot hold.
    """
    for name, value in knobs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ExperimentError(f"{name} is {value}; it must be a finite number.")
    bare = {name for name, (one, _) in _parameters(function).items() if one.annotation is one.empty}
    hints = {name: hint for name, hint in types_of(function).items() if name not in bare}
    refuse_other_types(hints, knobs, defaults_of(function, {}))
    known, left = dict(preset), dict(knobs)
    for name, (parameter, hint) in _parameters(function).items():
        if name in left:
            known[name] = left.pop(name)
        elif _is_recipe(hint):
            own = {field.name: left.pop(field.name) for field in dataclasses.fields(hint) if field.name in left}
            default = known.get(name, parameter.default)
            known[name] = hint(**own) if default is parameter.empty else dataclasses.replace(default, **own)
    if left:
        raise ExperimentError(f"{function.__name__} has no knob named {next(iter(left))}; leave it out.")
    return known


def types_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The type of every knob, by its flat name.

    Raises:
        ExperimentError: two knobs of one name.
    """
    found: dict[str, Any] = {}
    for name, (_, hint) in _parameters(function).items():
        own = typing.get_type_hints(hint) if _is_recipe(hint) else {name: hint}
        if twice := found.keys() & own.keys():
            raise ExperimentError(f"{function.__name__} has the knob {min(twice)} twice; rename one of them.")
        found |= own
    return found


def options_of(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """What a command line knows of every knob, by its flat name: how many words it takes, unless one, and which.

    A knob that takes none is a pair of flags, --knob and --no-knob. One that says where data is has that as `where`.
    """
    where = {name: {"where": there} for name, there in WHERE.items()}
    return {name: _option(flag) | where.get(name, {}) for name, flag in _flags(function).items() if flag is not None}


def _flags(function: Callable[..., Any]) -> dict[str, Any]:
    """What of the type of every knob words can say, by its flat name."""
    return {name: _flag(hint) for name, hint in types_of(function).items()}


def _option(flag: Any) -> dict[str, Any]:
    if flag is bool:
        return {"nargs": 0}
    parts = typing.get_args(flag) if typing.get_origin(flag) in (typing.Union, types.UnionType) else (flag,)
    several = {"nargs": "*"} if any(typing.get_origin(part) in (tuple, list) for part in parts) else {}
    choices = [_choices(part) for part in parts]
    return several if [] in choices else several | {"choices": [choice for of_part in choices for choice in of_part]}


def _choices(flag: Any) -> list[str]:
    """All words that a type without alternatives knows; none where it takes others as well."""
    origin, parts = typing.get_origin(flag), typing.get_args(flag)
    if flag in (bool, type(None)):
        return ["True", "False"] if flag is bool else ["None"]
    if origin in (tuple, list):
        return _choices(parts[0])
    return [str(choice) for choice in parts] if origin is typing.Literal else []


def _parameters(function: Callable[..., Any]) -> dict[str, tuple[inspect.Parameter, Any]]:
    hints = typing.get_type_hints(function)
    signature = inspect.signature(function).parameters
    return {name: (parameter, hints.get(name, str)) for name, parameter in signature.items()}


def _is_recipe(hint: Any) -> bool:
    """Whether a parameter stands for many knobs; a recipe of one's own adds fields to the others."""
    return isinstance(hint, type) and issubclass(hint, Recipe)


def _flag(hint: Any) -> Any:
    """The part of a type that words can say; None where there is none, as with a module."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        said = [part for part in map(_flag, parts) if part is not None]
        return typing.Union[tuple(said)] if set(said) - {type(None)} else None  # noqa: UP007
    if hint in _PLAIN or origin is typing.Literal or _is_recipe(hint):
        return hint
    if origin in (tuple, list):
        return hint if all(part is ... or _flag(part) == part for part in parts) else None
    return None


def _sentence(box: str) -> str:
    """The words of the box that tyro draws around what it has to say, as one sentence."""
    lines = [line.strip("│ ").strip() for line in box.splitlines()]
    words = " ".join(line for line in lines if line and not re.match(r"[╭╰─]", line) and "full helptext" not in line)
    words = re.sub(r"\[/?bold\]", "", words)  # which tyro forgets to draw
    words = re.sub(r" segjax train --help\s*$", "", words).replace(" from segjax train:", ":")
    if wrong := re.search(r"invalid choice '(.*?)' for argument '--(.*?)'\. Expected one of \((.*?)\)", words):
        name, knob, choices = wrong.groups()
        known = sorted(re.findall("'(.*?)'", choices))
        return f"{name} is no {knob}; name one, such as {nearest(name, known)}."
    return re.sub(r"\.? Argument helptext:", ". Expected", words).rstrip(".") + "."
