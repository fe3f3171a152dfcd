"""An experiment: a Python file whose one function joins a model, a loss, an optimizer and data."""

import contextlib
import dataclasses
import functools
import inspect
import io
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import optax
import tyro
from flax import linen as nn
from jaxtyping import Array, Float

from segjax.data import MAX_BOXES, Augment, Dataset
from segjax.errors import DataError, ExperimentError
from segjax.train.segmentation import Segmentation
from segjax.train.task import Task

Loss = Callable[[Any, Any], Float[Array, ""]]
"""Called as `loss(outputs, targets)`: for segmentation, logits (n h w k) and mask (n h w, 255 = ignore)."""
Which = Literal["last", "best"]
"""One of a run's checkpoints: the newest, or the one with the best headline score on the validation split."""
Knobs = dict[str, Any]
Facts = TypeVar("Facts")
_facts: ContextVar[dict[str, Any]] = ContextVar("facts")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that `train` needs; `train` itself names no model and no loss.

    `model` is called as `model.apply(variables, images, train=...)` on images as the data set stores them (uint8, n h w
    c). `loss` compares what it returns with the targets of the task: for segmentation, logits with a mask.
    """

    model: nn.Module
    data: Dataset
    loss: Loss
    optimizer: optax.GradientTransformation
    steps: int
    batch_size: int = 16
    augment: Augment | None = None
    evaluate_every: int = 100
    """Steps between two looks at the validation split; a checkpoint is saved before each."""
    patience: int | None = None
    """After how many looks without a better headline score the run stops, and predicts with its best checkpoint; None
    for a run that takes all its steps and predicts with the last one."""
    seed: int = 0
    """Decides the initial parameters, the order of the data, the augmentation and the dropout."""
    task: Callable[[Dataset], Task] = Segmentation
    """What is predicted, and so how outputs are scored and drawn."""
    accumulate: int = 1
    """In how many parts a batch is worked through, one after the other, to save memory; the gradient is their mean."""
    ema: float | None = None
    """How much of the averaged weights a step keeps, such as 0.999; None for no averaged weights. Where there are any,
    they are scored beside the last ones, and are the ones that a run chooses by and predicts with."""
    max_skipped: int = 10
    """After how many steps in a row without a finite loss and gradient the run stops; none of them is applied."""
    max_boxes: int = MAX_BOXES
    """How many boxes of an image a batch has room for, in training and in testing; an image with more is an error."""

    def __post_init__(self) -> None:
        for field in ("steps", "batch_size", "evaluate_every", "accumulate", "max_skipped", "max_boxes"):
            if getattr(self, field) < 1:
                raise ExperimentError(f"{field} is {getattr(self, field)}; it must be at least 1.")
        if self.patience is not None and self.patience < 1:
            raise ExperimentError(f"patience is {self.patience}; it must be at least 1, or None to take all steps.")
        if self.batch_size % self.accumulate:
            raise ExperimentError(
                f"batch_size is {self.batch_size}, which accumulate = {self.accumulate} parts cannot share evenly."
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise ExperimentError(f"ema is {self.ema}; it is the share of the average that a step keeps, in 0..1.")

    @functools.cached_property
    def task_of_data(self) -> Task:
        """The task, made from the data set; it is not opened for that."""
        return self.task(self.data)

    @property
    def predicts_with(self) -> Which:
        """Which checkpoint a run predicts with, and so is tested on."""
        return "last" if self.patience is None else "best"


ExperimentFunction = Callable[..., Experiment]


def read_experiment(path: Path) -> ExperimentFunction:
    """The one public function of an experiment file that returns an `Experiment`.

    Raises `ExperimentError` where there is no such file, the file does not run, or it does not hold exactly one.
    """
    if not path.is_file():
        raise ExperimentError(f"{path} is not a file; name an experiment, such as experiments/land_cover.py.")
    module = types.ModuleType(f"segjax_experiment_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look a module up by its name
    try:
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise ExperimentError(f"{path}, line {error.lineno}: {error.msg}; mend it and run again.") from error
    except Exception as error:
        line = next((f.lineno for f in reversed(inspect.trace()) if f.filename == str(path)), "?")
        raise ExperimentError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    found = [
        f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__code__.co_filename == str(path) and not name.startswith("_")
        if typing.get_type_hints(f).get("return") is Experiment
    ]
    if len(found) != 1:
        names = ", ".join(f.__name__ for f in found) or "none"
        raise ExperimentError(
            f"{path} must hold exactly one function annotated `-> Experiment`, and holds {names}; "
            "write `def experiment(...) -> segjax.train.Experiment:`."
        )
    return found[0]


def knobs_of(function: ExperimentFunction, arguments: Sequence[str], path: Path) -> Knobs:
    """The knobs that a command line's `--knob value` pairs stand for, defaults filled in.

    `--help` prints the knobs and exits. Raises `ExperimentError` for an unknown knob or a value of the wrong type.
    """

    @functools.wraps(function)
    def collect(**knobs: Any) -> Knobs:
        return knobs

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(collect, prog=f"segjax train {path}", args=list(arguments))
    except SystemExit as stop:
        if not stop.code:
            raise
    raise ExperimentError(f"{path}: {_sentence(said.getvalue())} `segjax train {path} --help` lists the knobs.")


def remember(name: str, find: Callable[[], Facts]) -> Facts:
    """What an experiment function finds out about its data: found once, and the same whenever the run is opened again.

    `find` returns what JSON can hold, such as the classes of a folder or the mean of its images; tuples become lists.
    The run folder keeps it, so that a trained model can be loaded where its data is not, and does not change when its
    data does.
    """
    facts = _facts.get()
    if name not in facts:
        facts[name] = json.loads(json.dumps(find()))  # the same now as when it is read back
    return facts[name]


def build(function: ExperimentFunction, knobs: Knobs, path: Path, facts: dict[str, Any]) -> Experiment:
    """Call an experiment function with its knobs; what it raises becomes one sentence that names the file.

    `facts` is what `remember` has found so far, and takes up what it finds now. `DataError` passes as it is.
    """
    token = _facts.set(facts)
    try:
        return function(**knobs)
    except (ExperimentError, DataError):
        raise
    except Exception as error:
        line = next((f.lineno for f in reversed(inspect.trace()) if f.filename == str(path)), "?")
        raise ExperimentError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    finally:
        _facts.reset(token)


def parameter_count(params: Any) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _sentence(box: str) -> str:
    """The words of the box that tyro draws around what it has to say, as one sentence."""
    lines = [line.strip("│ ").strip() for line in box.splitlines()]
    words = " ".join(line for line in lines if line and not re.match(r"[╭╰─]", line) and "full helptext" not in line)
    words = re.sub(r" segjax train \S+ --help\s*$", "", words)
    return words.replace("Argument helptext:", "Expected").rstrip(".") + "."
