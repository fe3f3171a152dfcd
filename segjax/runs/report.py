"""The report of a run, written again from its folder; and that of several runs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from segjax.errors import UserError
from segjax.report import RunFiles, read_run, write_report, write_run_page, write_runs_page
from segjax.runs.load import load_experiment
from segjax.runs.seeds import intervals, open_runs
from segjax.train.run import Run


def finished_runs(path: Path) -> list[Run]:
    """The run in a folder, or those of all seeds in it; one that was trained from Python, too.

    Raises:
        ExperimentError: it holds none, or one that is not finished.
    """
    from_python = (path / "run.json").exists() and not (path / "experiment.py").exists()
    runs = [Run(path)] if from_python else open_runs(path)
    for run in runs:
        run.report()
    return runs


def report_run(run: Run) -> Path:
    """Write report.html of a finished run again, and return it.

    The test split is looked at again where the data and a checkpoint are there; otherwise the page has what the folder
    holds, and says what is left out.
    """
    try:
        experiment, variables = load_experiment(run.path)
        source = experiment.data.open("test")
        task = experiment.task_of_data
        seen = task.draw_predictions(run.path, experiment.model, variables, source)
    except (UserError, OSError) as error:
        write_run_page(run.path, note=f"Images are left out: {error}")
    else:
        write_report(run.path, task.headline, experiment.data, seen)
    return run.path / "report.html"


def report_runs(paths: Sequence[Path], out: Path) -> Path:
    """Write a page of finished runs side by side, those that differ in their seed alone as one, and return it.

    Raises:
        ExperimentError: a folder is no run, or its run is not finished.
    """
    groups = _groups([read_run(run.path) for path in paths for run in finished_runs(path)])
    over_seeds = {name: intervals([one.report["test"] for one in group]) for name, group in groups.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_runs_page(out, groups, over_seeds)
    return out


def _groups(runs: Sequence[RunFiles]) -> dict[str, list[RunFiles]]:
    """Runs by what they are called: those that differ in their seed alone, and have the same scores, are together."""
    together: list[list[RunFiles]] = []
    for run in runs:
        group = next((group for group in together if all(_alike(one, run) for one in group)), None)
        if group is None:
            together.append([run])
        else:
            group.append(run)
    folders = [group[0].folder.parent if len(group) > 1 else group[0].folder for group in together]
    names = [str(folder) for folder in folders]
    return {
        name if names.count(name) == 1 else f"{name} ({number})": group
        for number, (name, group) in enumerate(zip(names, together, strict=True), start=1)
    }


def _alike(one: RunFiles, other: RunFiles) -> bool:
    def known(run: RunFiles) -> tuple[str, dict[str, object], dict[str, object]]:
        knobs = {name: value for name, value in run.knobs.items() if name != "seed"}
        return run.name, knobs, _names(run.report["test"])

    return known(one) == known(other) and one.knobs.get("seed") != other.knobs.get("seed")


def _names(scores: Mapping[str, object]) -> dict[str, object]:
    """What scores are called, those by class, too: a folder may have got other classes since."""
    return {name: _names(value) if isinstance(value, Mapping) else None for name, value in scores.items()}
