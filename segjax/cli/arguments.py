"""How commands and their arguments are added, and what several of them take."""

import argparse
from collections.abc import Callable
from typing import Any

SAVED = (
    "a run or a saved model: a folder, s3://BUCKET/RUN, gs://BUCKET/RUN, hub:OWNER/NAME, a file of torchvision's, or "
    "hed, craft or selfie"
)
WHICH = "which checkpoint [the best where the experiment has patience, or the last]"
SOFT_NMS = "lower the scores of boxes that better ones overlap"


def add(group: Any, name: str, run: Callable[..., int], help: str, **settings: Any) -> argparse.ArgumentParser:
    """A command of a group, which `run` answers."""
    command = group.add_parser(name, help=help, description=help, allow_abbrev=False, **settings)
    command.set_defaults(command=run, parser=command)
    return command


def argument(command: argparse.ArgumentParser, *names: str, complete: Any = None, **settings: Any) -> None:
    """Add an argument; `complete` is how shells complete it, by `completion.FILE` or `FOLDER`."""
    action = command.add_argument(*names, **settings)
    if complete is not None:
        action.complete = complete  # type: ignore[attr-defined]


def seeds(text: str) -> list[int]:
    """0,1,2 as numbers."""
    said = text.split(",")
    if not all(seed.isdecimal() for seed in said):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds, numbers from 0, such as 0,1,2")
    return list(map(int, said))


def folder(text: str) -> str:
    """The name of a folder, as it is; one of nothing, such as a shell's variable that is not set, would be this one."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a folder, or leave it out")
    return text


def count(text: str) -> int:
    """A number from 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")


def count_or_auto(text: str) -> int | None:
    """A number from 1; None for auto."""
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of devices nor auto")
