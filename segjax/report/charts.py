"""Charts as numbers and paths, which the page's template draws as SVG in the colours of a light or a dark page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

WIDTH, HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 20, 12, 38
_BINS = 20
"""Bars of a histogram."""

Points = Sequence[tuple[float, float | None]]
"""x and y; no y where it is undefined."""


class Line(NamedTuple):
    """One curve."""

    name: str
    points: Points
    colour: str
    """As CSS has it."""
    dots: bool = False


class Mark(NamedTuple):
    """A tick of an axis."""

    place: float
    label: str


class Drawn(NamedTuple):
    """One curve in the coordinates of the SVG."""

    name: str
    colour: str
    path: str
    dots: list[tuple[float, float]]


class Bar(NamedTuple):
    """One bar in the coordinates of the SVG."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """What the template needs."""

    title: str
    about: str
    """What a reader is told who does not see it."""
    x_label: str
    y_label: str
    x_marks: list[Mark]
    y_marks: list[Mark]
    lines: list[Drawn]
    bars: list[Bar] = field(default_factory=list)
    diagonal: str = ""
    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT
    left: ClassVar[int] = _LEFT
    right: ClassVar[int] = WIDTH - _RIGHT
    top: ClassVar[int] = _TOP
    bottom: ClassVar[int] = HEIGHT - _BOTTOM

    @property
    def legend(self) -> list[Drawn]:
        """The curves that have to be told apart, each name once."""
        named = {line.name: line for line in self.lines}
        return [*named.values()] if len(named) > 1 else []


class _Scale(NamedTuple):
    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return round(self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first), 1)


def curves(
    title: str, lines: Sequence[Line], *, x_label: str, y_label: str, x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
) -> Chart | None:  # fmt: skip
    """Lines over one axis; None where no point is known.

    Args:
        title: What it shows.
        lines: The curves.
        x_label: What is to the right.
        y_label: What is upwards.
        x: The ends of that axis; None for those of the points.
        y: The same upwards; None for 0 and the greatest, or the least and the greatest where some are negative.
    """
    known = [(a, b) for line in lines for a, b in line.points if b is not None and math.isfinite(b)]
    if not known:
        return None
    right, up = _scales(x or _ends([a for a, _ in known]), y or _ends([0.0, *(b for _, b in known)]))
    drawn = [_drawn(line, right, up) for line in lines]
    ends = "; ".join(f"{line.name} ends at {last:.3f}" for line in lines if (last := _last(line.points)) is not None)
    return Chart(title, f"{title} by {x_label}: {ends}.", x_label, y_label, _marks(right), _marks(up), drawn)


def histogram(title: str, values: Sequence[float], *, x_label: str, y_label: str) -> Chart:
    """How many values, of 0..1, are in each bin."""
    counts = [0] * _BINS
    for value in values:
        counts[min(int(value * _BINS), _BINS - 1)] += 1
    right, up = _scales((0.0, 1.0), (0.0, float(max(counts))))
    bars = [_bar(i / _BINS, (i + 1) / _BINS, count, right, up) for i, count in enumerate(counts) if count]
    middle = sorted(values)[len(values) // 2]
    about = f"{title}: {len(values)} values from {min(values):.3f} to {max(values):.3f}, the median is {middle:.3f}."
    return Chart(title, about, x_label, y_label, _marks(right), _marks(up), [], bars)


def reliability(title: str, bins: Sequence[Sequence[float]], error: float) -> Chart:
    """How often a prediction of each confidence is right (Guo et al. 2017); `bins` as `calibration_bins` has them."""
    right, up = _scales((0.0, 1.0), (0.0, 1.0))
    bars = [
        _bar(i / len(bins), (i + 1) / len(bins), correct / count, right, up)
        for i, (count, _, correct) in enumerate(bins)
        if count
    ]
    diagonal = f"M{right(0)} {up(0)}L{right(1)} {up(1)}"
    about = f"{title}: the expected calibration error is {error:.3f}; bars on the diagonal are calibrated."
    return Chart(title, about, "confidence", "share that is right", _marks(right), _marks(up), [], bars, diagonal)


def _scales(x: tuple[float, float], y: tuple[float, float]) -> tuple[_Scale, _Scale]:
    return _Scale(*x, _LEFT, WIDTH - _RIGHT), _Scale(*y, HEIGHT - _BOTTOM, _TOP)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _last(points: Points) -> float | None:
    return next((b for _, b in reversed(points) if b is not None and math.isfinite(b)), None)


def _drawn(line: Line, right: _Scale, up: _Scale) -> Drawn:
    path, pen_down, dots = "", False, []
    for a, b in line.points:
        if b is None or not math.isfinite(b):
            pen_down = False
            continue
        place = right(a), up(min(max(b, up.low), up.high))
        path += f"{'L' if pen_down else 'M'}{place[0]} {place[1]}"
        pen_down = True
        dots.append(place)
    return Drawn(line.name, line.colour, path, dots if line.dots or len(dots) == 1 else [])


def _bar(start: float, end: float, value: float, right: _Scale, up: _Scale) -> Bar:
    top = up(value)
    return Bar(right(start) + 0.5, top, round(right(end) - right(start) - 1, 1), round(up(0) - top, 1))


def _marks(scale: _Scale) -> list[Mark]:
    """Ticks at round numbers: steps of 1, 2 or 5 times a power of ten, about five of them."""
    span = scale.high - scale.low
    power = 10 ** math.floor(math.log10(span / 5))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 6)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1)
    return [Mark(scale(n * step), f"{n * step:,.{digits}f}") for n in numbers]
