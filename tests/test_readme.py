import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_code_in_the_readme_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    assert (names["x_again"] != 0).sum() == names["values"].size
    assert names["logits"].shape == (2, 7, 9, 5)


def test_the_code_of_the_house_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "house.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    assert names["logits"].shape == (1, 33, 47, 3)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "benchmarks/README.md",
        "docs/results.md",
        "docs/devices.md",
        "docs/house.md",
        "docs/zoo.md",
        "docs/images.md",
    ],
)
def test_what_a_page_points_at_is_there(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    files = re.findall(r"(?:experiments|tests|benchmarks|segjax)/[\w/]+\.(?:py|md|png)", text)
    modules = [f"{name.replace('.', '/')}" for name in re.findall(r"python -m (benchmarks\.\w+)", text)]
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    missing += [file for file in files if not (ROOT / file).exists()]
    missing += [module for module in modules if not ((ROOT / f"{module}.py").exists() or (ROOT / module).is_dir())]
    assert not missing
    assert files or modules
