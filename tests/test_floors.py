"""An import only ever goes down the list of floors, and the lower floors need the base install alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "segjax"
FLOORS = [
    {"__main__"},
    {"cli"},
    {"launch"},
    {"runs"},
    {"train"},
    {"tasks"},
    {"inference"},
    {"data"},
    {"drawing"},
    {"models"},
    {"encoders", "decoders"},
    {"layers", "upsampling"},
    {"losses", "metrics"},
    {"level"},
    {"ops"},
    {"cache"},
    {"errors"},
]
HEIGHT = {name: len(FLOORS) - i for i, names in enumerate(FLOORS) for name in names}
BASE = {"jax", "jaxlib", "flax", "numpy", "jaxtyping", "scipy", "segjax"}  # scipy: jax needs it itself

LAZY = {  # of an extra: imported by the one function that needs it
    "metrics/detection.py": {"pycocotools"},
    "cache.py": {"huggingface_hub"},
}


def part(file: Path) -> str:
    relative = file.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = [file for file in PACKAGE.rglob("*.py") if part(file) != "__init__"]


def test_every_part_has_a_floor():
    assert {part(file) for file in FILES} <= HEIGHT.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path):
    here = HEIGHT[part(file)]
    for module in imports(file):
        names = module.split(".")
        if names[0] == "segjax" and len(names) > 1 and names[1] in HEIGHT and names[1] != part(file):
            assert HEIGHT[names[1]] <= here, f"{file.name} imports {module}, which stands above it"
            if part(file) == "train":
                assert names[1] != "models", f"{file.name}: train never names a model"
            if part(file) == "models":
                assert names[1] != "losses", f"{file.name}: a model never names a loss"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_the_upper_floors_need_an_extra(file: Path):
    third_party = {module.split(".")[0] for module in imports(file)} - set(sys.stdlib_module_names)
    if HEIGHT[part(file)] <= HEIGHT["models"]:
        assert third_party - LAZY.get(file.relative_to(PACKAGE).as_posix(), set()) <= BASE
    if part(file) == "data":
        assert not third_party & {"jax", "flax", "optax", "torch", "tensorflow"}


def test_importing_ops_brings_jax_and_numpy_alone():
    code = "import sys, segjax.ops; print([m for m in ('flax', 'optax', 'cv2', 'grain', 'orbax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
