"""Every public function of ops, losses and metrics shows what it does, and that is what it does."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses, metrics, ops

ROOMS = {"ops": ops, "losses": losses, "metrics": metrics}
NAMES = {"jax": jax, "jnp": jnp, "np": np, **ROOMS}
FUNCTIONS = [
    (room, name)
    for room, module in ROOMS.items()
    for name in module.__all__
    if inspect.isroutine(getattr(module, name)) or hasattr(getattr(module, name), "__wrapped__")
]


@pytest.mark.parametrize(("room", "name"), FUNCTIONS)
def test_the_example_of_a_function_is_right(room: str, name: str):
    function = getattr(ROOMS[room], name)
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(function) or "", dict(NAMES), name, None, None)
    assert example.examples, f"segjax.{room}.{name} shows no example: write `Examples:` in its docstring"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not result.failed, "".join(said)


def test_there_are_functions_to_look_at():
    assert len(FUNCTIONS) > 75
