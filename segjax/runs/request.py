"""From the words of a command line to the runs that they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segjax.errors import ExperimentError
from segjax.runs.experiment_file import read_experiment
from segjax.runs.run import experiment_file, new_run
from segjax.runs.seeds import create_runs, open_runs
from segjax.train import distributed
from segjax.train.run import Run


def new_runs(
    said: str, arguments: Sequence[str], out: Path | None, seeds: Sequence[int] | None
) -> tuple[Path, list[Run]]:
    """A new folder for an experiment with those knobs, and the runs in it: itself, or one for each seed.

    Raises:
        ExperimentError: the experiment, a knob or the folder cannot be used.
        DataError: its data set cannot be used.
    """
    file = read_experiment(said)
    knobs = file.knobs(arguments)

    def create() -> str:
        if seeds is not None:
            return str(create_runs(out, file, knobs, seeds)[0].path.parent)
        return str(new_run(out, file, knobs).path)

    folder = Path(distributed.agree(create))
    return folder, open_runs(folder)


def old_runs(folder: Path, arguments: Sequence[str]) -> list[Run]:
    """The runs of a folder to go on with.

    Raises:
        ExperimentError: it holds none, or a knob is given that they do not have.
    """
    runs = open_runs(folder)
    for run in runs if arguments else []:
        kept = run.configuration()["knobs"]
        asked = experiment_file(run).knobs(arguments)
        flags = {argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}
        named = {name for name in asked if {f"--{name}".replace("_", "-"), f"--no-{name}".replace("_", "-")} & flags}
        changed = [
            f"{name} was {kept[name]!r}, not {asked[name]!r}"
            for name in asked
            if name in named
            if not _same(kept[name], asked[name])
        ]
        if changed:
            raise ExperimentError(
                f"{run.path} goes on as it began: {'; '.join(changed)}. Leave these knobs out, or start a new run."
            )
    return runs


def _same(kept: Any, asked: Any) -> bool:
    """Whether a knob is as run.json has it, where tuples are lists."""
    return kept == (list(asked) if isinstance(asked, tuple) else asked)
