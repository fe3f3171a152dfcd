"""The commands that look at finished runs."""

import argparse
from pathlib import Path

from segjax.cli.process import prepare
from segjax.cli.say import print_table
from segjax.strict_json import as_json


def report(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax report RUN...`: write report.html of a run again, or a page of several side by side."""
    prepare()
    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.runs.report import finished_runs, report_run, report_runs

    keep_compiled_programs()
    paths = [Path(path) for path in parsed.runs]
    runs = [run for path in paths for run in finished_runs(path)]
    if len(runs) == 1:
        print(report_run(runs[0]))
    else:
        print(report_runs(paths, parsed.out))
    return 0


def compare(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax compare RUN RUN`: what changed in knobs and scores from the first to the second."""
    from segjax.runs.compare import RESAMPLES, compare_runs

    found = compare_runs(Path(parsed.one), Path(parsed.other))
    if parsed.json:
        print(as_json(found.as_json(), indent=2))
        return 0
    names = [parsed.one, parsed.other]
    if found.knobs:
        print_table(["knob", *names], [[name, *map(str, values)] for name, values in found.knobs.items()])
        print()
    scores = [[name, *_with_change(values)] for name, values in found.scores.items()]
    print_table(["test score", *names, "change"], scores)
    print()
    if found.paired is None:
        print(f"Not paired over images: {found.why_not}.")
        return 0
    of = found.paired
    print(
        f"{of.score} of an image, over the {of.images} that both were scored on: {of.mean:+.3f} on average, "
        f"95% interval {of.low:+.3f} to {of.high:+.3f} ({RESAMPLES:,} bootstrap resamples of the images); "
        f"better on {of.better}, worse on {of.worse}."
    )
    return 0


def _with_change(values: list[float | None]) -> list[str]:
    one, other = values
    shown = ["–" if value is None else f"{value:.3f}" for value in values]
    return [*shown, "" if one is None or other is None else f"{other - one:+.3f}"]
