"""README and the pages of docs/: their code runs, their commands are known, and what they point at is there."""

import json
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from serving import serving

from segjax import models
from segjax.cli.parser import make_parser
from segjax.data import Dataset
from segjax.data.formats.layouts import find as find_images
from segjax.export import export_model
from segjax.inference import predict_mask
from segjax.level import Level
from segjax.runs import read_experiment
from segjax.runs.knobs import TABLE
from segjax.serve import Served
from segjax.tasks import Segmentation

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "benchmarks/README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def run(page: str, **known: Any) -> dict[str, Any]:
    """What the names of a page's code stand for after it ran, block after block; it knows some before."""
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)):
        exec(compile(code, f"{page}, block {number + 1}", "exec"), known)
    return known


def test_the_code_in_the_readme_runs():
    known = run("README.md")
    assert (known["x_again"] != 0).sum() == known["values"].size
    assert known["logits"].shape == (2, 7, 9, 5)


def test_the_code_of_the_house_runs():
    assert run("docs/house.md")["logits"].shape == (1, 33, 47, 3)


def test_the_code_of_the_contract_runs():
    assert run("docs/contract.md")["logits"].shape == (1, 45, 70, 3)


def test_the_upsampler_of_ones_own_runs():
    made = run("docs/choosing.md")["Mine"]()
    x, to = jnp.zeros((1, 4, 4, 8)), Level(None, (7, 8), 1)
    y, _ = jax.eval_shape(made.init_with_output, jax.random.key(0), x, to)
    assert y.shape == (1, 7, 8, 8)


def test_the_code_of_fine_tuning_runs():
    known = run("docs/fine_tuning.md")
    before, after = known["before"], known["variables"]["params"]
    same = {part: bool((a == b).all()) for part in before for a, b in [(_first(before[part]), _first(after[part]))]}
    assert same == {"encoder": True, "decoder": False, "head": False}
    statistics = known["variables"]["batch_stats"]
    moved = {part: any((x != 1).any() for x in _variances(tree)) for part, tree in statistics.items()}  # 1 at first
    assert moved == {"encoder": False, "decoder": True}


