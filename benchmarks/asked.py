"""What benchmarks are asked for on a command line."""

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from segjax.errors import nearest


def parser(about: str | None) -> argparse.ArgumentParser:
    """That of the module which is run, so that every one answers `--help`, and refuses what it takes no notice of."""
    spec = sys.modules["__main__"].__spec__
    return argparse.ArgumentParser(prog=f"python -m {spec.name}" if spec else None, description=about)


def file_to_write(said: str) -> Path:
    """The type of an argument that names a file, whose folder is looked for before anything is measured."""
    file = Path(said)
    if file.is_dir() or not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{said} can be no file: name one in a folder that is there")
    return file


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """The type of an argument that is one of these names."""

    def name(said: str) -> str:
        if said not in names:
            raise argparse.ArgumentTypeError(f"there is no {said}; name one, such as {nearest(said, names)}")
        return said

    return name
