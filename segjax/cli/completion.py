"""What shells complete: names that are looked up without jax, and the knobs behind `segjax train EXPERIMENT`."""

import argparse
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

try:
    import shtab
except ModuleNotFoundError:  # the base install completes nothing
    SHELLS, FILE, FOLDER = (), None, None
else:
    SHELLS, FILE, FOLDER = shtab.SUPPORTED_SHELLS, shtab.FILE, shtab.DIRECTORY

_PACKAGE = Path(__file__).parents[1]
_ZSH = """
for _command in train launch sweep; do
  functions -c _shtab_segjax_$_command _segjax_named_$_command
  functions[_shtab_segjax_$_command]="
    if (( CURRENT == 2 )); then _segjax_named_$_command; _files
    elif [[ -f \\$words[2] ]]; then _arguments -s \\${(M)_shtab_segjax_${_command}_options:#(|\\*)--*} '1: :_files'
    else _segjax_named_$_command; fi"
done
"""
_FISH = """
for _command in train launch sweep
  complete -c segjax -n "_shtab_segjax_using $_command; and test \\$_shtab_segjax_npos -eq 0" -F
end
"""
"""An experiment may also be a file of one's own, for which bash looks by itself where no name fits."""


class PrintCompletion(argparse.Action):
    """Print the script by which a shell completes this command line, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, shell: Any, option: str | None = None) -> None:
        """Print it."""
        import shtab

        print(shtab.complete(parser, shell, preamble=_ZSH if shell == "zsh" else ""))
        if shell == "fish":  # its script begins by forgetting what was said before
            print(_FISH)
        parser.exit()


class Names(Collection[str]):
    """Names that shells complete; they are looked up when a shell asks, and a command says itself which is wrong."""

    def __init__(self, look_up: Callable[[], Iterable[str]]) -> None:
        self._look_up = look_up

    def __iter__(self) -> Iterator[str]:
        return iter(self._look_up())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return True


def sized(kind: str) -> list[str]:
    """The names of decoders or encoders, from the table of their sizes, which needs no jax."""
    table = json.loads((_PACKAGE / "models/sizes.json").read_text(encoding="utf-8"))
    return [row["name"] for row in table[kind]]


def weights() -> list[str]:
    """The names of sets of weights."""
    from segjax.weights import RECORDS

    return list(RECORDS)


def data_sets() -> Iterable[str]:
    """The names of data sets."""
    from segjax.data.catalogue import NAMES

    return NAMES


def experiments(command: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Give a command every experiment, with its knobs, as a command below it, and each to be given more.

    The knobs are those of the table that `python -m benchmarks.completion` writes.
    """
    named: dict[str, Callable[[], Iterable[str]]] = {
        "data": data_sets,
        "encoder": partial(sized, "encoders"),
        "decoder": partial(sized, "decoders"),
        "start": lambda: ["imagenet", *weights()],
    }
    paths = {"folder": FOLDER, "file": FILE}
    group = command.add_subparsers(metavar="EXPERIMENT")
    for row in _table():
        for name in row["names"]:
            experiment = group.add_parser(name, help=f"of {row['names'][0]}")
            for knob, said in row["knobs"].items():
                settings = {name: value for name, value in said.items() if name != "where"}
                known: dict[str, Any] = {"choices": Names(named[knob])} if knob in named else settings
                known = {"action": argparse.BooleanOptionalAction} if settings.get("nargs") == 0 else known
                action = experiment.add_argument(f"--{knob.replace('_', '-')}", **known)
                if "where" in said:
                    action.complete = paths[said["where"]]  # type: ignore[attr-defined]
            yield experiment


def experiment_names() -> list[str]:
    """The names of all experiments."""
    return sorted(name for row in _table() for name in row["names"])


def _table() -> list[dict[str, Any]]:
    """What `python -m benchmarks.completion` wrote of the experiments."""
    return json.loads((_PACKAGE / "runs/knobs.json").read_text(encoding="utf-8"))