def _variances(tree: Any) -> list[np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [np.asarray(leaf) for path, leaf in leaves if path[-1].key == "var"]


def _first(tree: Any) -> np.ndarray:
    while isinstance(tree, dict):
        tree = tree["kernel"] if "kernel" in tree else tree[min(tree)]
    return np.asarray(tree)


def test_the_code_of_boxes_runs():
    known = run("docs/boxes.md")
    assert known["heatmap"].shape == (1, 16, 24, 2)
    assert known["boxes"].shape == (1, 10, 4)


def test_the_quick_start_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    known = run("docs/quick_start.md")
    assert known["mask"].shape == (48, 64)
    assert known["logits"].shape == (1, 48, 64, 2)
    assert (tmp_path / "runs" / "discs" / "report.json").exists()


def test_the_code_of_images_makes_a_set_of_labels_that_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run("docs/images.md")
    names = {"masks", "images"}
    assert {path.name for path in (tmp_path / "cover").iterdir()} == names
    labels = {path.name for path in (tmp_path / "cover" / "masks" / "train").iterdir()}
    assert labels == {"water", "green", "trees", "shore"}
    assert find_images(tmp_path / "cover").labels == tuple(sorted(labels))


def test_the_code_of_exports_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model, images = models.unet(3, 4, depth=1), np.zeros((2, 32, 32, 3), np.uint8)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    about = models.About(("a", "b", "c"), ((0, 0, 0),) * 3)
    export_model(model, variables, "model.stablehlo", "stablehlo", [images[0]], size=(32, 32), about=about)
    known = run("docs/export.md", images=images)
    logits: Any = model.apply(variables, images, train=False)
    np.testing.assert_allclose(known["probabilities"], jax.nn.softmax(logits), atol=1e-5)
    assert tuple(known["class_names"]) == ("a", "b", "c")


def test_the_code_of_the_server_asks_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    Image.fromarray(image).save("photo.png")
    model = models.unet(3, 4, depth=1)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    task = Segmentation(Dataset("three", ("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (99, 99, 99)), lambda split: []))
    with serving(Served("three", task, model, variables)) as address:
        known = run("docs/serve.md", address=f"http://{address.host}:{address.port}")
    np.testing.assert_array_equal(known["mask"], predict_mask(model, variables, image))


def test_every_page_with_code_is_run():
    """By the tests above, which name it."""
    above = Path(__file__).read_text()
    pages = [page for page in PAGES if "```python" in (ROOT / page).read_text()]
    assert [page for page in pages if f'run("{page}"' not in above] == []


def commands(page: str) -> list[str]:
    """Every `segjax ...` line of a page's shell blocks, and those between backticks that are whole."""
    text = (ROOT / page).read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += [line for line in re.findall(r"`(segjax [^`]+)`", text) if line.startswith("segjax train ")]
    said = [line.partition(" # ")[0].rpartition("&&")[2].strip() for line in lines]
    return [one for one in said if one.startswith("segjax ") and not re.search(r"\[|\.\.\.|[A-Z]+=|[|(,]|> ", one)]


def test_there_are_commands_to_look_at():
    assert len({command for page in PAGES for command in commands(page)}) > 20


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_known(page: str):
    parser = make_parser()
    for command in commands(page):
        parsed, rest = parser.parse_known_args(shlex.split(command)[1:])
        asked = {word[2:].removeprefix("no-") for word in rest if word.startswith("--") and word != "--help"}
        if asked:
            assert asked <= knobs(parsed.experiment), f"{page}: {command}"


FLAG = r"(?<![\w-])--[a-z][\w-]*"


def flags(page: str) -> set[tuple[str, str]]:
    """Every `--flag` of segjax and of the benchmarks that a page names, after the command that it stands behind."""
    text = (ROOT / page).read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = (re.search(r"(?:^|.*?&& *)(segjax|python -m benchmarks[.\w]+|(?=--))(.*)", line) for line in lines)
    return {(one[1], flag) for one in found if one for flag in re.findall(FLAG, one[2])}


@cache
def known_flags(command: str) -> set[str]:
    """Those of the benchmarks; those of segjax, with the knobs of all experiments; or, of no command, both."""
    files = [] if command == "segjax" else (ROOT / "benchmarks").rglob("*.py")
    found = {flag for file in files for flag in re.findall(f'"({FLAG})"', file.read_text())}
    if command.startswith("python"):
        return found
    for row in json.loads(TABLE.read_text()):
        names = {name.replace("_", "-"): knob for name, knob in row["knobs"].items()}
        found |= {f"--{name}" for name in names} | {f"--no-{name}" for name in names if names[name].get("nargs") == 0}
    return found | set(options(make_parser())) | {"--help", "--knob", "--other"}  # the last two stand for any


def options(parser: ArgumentParser) -> Iterator[str]:
    """The flags of a command line and of its commands."""
    for action in parser._actions:
        yield from action.option_strings
        for command in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from options(command)


def test_there_are_flags_to_look_at():
    assert len(set().union(*map(flags, PAGES))) > 100


@pytest.mark.parametrize("page", PAGES)
def test_flags_are_known(page: str):
    assert [(command, flag) for command, flag in flags(page) if flag not in known_flags(command)] == []


@cache
def knobs(name: str) -> set[str]:
    """What an experiment's knobs are called on the command line; those of segmentation for any name in capitals."""
    return {knob.replace("_", "-") for knob in read_experiment("segmentation" if name.isupper() else name).knobs([])}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_at_is_there(page: str):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    files = re.findall(r"(?:experiments|tests|benchmarks|segjax)/[\w/]+\.(?:py|md|png)", text)
    modules = [f"{name.replace('.', '/')}" for name in re.findall(r"python -m (benchmarks\.\w+)", text)]
    made = {"weights.md"}  # by docs/pages.py
    missing = [link for link in links if link not in made and not ((ROOT / page).parent / link).exists()]
    missing += [file for file in files if not (ROOT / file).exists()]
    missing += [module for module in modules if not ((ROOT / f"{module}.py").exists() or (ROOT / module).is_dir())]
    assert not missing
