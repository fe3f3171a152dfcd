"""An import only ever goes down the list of floors, never round, and the lower floors need the base install alone."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "segjax"
FLOORS = [
    {"__main__"},
    {"cli"},
    {"launch", "pretrained"},
    {"runs"},
    {"train"},
    {"report", "serve"},
    {"tasks"},
    {"inference", "export"},
    {"data"},
    {"drawing", "page", "progress"},
    {"models"},
    {"weights"},
    {"encoders", "decoders"},
    {"layers", "upsampling"},
    {"losses", "metrics"},
    {"flops", "level"},
    {"ops"},
    {"cache"},
    {"compiling", "cores", "eigen", "errors", "luma", "mask_numbers", "memory", "strict_json", "whole"},
]
HEIGHT = {name: len(FLOORS) - i for i, names in enumerate(FLOORS) for name in names}
BASE = {"jax", "jaxlib", "flax", "numpy", "jaxtyping", "scipy", "ml_dtypes", "segjax"}  # jax needs the last ones itself

LAZY = {  # of an extra: imported by the one function that needs it
    "metrics/detection.py": {"pycocotools"},
    "cache/files.py": {"fsspec"},
    "cache/hub.py": {"huggingface_hub"},
    "weights/keras_file.py": {"h5py"},
    "weights/parity.py": {"PIL"},
    "export/int8.py": {"ai_edge_litert", "onnxruntime"},
    "export/metadata.py": {"onnx"},
    "export/onnx.py": {"onnx"},
    "export/onnx_gather.py": {"onnx"},
    "export/onnx_graph.py": {"onnx"},
    "export/onnx_ops.py": {"onnx"},
    "export/onnx_rules.py": {"onnx"},
    "export/onnx_simplify.py": {"onnx"},
    "export/tflite.py": {"litert_converter", "ai_edge_litert", "flatbuffers"},
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
ROOMS = sorted({part(file) for file in FILES})


@functools.cache
def neighbours(room: str) -> set[str]:
    """The other rooms that the files of a room import."""
    modules = {module for file in FILES if part(file) == room for module in imports(file)}
    named = {module.split(".")[1] for module in modules if module.startswith("segjax.")}
    return (named & set(ROOMS)) - {room}


@functools.cache
def reach(room: str) -> set[str]:
    """A room, those that it imports, those that they import, and so on to the end."""
    found, new = {room}, {room}
    while new := set().union(*map(neighbours, new)) - found:
        found |= new
    return found


@functools.cache
def third_parties(room: str) -> set[str]:
    """What the files of a room import from elsewhere, in the functions too but for what is known to be lazy."""
    found = set()
    for file in FILES:
        if part(file) == room:
            names = {module.split(".")[0] for module in imports(file)}
            found |= names - LAZY.get(file.relative_to(PACKAGE).as_posix(), set())
    return found - set(sys.stdlib_module_names) - {"segjax"}


def needs(room: str) -> set[str]:
    """What a room needs in the end, with all that it imports."""
    return set().union(*map(third_parties, reach(room)))


def test_every_part_has_a_floor():
    assert set(ROOMS) <= HEIGHT.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path):
    here = HEIGHT[part(file)]
    for module in imports(file):
        names = module.split(".")
        if names[0] == "segjax" and len(names) > 1 and names[1] in HEIGHT and names[1] != part(file):
            assert HEIGHT[names[1]] <= here, f"{file.name} imports {module}, which stands above it"


def test_the_house_says_what_each_room_imports():
    """Of what stands above its last row, which is open to all."""
    page = (PACKAGE.parent / "docs" / "house.md").read_text()
    rows = re.findall(r"^\| (`segjax/.*`) \|.*\| ?(.*?) ?\|$", page, re.MULTILINE)
    parts = [set(re.findall(r"segjax/(\w+)", named)) for named, _ in rows]
    assert sorted(room for rooms in parts for room in rooms) == sorted({*ROOMS} - {"__main__"})
    for rooms, (_, said) in zip(parts[:-1], rows, strict=False):
        found = set().union(*map(neighbours, rooms)) - rooms - parts[-1]
        assert said == ", ".join(sorted(found, key=lambda room: (-HEIGHT[room], room)))


def test_no_rooms_import_each_other_or_go_round():
    order = graphlib.TopologicalSorter({room: neighbours(room) for room in ROOMS})
    order.prepare()  # CycleError names the rooms of a circle


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("train", {"models", "decoders", "encoders"}),  # an experiment joins them
        ("tasks", {"models", "decoders", "encoders", "losses"}),
        ("inference", {"tasks", "train", "models"}),  # it asks what it is given, and names no task
        ("export", {"tasks", "train", "inference"}),
        ("serve", {"train", "runs", "models", "export"}),
        ("weights", {"ops"}),
        ("models", {"losses"}),  # a model never names a loss
        ("data", {"ops"}),
    ],
)
def test_a_room_never_names_another_however_far_one_follows(room: str, others: set[str]):
    assert not reach(room) & others


@pytest.mark.parametrize("room", [room for room in ROOMS if HEIGHT.get(room, 0) <= HEIGHT["models"]])
def test_the_lower_floors_need_the_base_install_alone(room: str):
    assert needs(room) <= BASE


@pytest.mark.parametrize(
    ("folder", "above"),
    [("formats", {"check", "sets", "catalogue"}), ("check", {"sets", "catalogue"}), ("sets", {"catalogue"})],
)
def test_the_rooms_of_data_stand_upon_each_other(folder: str, above: set[str]):
    modules = {module for file in (PACKAGE / "data" / folder).rglob("*.py") for module in imports(file)}
    assert not {module.split(".")[2] for module in modules if module.startswith("segjax.data.")} & above


def test_data_and_drawing_never_need_jax():
    assert not needs("data") & {"jax", "flax", "optax", "torch", "tensorflow"}
    assert needs("drawing") <= {"numpy", "jaxtyping", "PIL", "cv2", "matplotlib"}


@pytest.mark.parametrize(
    ("room", "absent"),
    [
        ("ops", ("flax", "optax", "cv2", "grain", "orbax")),
        ("weights", ("jax", "flax", "torch", "h5py", "huggingface_hub")),
        ("drawing", ("jax", "flax", "optax", "grain", "segjax.data")),
        ("data", ("flax", "optax", "matplotlib", "tensorflow")),
        ("train", ("segjax.models", "segjax.decoders", "segjax.encoders")),
        ("page", ("jax", "numpy")),
        ("export", ("onnx", "onnxruntime", "litert_converter", "ai_edge_litert", "cv2", "grain")),
    ],
)
def test_importing_a_room_does_not_bring_what_it_does_not_need(room: str, absent: tuple[str, ...]):
    code = f"import sys, segjax.{room}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
