"""What every public function of the rooms without Flax keeps to."""

import inspect
from collections.abc import Callable
from types import ModuleType

import pytest

from segjax import losses, metrics, ops

ROOMS = [ops, ops.boxes, losses, metrics]


def functions() -> dict[str, Callable]:
    """Every public function of every room, methods of public classes included."""
    found = {}
    for room in ROOMS:
        for name in room.__all__:
            each = getattr(room, name)
            if inspect.isfunction(each):
                found[f"{room.__name__}.{name}"] = each
            elif inspect.isclass(each):
                methods = inspect.getmembers(
                    each, lambda member: inspect.isfunction(member) or inspect.ismethod(member)
                )
                mine = {key: method for key, method in methods if not key.startswith("_") and key in vars(each)}
                found |= {f"{room.__name__}.{name}.{key}": method for key, method in mine.items()}
    return found


FUNCTIONS = functions()


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_all_is_what_can_be_seen(room: ModuleType) -> None:
    seen = {name for name, each in vars(room).items() if not name.startswith("_") and not inspect.ismodule(each)}
    assert seen <= set(room.__all__)
    assert sorted(room.__all__) == list(room.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_documented_and_typed(name: str) -> None:
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    assert inspect.getdoc(function)
    assert "aises ValueError" not in (inspect.getdoc(function) or "")
    typed = [each.annotation for each in signature.parameters.values() if each.name not in ("self", "cls")]
    assert inspect.Signature.empty not in (*typed, signature.return_annotation)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_after_the_first_are_keywords(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    by_position = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    options = [each.name for each in by_position if each.default is not each.empty]
    assert len(options) <= 1
