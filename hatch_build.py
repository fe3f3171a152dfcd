"""README.md as PyPI shows it, where nothing lies beside it: what it points at in the repository is there by address.

The address is `urls.Source` of pyproject.toml. As long as there is none, pictures are left out and links are words.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_BESIDE = r"\((?![a-z]+:|#)([^)]+)\)"
"""The target of a link that is a file of the repository."""


class Readme(MetadataHookInterface):
    """Adds `readme` to what pyproject.toml says."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add it."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": alone(text, address)}


def alone(text: str, address: str | None) -> str:
    """The text, which points at nothing beside it."""
    if address is None:
        return re.sub(rf"\[([^]]*)\]{_BESIDE}", r"\1", re.sub(rf"!\[[^]]*\]{_BESIDE}\n*", "", text))
    text = re.sub(rf"(!\[[^]]*\]){_BESIDE}", rf"\1({address}/raw/main/\2)", text)
    return re.sub(rf"(?<!!)(\[[^]]*\]){_BESIDE}", rf"\1({address}/blob/main/\2)", text)
