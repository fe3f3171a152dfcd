"""Experiments by name: those that come with segjax, beside the package or, in a wheel, inside it."""

import ast
from pathlib import Path

from segjax.errors import ExperimentError, nearest

_PACKAGE = Path(__file__).parents[1]
FOLDER = next((p for p in (_PACKAGE / "experiments", _PACKAGE.parent / "experiments") if p.is_dir()), _PACKAGE)
"""Where their files are."""


def names() -> dict[str, Path]:
    """The file of every experiment that has a name: its own, or that of one of its presets; no file is run."""
    found: dict[str, Path] = {}
    for file in sorted(FOLDER.glob("*.py")):
        found |= dict.fromkeys([file.stem, *_presets(file)], file)
    return found


def find(name: str) -> Path:
    """The file of an experiment that is named, or named by its path.

    Raises:
        ExperimentError: there is none; it offers the nearest names.
    """
    known = names()
    if Path(name).is_file():
        return Path(name)
    if name in known:
        return known[name]
    near = nearest(Path(name).stem, sorted(known))
    what = "is not a file" if Path(name).suffix == ".py" else "is no experiment and not a file"
    raise ExperimentError(f"{name} {what}; name an experiment before its knobs, such as {near}, or a file of yours.")


def _presets(file: Path) -> list[str]:
    """The names in the table PRESETS of an experiment file."""
    for node in ast.parse(file.read_bytes()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(t, ast.Name) and t.id == "PRESETS" for t in targets):
            return [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return []
