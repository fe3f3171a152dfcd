"""An experiment file: Python whose one function joins a model, a loss, a recipe and data."""

import dataclasses
import inspect
import json
import reprlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from segjax.errors import DataError, ExperimentError
from segjax.runs.knobs import Knobs, arguments_of, defaults_of, flat, knobs_from, types_of
from segjax.runs.names import find
from segjax.train.experiment import Experiment

ExperimentFunction = Callable[..., Experiment]
Facts = TypeVar("Facts")
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


class Preset:
    """An experiment function's knobs under a name of their own: `segjax train NAME`.

    A file has them in a table, `PRESETS = {"land_cover": Preset("What it is, and what it scores.", data=...)}`.

    Examples:
        >>> runs.Preset("A smaller one.", steps=100, base=8).knobs
        {'steps': 100, 'base': 8}
    """

    def __init__(self, about: str, **knobs: Any) -> None:
        self.about = about
        """What `--help` says first."""
        self.knobs = knobs
        """What differs from the function's own defaults, whose types Python alone may know."""


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """An experiment function as it was found in a file, and the preset by which it was named."""

    path: Path
    said: str
    """What it was named by: a path or a name."""
    function: ExperimentFunction
    preset: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its runs are called."""
        return Path(self.said).stem

    def knobs(self, arguments: Sequence[str] = ()) -> Knobs:
        """The knobs that a command line's `--knob value` pairs stand for, defaults filled in.

        `--help` prints the knobs and exits.

        Raises:
            ExperimentError: an unknown knob, or a value of the wrong type.
        """
        return knobs_from(arguments, self.function, self.preset, self.said)

    def changed(self, kept: Knobs, arguments: Sequence[str]) -> Knobs:
        """What a command line says otherwise than the knobs of a run, which need not be said again.

        Raises:
            ExperimentError: an unknown knob, or a value of the wrong type.
        """
        known = arguments_of(self.function, self.preset, kept)
        asked = knobs_from(arguments, self.function, known, self.said)
        return {name: value for name, value in asked.items() if kept.get(name) != value}

    def defaults(self) -> Knobs:
        """What the knobs are unless they are said, of those that are not required."""
        return defaults_of(self.function, self.preset)

    def types(self) -> dict[str, Any]:
        """The type of every knob."""
        return types_of(self.function)

    def build(self, knobs: Mapping[str, Any], facts: dict[str, Any] | None = None) -> Experiment:
        """Call the function with these knobs; what it raises becomes one sentence that names the file.

        `facts` is what `remember` has found so far, and takes up what it finds now.

        Raises:
            ExperimentError: a knob that it does not have, whatever goes wrong in it, or it returns something else.
            DataError: as it is.
        """
        arguments = arguments_of(self.function, self.preset, knobs)
        token = _facts.set({} if facts is None else facts)
        try:
            made = self.function(**arguments)
        except (ExperimentError, DataError):
            raise
        except (Exception, SystemExit) as error:  # as of a parser of arguments, which would end the command
            raise _in_file(self.path, error) from error
        finally:
            _facts.reset(token)
        if not isinstance(made, Experiment):
            raise ExperimentError(
                f"{self.path}: {self.function.__name__} returned {reprlib.repr(made)}; let it return the "
                "segjax.train.Experiment that it says."
            )
        return made


def read_experiment(said: str | Path, preset: str | None = None) -> ExperimentFile:
    """The experiment of that name, or the one of the file at that path.

    A file has one public function that returns an `Experiment`, and may have PRESETS, one of which a name may choose.

    Raises:
        ExperimentError: there is no such file or name, the file does not run, or it does not hold exactly one function.
    """
    said = str(said)
    path = find(said)
    module = types.ModuleType(f"segjax_experiment_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look a module up by its name
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""  # a file with a byte 0 has none
        raise ExperimentError(f"{path}{line}: {error.msg}; mend it and run again.") from error
    except (Exception, SystemExit) as error:
        raise _in_file(path, error) from error
    found = [
        f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__code__.co_filename == str(path) and not name.startswith("_")
        if _returns(f) is Experiment
    ]
    if len(found) != 1:
        names = ", ".join(f.__name__ for f in found) or "none"
        raise ExperimentError(
            f"{path} must hold exactly one function annotated `-> Experiment`, and holds {names}; "
            "write `def experiment(...) -> segjax.train.Experiment:`."
        )
    function = found[0]
    try:
        types_of(function)
    except NameError as error:  # a type in quotes, or one that only a type checker imports
        raise ExperimentError(
            f"{path}: the type of a knob of {function.__name__} is not there ({error}); import it in the file."
        ) from error
    presets = vars(module).get("PRESETS", {})
    if not (isinstance(presets, Mapping) and all(isinstance(one, Preset) for one in presets.values())):
        raise ExperimentError(f"{path}: PRESETS must be a table of names, each with a segjax.runs.Preset; write it so.")
    chosen = presets.get(preset or said, Preset(""))
    if chosen.about:
        function.__doc__ = f"{chosen.about}\n\n{inspect.cleandoc(function.__doc__ or '')}"
    arguments_of(function, {}, flat(chosen.knobs))
    return ExperimentFile(path, said, function, chosen.knobs)


def experiment(name: str | Path, **knobs: Any) -> Experiment:
    """The experiment of a name, such as "land_cover", or of a file, with knobs as on the command line.

    Here a knob may also be what only Python can give: a model, an encoder, a data set, a loss.

    Raises:
        ExperimentError: no such experiment or knob, or whatever goes wrong in it.
        DataError: its data set cannot be used.
    """
    return read_experiment(name).build(knobs)


def remember(name: str, find: Callable[[], Facts]) -> Facts:
    """What an experiment function finds out about its data: found once, and the same whenever the run is opened again.

    `find` returns what JSON can hold, such as the classes of a folder or the mean of its images; tuples become lists.
    The run folder keeps it, so that a trained model can be loaded where its data is not, and does not change when its
    data does. Where the function is called from Python, nothing is kept, and it is found each time.
    """
    facts = _facts.get()
    facts = {} if facts is None else facts
    if name not in facts:
        facts[name] = json.loads(json.dumps(find()))  # the same now as when it is read back
    return facts[name]


def _returns(function: Callable[..., Any]) -> Any:
    """What a function of an experiment file says that it returns; of others of its types nothing is asked."""
    said = function.__annotations__.get("return")
    try:
        return eval(said, function.__globals__) if isinstance(said, str) else said
    except Exception:  # a type in quotes that only a type checker imports, of a function that makes no experiment
        return None


def _in_file(path: Path, error: BaseException) -> ExperimentError:
    line = next((f.lineno for f in reversed(inspect.trace()) if f.filename == str(path)), "?")
    said = f": {error}" if str(error) else ""
    return ExperimentError(f"{path}, line {line}: {type(error).__name__}{said}")
