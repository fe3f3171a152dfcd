"""Three ways to find one box, side by side: `python -m benchmarks.islands RUN [RUN ...]`.

A RUN is the folder of `segjax sweep islands --way regress,extreme_points,mask --seeds 0,1,2`, or that of
`segjax train islands --seeds 0,1,2` with any knobs. Prints a markdown table: the scores on the test
split as means over seeds with 95% intervals (Student's t), and first what a constant answer scores there, which is the
mean box of the training split with its commonest class. The time is that of training all seeds, one after the other or
side by side, with the looks at the test split and without compiling.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.report import machine, markdown
from segjax.data import Source, islands
from segjax.errors import ExperimentError
from segjax.metrics import LocalizationScores, localization_counts, localization_scores
from segjax.runs.run import experiment_file
from segjax.runs.seeds import Interval, open_runs
from segjax.train.run import Run

SCORES = ("localization_accuracy", "mean_iou", "box_accuracy", "class_accuracy")
TITLES = ["way", "parameters", "localization accuracy", "mean IoU", "box IoU >= 0.5", "class", "training", "command"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.islands", description="Ways to find one box.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs of islands")
    try:
        rows = [row_of(open_runs(folder)) for path in parser.parse_args().runs for folder in finished(path)]
    except ExperimentError as error:
        sys.exit(str(error))
    data = islands("one")
    scores = constant_answer(data.open("train"), data.open("test"), len(data.class_names))
    cells = [f"{getattr(scores, name):.3f}" for name in SCORES]
    print(f"{machine()}\n")
    print(markdown(TITLES, [["mean box, commonest class", "", *cells, "", "`python -m benchmarks.islands`"], *rows]))


def finished(path: Path) -> list[Path]:
    """The folders of a sweep's combinations, or the path itself; ExperimentError where one is not finished."""
    names = sorted(path.glob("*/report.json"))
    folders = [name.parent for name in names] if (path / "results.jsonl").exists() else [path]
    missing = next((folder for folder in folders if not (folder / "report.json").exists()), None)
    if missing is not None or not folders:
        raise ExperimentError(f"{missing or path} holds no report.json: let the training finish, or name another run.")
    return folders


def row_of(runs: list[Run]) -> list[str]:
    """A row of the table from the runs of all seeds; ExperimentError where they are of another experiment."""
    kept = runs[0].configuration()
    if "way" not in kept["knobs"]:
        raise ExperimentError(f"{runs[0].path} is a run of {kept['experiment']}: name runs of islands.")
    reports = [json.loads((run.path / "report.json").read_text()) for run in runs]
    scores = [Interval.of([report["test"][name] for report in reports]) for name in SCORES]
    seconds = max(report["train_seconds"] for report in reports)  # side by side, each has taken as long as all
    return [
        kept["knobs"]["way"],
        f"{reports[0]['parameters']:,}",
        *map(str, scores),
        f"{seconds / 60:.1f} min, {len(runs)} seeds" if len(runs) > 1 else f"{seconds / 60:.1f} min",
        f"`{command(runs)}`",
    ]


def command(runs: list[Run]) -> str:
    """What trains these runs again, from the knobs that are not the defaults."""
    knobs = runs[0].configuration()["knobs"]
    defaults = experiment_file(runs[0]).knobs()
    given = [f"--{name.replace('_', '-')} {value}" for name, value in knobs.items() if value != defaults[name]]
    seeds = [run.configuration()["knobs"]["seed"] for run in runs]
    if len(runs) > 1:
        given = [*(one for one in given if not one.startswith("--seed ")), f"--seeds {','.join(map(str, seeds))}"]
    return " ".join(["segjax train islands", *given])


def constant_answer(train: Source, test: Source, num_classes: int) -> LocalizationScores:
    """What the mean box of the training records, with their commonest class, scores on the test records."""
    (boxes, labels), (true_boxes, true_labels) = map(_objects, (train, test))
    box, label = boxes.mean(0), np.bincount(labels, minlength=num_classes).argmax()
    n = len(true_labels)
    counts = localization_counts(np.tile(box, (n, 1)), np.full(n, label), true_boxes, true_labels, num_classes)
    return localization_scores(np.asarray(counts).sum(0))


def _objects(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The box and the label of the one object of every record."""
    records = [source[i] for i in range(len(source))]
    return np.concatenate([one["boxes"] for one in records]), np.concatenate([one["labels"] for one in records])


if __name__ == "__main__":
    main()
