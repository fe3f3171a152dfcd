"""How much memory a process may use."""

import os
from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of a container, by the second and the first version of Linux's control groups."""


def usable_memory() -> int | None:
    """That of this machine, or of this container where it may use less, in bytes; None where nobody says."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (file.read_text().strip() for file in _LIMITS if file.exists())
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])
