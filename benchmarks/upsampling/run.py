"""Training whatever has not been trained yet, and timing what has not been timed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.upsampling.cells import FAMILIES, LABELS, Cell, Place, grid, parameters
from benchmarks.upsampling.costs import measure
from benchmarks.upsampling.data import load, slug
from benchmarks.upsampling.own import join
from benchmarks.upsampling.results import Results, configuration, cost_name, missing, run_name
from benchmarks.upsampling.scoring import look, score, shifted
from benchmarks.upsampling.settings import Settings
from benchmarks.upsampling.training import initial_state, programs, train
from benchmarks.upsampling.workers import work

Plan = dict[Place, Cell]


def plan(settings: Settings) -> Plan:
    """Every place in the tables; opens the data sets, and so fetches what is missing before there are workers."""
    places: Plan = {}
    names = (*settings.upsamplers, *join(settings.own))
    for name in settings.data:
        classes = load(name).num_classes
        places |= grid(slug(name), classes, settings.width, settings.families, names, settings.match)
    return places


def run(settings: Settings, places: Plan, folder: Path, workers: int) -> list[str]:
    """Run what is missing in the folder; returns a sentence for every cell that failed."""
    results = Results(folder)
    results.mend()
    paths = {slug(name): name for name in settings.data}
    todo = missing(results.rows("results.jsonl"), dict.fromkeys(places.values()), settings)
    jobs = [(cell, paths[cell.data], tuple(seeds), settings, folder) for cell, seeds in todo]
    count = sum(len(seeds) for _, seeds in todo)
    print(f"{count} of {len(set(places.values())) * settings.seeds} runs to do, {workers} at a time.", flush=True)
    failures, began = [], time.perf_counter()
    for done, (job, outcome) in enumerate(work(train_cell, jobs, workers, folder / "cache"), start=1):
        cell = job[0]
        label = f"{cell.data}, {FAMILIES[cell.family]}, {LABELS[cell.upsampler]}, decoder {cell.decoder}"
        if isinstance(outcome, BaseException):
            failures.append(f"{label}: {outcome}")
            outcome = "failed"
        left = (time.perf_counter() - began) / done * (len(jobs) - done)
        print(f"[{done}/{len(jobs)}] {label}: {outcome}; {_clock(left)} left", flush=True)
    time_cells(settings, places, folder, paths, failures)
    return failures


def train_cell(cell: Cell, data_name: str, seeds: Sequence[int], settings: Settings, folder: Path) -> str:
    """Train and score a cell with every one of these seeds, a row each; returns what to say of it."""
    join(settings.own)  # a worker is another process
    data, results = load(data_name), Results(folder)
    program = programs(cell, data, settings)
    mious = []
    for seed in seeds:
        name = run_name(cell, settings, seed)
        state = initial_state(cell, program, seed)
        before = look(program, state.variables, data)
        variables, loss, seconds = train(program, state, data, seed)
        after = look(program, variables, data)
        scores = score(program, variables, data)
        if seed == 0:
            spectra = {"initial_spectrum": before.spectrum, "spectrum": after.spectrum}
            results.save_arrays(name, spectra | {"prediction": after.shown})
        total, decoder = parameters(cell, data.num_classes)
        row = {"name": name, **configuration(cell, settings), "seed": seed, "parameters": total}
        row |= {"decoder_parameters": decoder, **scores, "loss": loss, "seconds": round(seconds, 2)}
        row["shift"] = shifted(program, variables, data)
        row |= {"initial_checkerboard": before.checkerboard, "checkerboard": after.checkerboard}
        results.append("results.jsonl", row)
        mious.append(scores["miou"])
    return f"mIoU {min(mious):.3f} to {max(mious):.3f}"


def time_cells(settings: Settings, places: Plan, folder: Path, paths: Mapping[str, str], failures: list[str]) -> None:
    """Time the cells of every family that has one without costs, with nothing else at work."""
    results = Results(folder)
    families: dict[tuple[str, str], dict[Cell, None]] = {}
    for place, cell in places.items():
        families.setdefault((place.data, place.family), {})[cell] = None
    known = results.rows("costs.jsonl")
    jobs = [
        (tuple(cells), paths[data], settings, folder)
        for (data, _), cells in families.items()
        if any(cost_name(cell, settings) not in known for cell in cells)
    ]
    for job, outcome in work(measure, jobs, 1, folder / "cache"):
        what = f"{job[0][0].data}, {FAMILIES[job[0][0].family]}"
        if isinstance(outcome, BaseException):
            failures.append(f"{what}, times: {outcome}")
        print(f"Timed {len(job[0])} cells: {what}", flush=True)


def _clock(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
