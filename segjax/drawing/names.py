"""Names of classes as a font can draw them."""

import functools
from collections.abc import Sequence

_LONGEST = 40
"""More letters of a name would be wider than what it stands in or below."""


@functools.cache
def font_file() -> str:
    """The font that everything is written in: it comes with matplotlib."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def drawable(class_names: Sequence[str]) -> list[str]:
    """The names, up to 40 letters of each; "class 3" where the font has not all of that class's, as of Chinese."""
    known, names = _letters(), [shortened(name, _LONGEST) for name in class_names]
    return [name if known.issuperset(map(ord, name)) else f"class {i}" for i, name in enumerate(names)]


def shortened(text: str, letters: int) -> str:
    """The text; its beginning and its end where it has more letters."""
    end = letters // 2
    return text if len(text) <= letters else f"{text[: letters - end - 1]}…{text[len(text) - end :]}"


def in_legend(class_names: Sequence[str]) -> list[str]:
    """As `drawable`, for matplotlib's legends, which leave out what begins with _ and take $ for a formula."""
    written = [name.replace("$", r"\$") for name in drawable(class_names)]
    return [f" {name}" if name.startswith("_") else name for name in written]


@functools.cache
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_file()).get_charmap())
