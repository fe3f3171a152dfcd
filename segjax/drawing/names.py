"""Names of classes as a font can draw them."""

import functools
from collections.abc import Sequence


@functools.cache
def font_file() -> str:
    """The font that everything is written in: it comes with matplotlib."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def drawable(class_names: Sequence[str]) -> list[str]:
    """The names; "class 3" where the font has not all letters of that class's, as those of Chinese."""
    known = _letters()
    return [name if known.issuperset(map(ord, name)) else f"class {i}" for i, name in enumerate(class_names)]


def in_legend(class_names: Sequence[str]) -> list[str]:
    """As `drawable`, for matplotlib's legends, which leave out what begins with _ and take $ for a formula."""
    written = [name.replace("$", r"\$") for name in drawable(class_names)]
    return [f" {name}" if name.startswith("_") else name for name in written]


@functools.cache
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_file()).get_charmap())
