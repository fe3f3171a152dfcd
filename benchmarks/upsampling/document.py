"""A report as a list of blocks, written as Markdown beside its pictures or as one HTML page that holds them."""

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from benchmarks.report import markdown


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` and **strong** as in Markdown."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is set left, the others right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure by the name of its file: .svg for lines, .png for pixels."""

    name: str
    figure: Figure
    caption: str


Block = Text | Heading | Table | Picture


@dataclass
class Document:
    """Blocks in order."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append."""
        self.blocks.extend(blocks)

    def write(self, folder: Path) -> None:
        """Write report.md with figures/, and report.html, which needs nothing beside it."""
        figures = folder / "figures"
        figures.mkdir(exist_ok=True)
        for block in self.blocks:
            if isinstance(block, Picture):
                _save(block.figure, figures / block.name)
        lines = [f"# {self.title}", *(_markdown(block) for block in self.blocks)]
        (folder / "report.md").write_text("\n\n".join(lines) + "\n")
        body = "\n".join(_html(block, figures) for block in self.blocks)
        (folder / "report.html").write_text(_PAGE.format(title=html.escape(self.title), body=body, style=_STYLE))


def _save(figure: Figure, path: Path) -> None:
    """Write a figure: the same bytes for the same picture, and few of them."""
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None})
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    Image.open(drawn).convert("RGB").quantize(200).save(path, optimize=True)


def _markdown(block: Block) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Heading):
        return "#" * block.level + " " + block.text
    if isinstance(block, Picture):
        return f"![{block.caption}](figures/{block.name})\n\n*{block.caption}*"
    table = markdown(block.head, block.rows)
    return f"{table}\n\n*{block.caption}*" if block.caption else table


def _html(block: Block, figures: Path) -> str:
    if isinstance(block, Text):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Picture):
        kind = "svg+xml" if block.name.endswith(".svg") else "png"
        data = base64.b64encode((figures / block.name).read_bytes()).decode()
        image = f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(block.caption)}">'
        return f"<figure>{image}<figcaption>{_inline(block.caption)}</figcaption></figure>"
    caption = f"<caption>{_inline(block.caption)}</caption>" if block.caption else ""
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in block.head)
    rows = "\n".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
    return f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1, h2, h3 { line-height: 1.2; margin: 2.2em 0 0.6em; }
h1 { margin-top: 0; }
p { max-width: 48rem; }
code { font-size: 0.9em; background: #f3f3f1; padding: 0.1em 0.3em; border-radius: 3px; }
.table { overflow-x: auto; margin: 1rem 0 1.6rem; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; color: #666; padding-top: 0.5rem; max-width: 60rem; }
th { text-align: right; vertical-align: bottom; border-bottom: 1.5px solid #444; padding: 0.3rem 0.7rem; }
td { text-align: right; border-bottom: 1px solid #e6e6e3; padding: 0.25rem 0.7rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.table.prose td { text-align: left; white-space: normal; }
figure { margin: 1.4rem 0 2rem; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #666; font-size: 0.9rem; max-width: 60rem; }
"""
