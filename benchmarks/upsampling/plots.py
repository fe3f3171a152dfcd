"""What the scores look like as points with their intervals: against costs, against bilinear, and as checkerboards."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.upsampling.cells import CONTROL, FAMILIES, UPSAMPLERS, Family, Place, Size
from benchmarks.upsampling.statistics import against, mean
from benchmarks.upsampling.tables import SCORES, Outcome
from segjax.drawing.figures import despine

# Kin share a colour, and differ by their marker.
STYLES: dict[str, tuple[str, str]] = {
    "nearest": ("#7f7f7f", "s"),
    "bilinear": ("#222222", "o"),
    "max_unpool": ("#d62728", "D"),
    "conv_transpose_2x2": ("#1f77b4", "v"),
    "conv_transpose_3x3": ("#1f77b4", "^"),
    "conv_transpose_3x3_bilinear": ("#1f77b4", ">"),
    "resize_conv": ("#17a398", "p"),
    "pixel_shuffle": ("#e08214", "X"),
    "pixel_shuffle_icnr": ("#e08214", "P"),
    "carafe": ("#8e44ad", "*"),
    "dysample": ("#8e44ad", "h"),
    "fade": ("#6b8e23", "<"),
    "sapa": ("#6b8e23", "d"),
}
OF_OTHERS = ("#c71585", "8")
"""Upsamplers of a third party."""
COSTS = {
    "inference_ms": ("inference, ms a batch", 1.0),
    "inference_bytes": ("peak memory of inference, MiB", 2.0**-20),
}
SIZES: tuple[Size, ...] = ("published", "matched")

matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "segjax", "font.size": 9})


def pareto(outcome: Outcome, data: str, score: str) -> Figure:
    """A score against time and memory in every family; filled as published, hollow with matched parameters."""
    families = outcome.families(data, outcome.main_size(data))
    figure = Figure(figsize=(3.1 * len(families) + 0.5, 7.0), layout="constrained")
    grid = figure.subplots(len(COSTS), len(families), squeeze=False, sharex="row", sharey=True)
    for row, (cost, (label, factor)) in zip(grid, COSTS.items(), strict=True):
        for axes, family in zip(row, families, strict=True):
            for size in reversed(SIZES):
                _points(axes, outcome, data, size, family, score, cost, factor)
            axes.set_xlabel(label)
            _tidy(axes)
        row[0].set_ylabel(f"{SCORES[score]}, mean and 95% interval over seeds")
    for axes, family in zip(grid[0], families, strict=True):
        axes.set_title(FAMILIES[family])
    figure.legend(handles=_legend(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _points(
    axes: Axes, outcome: Outcome, data: str, size: Size, family: Family, score: str, cost: str, factor: float
) -> None:
    front = []
    for name, values in outcome.table(data, size, family, score).items():
        place = Place(data, size, family, name)
        if place not in outcome.costs:
            continue
        twice = outcome.cells[place] == outcome.cells.get(Place(data, "published", family, name))
        if size == "matched" and twice:
            continue
        x = factor * outcome.costs[place][cost]
        estimate = mean(values)
        colour, marker = STYLES.get(name, OF_OTHERS)
        reach = np.nan_to_num(estimate.high - estimate.value)
        axes.errorbar(
            x,
            estimate.value,
            reach,
            color=colour,
            marker=marker,
            markersize=9 if marker == "*" else 6.5,
            markerfacecolor=colour if size == "published" else "white",
            elinewidth=0.8,
            alpha=1.0 if size == "published" else 0.6,
        )
        front.append((x, estimate.value))
    if size == "published":
        best: list[tuple[float, float]] = []
        for x, y in sorted(front, key=lambda point: (point[0], -point[1])):
            if not best or y > best[-1][1]:
                best.append((x, y))
        axes.plot(*zip(*best, strict=True), drawstyle="steps-post", color="#bbbbbb", linewidth=1, zorder=0)


def differences(outcome: Outcome, data: str) -> Figure:
    """What every operator has more than bilinear, with intervals, in every family and the two headline scores."""
    families = outcome.families(data, outcome.main_size(data))
    scores = ("miou", "boundary_f1")
    names = [name for name in UPSAMPLERS if name != CONTROL]
    figure = Figure(figsize=(3.0 * len(families) + 1.6, 6.4), layout="constrained")
    grid = figure.subplots(len(scores), len(families), squeeze=False, sharey=True, sharex="row")
    for row, score in zip(grid, scores, strict=True):
        for axes, family in zip(row, families, strict=True):
            axes.axvline(0, color="#222222", linewidth=0.8)
            for size, shift in zip(SIZES, (-0.14, 0.14), strict=True):
                table = outcome.table(data, size, family, score)
                for name, (estimate, p) in against(table, CONTROL).items() if CONTROL in table else ():
                    colour, marker = STYLES.get(name, OF_OTHERS)
                    axes.errorbar(
                        100 * estimate.value,
                        names.index(name) + shift,
                        xerr=100 * np.nan_to_num(estimate.high - estimate.value),
                        color=colour,
                        marker=marker,
                        markersize=6,
                        markerfacecolor=colour if size == "published" else "white",
                        elinewidth=1.8 if p < 0.05 else 0.8,
                    )
            axes.set_xlabel(f"{SCORES[score]} against bilinear, points")
            _tidy(axes)
    for axes, family in zip(grid[0], families, strict=True):
        axes.set_title(FAMILIES[family])
    for row in grid:
        row[0].set_yticks(range(len(names)), [UPSAMPLERS[name] for name in names])
        row[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], color="#555555", marker="o", label="as published"),
        Line2D([], [], color="#555555", marker="o", markerfacecolor="white", label="matched parameters"),
        Line2D([], [], color="#555555", linewidth=1.8, label="thick: p < 0.05 after Holm's correction"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def checkerboards(outcome: Outcome, data: str) -> Figure:
    """The checkerboard score of stride 2 at the start (hollow) and after training (filled)."""
    size = outcome.main_size(data)
    families = outcome.families(data, size)
    names = list(UPSAMPLERS)
    figure = Figure(figsize=(2.7 * len(families) + 1.6, 3.6), layout="constrained")
    for axes, family in zip(figure.subplots(1, len(families), squeeze=False, sharey=True)[0], families, strict=True):
        start = outcome.table(data, size, family, "initial_checkerboard/2")
        end = outcome.table(data, size, family, "checkerboard/2")
        axes.axvline(1, color="#222222", linewidth=0.8)
        for name in start:
            colour, row = STYLES.get(name, OF_OTHERS)[0], names.index(name)
            before, after = (np.exp(np.log(values).mean()) for values in (start[name], end[name]))
            axes.plot([before, after], [row, row], color=colour, linewidth=1, alpha=0.5)
            axes.plot(start[name], [row] * len(start[name]), "|", color=colour, markersize=5, alpha=0.4)
            axes.plot(end[name], [row] * len(end[name]), "|", color=colour, markersize=5, alpha=0.4)
            axes.plot(before, row, "o", color=colour, markerfacecolor="white")
            axes.plot(after, row, "o", color=colour)
        axes.set(xscale="log", title=FAMILIES[family], xlabel="checkerboard score, stride 2")
        axes.set_yticks(range(len(names)), list(UPSAMPLERS.values()))
        axes.set_ylim(len(names) - 0.4, -0.6)
        _tidy(axes)
    handles = [
        Line2D([], [], color="#555555", marker="o", linestyle="", markerfacecolor="white", label="at the start"),
        Line2D([], [], color="#555555", marker="o", linestyle="", label="after training"),
        Line2D([], [], color="#555555", marker="|", linestyle="", label="one seed"),
        Line2D([], [], color="#222222", linewidth=0.8, label="1: none"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _legend() -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=UPSAMPLERS[name])
        for name, (colour, marker) in STYLES.items()
    ]
    handles.append(
        Line2D([], [], color="#555555", marker="o", linestyle="", markerfacecolor="white", label="matched parameters")
    )
    handles.append(Line2D([], [], color="#bbbbbb", label="best so far, as published"))
    return handles


def _tidy(axes: Axes) -> None:
    despine(axes)
    axes.grid(alpha=0.2)
