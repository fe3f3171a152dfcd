"""What the site has beside the files of docs/: pages from elsewhere in the repository, and those made of the code."""

import ast
import importlib
import posixpath
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOMS = (
    "segjax", "segjax.ops", "segjax.ops.boxes", "segjax.layers", "segjax.upsampling", "segjax.level", "segjax.encoders",
    "segjax.decoders", "segjax.models", "segjax.weights", "segjax.losses", "segjax.metrics", "segjax.data",
    "segjax.drawing", "segjax.export", "segjax.serve", "segjax.inference", "segjax.tasks", "segjax.train",
    "segjax.runs", "segjax.cache", "segjax.errors", "segjax.compiling", "segjax.eigen", "segjax.flops",
    "segjax.ops.meshes",
)  # fmt: skip
MOVED = {"README.md": "index.md", "docs/notebooks": "notebooks/index.md"}
"""Pages of the repository that the site has under another name; all others keep their path, without docs/."""
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "benchmarks/upsampling/quick/report.md",
    "benchmarks/upsampling/pretrained_reduced/report.md",
    "benchmarks/upsampling/pretrained_vgg16/report.md",
)
PICTURES = tuple(
    f"benchmarks/upsampling/{size}/figures" for size in ("quick", "pretrained_reduced", "pretrained_vgg16")
)
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")


def on_config(config: MkDocsConfig) -> None:
    """Put the notebooks, and a page for every room, into the navigation."""
    assert config.nav is not None
    guides = next(entry["Guides"] for entry in config.nav if isinstance(entry, dict) and "Guides" in entry)
    guides.append({"Notebooks": ["notebooks/index.md", *(f"notebooks/{path.stem}.md" for path in notebooks())]})
    config.nav[-1] = {"Reference": [{room: f"reference/{room}.md"} for room in ROOMS]}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page in PAGES:
        add(files, config, place(page), (ROOT / page).read_text("utf-8"))
    for folder in PICTURES:
        for path in sorted((ROOT / folder).iterdir()):
            files.append(File.generated(config, f"{folder}/{path.name}", abs_src_path=str(path)))
    for room in ROOMS:
        add(files, config, f"reference/{room}.md", reference(room))
    titles = []
    for path in notebooks():
        opened = jupytext.read(path)
        opened.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        nbformat.validate(opened)
        add(files, config, f"notebooks/{path.stem}.ipynb", nbformat.writes(opened))
        add(files, config, f"notebooks/{path.stem}.md", page_of(opened, path.stem))
        title = opened.cells[0].source.partition("\n")[0].lstrip("# ")
        titles.append(f"- [{title}]({path.stem}.md)\n")
    add(files, config, "notebooks/index.md", f"# Notebooks\n\n{''.join(titles)}")
    add(files, config, "weights.md", weights())
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links go where the site has what they lead to, or show the path where it has no such page."""
    here = page.file.src_uri
    source = next((page for page in PAGES if place(page) == here), f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        there = place(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        return f"{match[1]}{posixpath.relpath(there, posixpath.dirname(here) or '.')}{match[3]}"

    return _LINK.sub(link, markdown)


def place(path: str) -> str:
    """Where the site has a file of the repository."""
    return MOVED.get(path, path.removeprefix("docs/"))


def add(files: Files, config: MkDocsConfig, place: str, text: str) -> None:
    """Add a page that no file of docs/ has."""
    files.append(File.generated(config, place, content=text))


def notebooks() -> list[Path]:
    """The sources of the notebooks."""
    return sorted((ROOT / "docs" / "notebooks").glob("*.py"))


def page_of(notebook: Any, name: str) -> str:
    """A notebook to be read, with where it is to be had."""
    cells = [
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```" for cell in notebook.cells
    ]
    title, _, rest = "\n\n".join(cells).partition("\n")
    return f"{title}\n\n[{name}.ipynb]({name}.ipynb) is this page as a notebook.\n{rest}\n"


def reference(room: str) -> str:
    """The page of a room: every public name, from where it is defined."""
    path = ROOT.joinpath(*room.split("."))
    if not path.is_dir():
        return f"::: {room}\n    options: {{heading_level: 1}}\n"
    tree = ast.parse((path / "__init__.py").read_text("utf-8"))
    found = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    public = next((ast.literal_eval(one.value) for one in tree.body if _is_all(one)), sorted(found))
    about = ast.get_docstring(tree)
    names = [name for name in public if found.get(name, "").startswith("segjax.") and not _is_room(found[name])]
    parts = [f"::: {found[name]}\n" for name in sorted(names, key=str.lower)]
    return "\n".join([f"# `{room}`\n", f"{about}\n", *parts])


def _is_all(node: Any) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"


def _is_room(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or (path.with_suffix(".py").is_file() and name.count(".") == 1)


def weights() -> str:
    """The page of all weights that are known by name."""
    records = importlib.import_module("segjax.weights").RECORDS.values()
    rows = [f"| `{one.name}` | `{one.encoder}` | {one.parameters:,} | {one.licence} | {one.paper} |" for one in records]
    head = (
        "# Weights and licences\n\n`segjax weights` lists these with their sources, and `segjax weights check NAME` "
        "compares a set with its record.\n\n"
    )
    return (
        head + "\n".join(["| name | encoder | parameters | licence | paper |", "|---|---|---|---|---|", *rows]) + "\n"
    )
