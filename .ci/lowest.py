"""Prints the lowest versions that pyproject.toml allows, as a constraints file for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for requirement in [*project["dependencies"], *(one for name in extras if name != "dev" for one in extras[name])]:
    if found := re.match(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement):
        print(f"{found[1]}=={found[2]}")
