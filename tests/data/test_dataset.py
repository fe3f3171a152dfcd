"""What a data set is called, and its classes."""

import pytest

from segjax.data import Dataset, Record
from segjax.errors import DataError


def no_split(_: str) -> list[Record]:
    return []


@pytest.mark.parametrize("name", ["", "  ", "\x1b[31mtree", "a\nb"])
def test_names_that_cannot_be_seen_are_refused(name: str):
    black = (0, 0, 0)
    with pytest.raises(DataError, match=r"^mine has a class called '.*': write a name of letters that can be seen\.$"):
        Dataset("mine", ("ground", name), (black, black), no_split)
    with pytest.raises(DataError, match=r"^mine has a class called"):
        Dataset("mine", ("face",), (black,), no_split, attribute_names=(name,))
    assert Dataset("mine", ("ground", "дерево 1"), (black, black), no_split).class_names[1] == "дерево 1"
