"""Names as the font of pictures can write them."""

from collections.abc import Sequence
from functools import cache

import matplotlib
from matplotlib.ft2font import FT2Font

FONT = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
"""matplotlib's own, which is there wherever it is: Latin, Greek, Cyrillic, Arabic, but no Chinese or emoji."""


def drawable(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each with a letter that the font lacks as its number: squares in its place would all look alike."""
    letters = _letters()
    return tuple(
        name if all(ord(letter) in letters for letter in name) else f"class {number}"
        for number, name in enumerate(names)
    )


@cache
def _letters() -> frozenset[int]:
    return frozenset(FT2Font(FONT).get_charmap())
