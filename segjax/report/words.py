"""Scores, numbers and knobs as people read them."""

from typing import Any

from segjax.progress import clock

_CALLED = {
    "miou": "mean IoU",
    "iou": "IoU",
    "dice": "Dice",
    "mdice": "mean Dice",
    "mask_iou": "IoU of masks",
    "mean_iou": "mean IoU of boxes",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar": "AR",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "class_ap": "AP",
    "class_ap50": "AP50",
    "class_f1": "best F1",
    "class_threshold": "score of the best F1",
    "test": "test",
    "val": "validation",
    "ema": "validation, averaged weights",
}
_PREFIXES = ("", "k", "M", "G", "T", "P")


def called(name: str) -> str:
    """A score or a split as it is written."""
    return _CALLED.get(name, name.replace("_", " "))


def score(value: Any) -> str:
    """A score with three digits; a dash where it is undefined."""
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def shown(value: Any) -> str:
    """The value of a knob, as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) and value else str(value)


def number(value: int) -> str:
    """With a comma at each thousand."""
    return f"{value:,}"


def quantity(value: float, unit: str, base: int) -> str:
    """With a prefix, such as 23.5 GFLOP or 221 MiB."""
    power = 0
    while value >= base and power < len(_PREFIXES) - 1:
        value, power = value / base, power + 1
    prefix = _PREFIXES[power].upper() + "i" if base == 1024 and power else _PREFIXES[power]
    return f"{value:.3g} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Such as 7 min 42 s, and 8.5 s where a tenth says something."""
    return f"{seconds:.1f} s" if round(seconds) < 60 else clock(seconds)
