"""What a figure was measured on, and how rows of figures are written down."""

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import jax


def machine() -> str:
    """The processor and its cores, and the accelerator where there is one."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    name = f"{name}, {os.cpu_count()} cores"
    return name if jax.default_backend() == "cpu" else f"{jax.devices()[0].device_kind}, {name}"


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in packages if p in installed}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
