"""What is held out of the training records for validation, where nothing says it, and for testing likewise."""

import hashlib
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

TEST_SHARE = 0.2
"""Of all records, where nothing says which ones test."""
VAL_SHARE = 0.1
"""Of the records that train, where nothing says which ones validate."""

_T = TypeVar("_T")
# The place of a tile in its image: a row and a column, or y and x, after its name: "_3_12", "-r03-c12", "_y256_x1024".
_PLACE = re.compile(r"[ _-]+(?:row|r|y|h|top)?[ _]?\d+[ _-]+(?:column|col|c|x|w|left)?[ _]?\d+$", re.IGNORECASE)
_LEAST_GROUPS = 3


def by_hash(names: Sequence[str]) -> list[int]:
    """Where names stand, in the order of their hashes: names alone decide."""

    def rank(place: int) -> bytes:
        return hashlib.sha256(names[place].encode("utf-8", "surrogateescape")).digest()

    return sorted(range(len(names)), key=rank)


def lowest_hashes(names: Sequence[str], share: float) -> set[int]:
    """Where the share of the names stands that have the lowest hashes, at least one."""
    return set(by_hash(names)[: max(1, round(share * len(names)))])


def hold_out(records: Sequence[_T], name: Callable[[_T], str], share: float = VAL_SHARE) -> tuple[list[_T], list[_T]]:
    """Training records in two: what still trains, and a share that validates or tests; nothing of a single one.

    By the lowest hashes of names. Tiles of one image, which their names say by the place at their end, stay together;
    where that makes fewer than three groups, the names are of something else, and each is taken for itself.
    """
    groups: defaultdict[str, list[_T]] = defaultdict(list)
    for record in records:
        groups[group_of(name(record))].append(record)
    if len(groups) < _LEAST_GROUPS:
        groups = defaultdict(list, {name(record): [record] for record in records})
    if len(groups) < 2:
        return list(records), []
    members = list(groups.values())
    chosen = {id(record) for place in lowest_hashes(list(groups), share) for record in members[place]}
    return [one for one in records if id(one) not in chosen], [one for one in records if id(one) in chosen]


def group_of(name: str) -> str:
    """The name of the image that a tile was cut from, or the name itself."""
    return _PLACE.sub("", name) or name


def held_out_note(name: str, val: Sequence[object], train: Sequence[object]) -> str:
    """Say how many of the images that would train a data set of that name validate."""
    return (
        f"{name} does not say which images validate: {len(val)} of the {len(val) + len(train)} for training do, chosen "
        "by a hash of their names, tiles of one image together."
    )


@cache
def say_once(sentence: str) -> None:
    """Print a sentence to standard error, unless this process has printed it before."""
    print(sentence, file=sys.stderr, flush=True)
