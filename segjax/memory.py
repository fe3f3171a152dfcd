"""How much memory a process may use, and what to say where a device has no more."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from segjax.errors import UserError

if TYPE_CHECKING:
    import jax

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of a container, by the second and the first version of Linux's control groups."""


def usable_memory() -> int | None:
    """That of this machine, or of this container where it may use less, in bytes; None where nobody says."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (file.read_text().strip() for file in _LIMITS if file.exists())
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])


@contextlib.contextmanager
def advice_where_it_runs_out(error: type[UserError], advice: str) -> Iterator[None]:
    """Where the device's memory runs out meanwhile, say in this error what to do, and who else may be on a GPU.

    Raises:
        UserError: the one named, where the device's memory has run out.
    """
    import jax  # not where memory alone is asked for

    try:
        yield
    except jax.errors.JaxRuntimeError as exhausted:
        if "RESOURCE_EXHAUSTED" not in str(exhausted) and "out of memory" not in str(exhausted).lower():
            raise
        raise error(advice + _others_on_the_card(jax.local_devices()[0])) from exhausted


def _others_on_the_card(device: "jax.Device") -> str:
    """Each process takes three quarters of a GPU, whatever is left of it."""
    stats = device.memory_stats() if device.platform == "gpu" else None
    if not stats or "bytes_limit" not in stats:
        return ""
    return (
        f" jax has {stats['bytes_limit'] / 2**30:.1f} GiB of this GPU; where other processes use it, too, which "
        "nvidia-smi lists, end them, or give each a share: XLA_PYTHON_CLIENT_MEM_FRACTION=0.3 before the command."
    )
