"""What commands print."""

import sys
from typing import Any


def fail(sentence: str) -> int:
    """Say what is wrong; returns the exit code."""
    print(f"segjax: {sentence}", file=sys.stderr)
    return 1


def print_scores(scores: dict[str, Any]) -> None:
    """Scores by class first, then those of the whole split."""

    def shown(value: Any) -> str:
        return "undefined" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    for name, value in scores.items():
        if isinstance(value, dict):
            for one, of_class in value.items():
                print(f"  {name:<6} {one:<20} {shown(of_class)}")
    print("  " + "   ".join(f"{name} {shown(value)}" for name, value in scores.items() if not isinstance(value, dict)))
