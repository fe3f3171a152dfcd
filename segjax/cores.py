"""How many processor cores a process may use."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container, by the second version of Linux's control groups: microseconds, or max, of so many."""


def usable_cores() -> int:
    """Those of this machine; fewer where this process is bound to some, or its container has a share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not _QUOTA.exists():
        return cores
    share, _, of = _QUOTA.read_text().strip().partition(" ")
    return min(cores, max(1, math.ceil(int(share) / int(of)))) if share.isdecimal() else cores
