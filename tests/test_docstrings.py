"""What is public says in a section of its docstring what it raises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "segjax"
INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
UNSAID = {"NotImplementedError", "IndexError", "AttributeError"}  # what is abstract; what Python itself asks for


def below(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function itself, and in none that it holds."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, INNER):
            yield child
            yield from below(child)


def silent(node: ast.AST, above: str = "") -> Iterator[str]:
    """Public functions that raise, or speak of it, without a section of their own or of their class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from silent(child, ast.get_docstring(child) or "")
        elif isinstance(child, ast.FunctionDef) and not re.match("_(?!_)", child.name):
            own = ast.get_docstring(child) or ""
            raised = [ast.unparse(one.exc) for one in below(child) if isinstance(one, ast.Raise) and one.exc]
            found = {name for one in raised if (name := one.partition("(")[0])[0].isupper()} - UNSAID
            if "Raises:\n" not in own + above and (found or re.search(r"[Rr]aises? `?[A-Z]\w+", own)):
                yield f"{child.name}, line {child.lineno}"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_what_is_raised_is_said(file: Path):
    assert list(silent(ast.parse(file.read_text()))) == []
