"""What is fetched and kept, checked: wheels, npm packages, files and folders of git, in a folder that works offline."""

from segjax.cache.git import fetch_git
from segjax.cache.hub import asking_hub, fetch_hub
from segjax.cache.npm import fetch_npm
from segjax.cache.store import data_dir, first_line, unwritable
from segjax.cache.web import fetch_url
from segjax.cache.wheel import fetch_member, fetch_wheel, read_member

__all__ = [
    "asking_hub",
    "data_dir",
    "fetch_git",
    "fetch_hub",
    "fetch_member",
    "fetch_npm",
    "fetch_url",
    "fetch_wheel",
    "first_line",
    "read_member",
    "unwritable",
]
