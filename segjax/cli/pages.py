"""Memory in huge pages, for commands that compute.

A training step writes hundreds of megabytes that the system hands out as they are touched. In pages of 4 KiB that is a
quarter of a million interruptions a step, a third of a second; in pages of 2 MiB it is next to nothing.
"""

import os
import sys
from pathlib import Path

_TUNABLE = "glibc.malloc.hugetlb"
_FIRST_VERSION = (2, 35)


def start_again_with_huge_pages() -> None:
    """Start this process again, the same command, where its memory would then be in huge pages and is not yet.

    glibc reads its settings before anything else runs, so there is no later time to ask for it. Does nothing where
    the system does not leave the choice to programs, or where `GLIBC_TUNABLES` has this setting already: with
    `GLIBC_TUNABLES=glibc.malloc.hugetlb=0` a command stays as it was started.
    """
    chosen = os.environ.get("GLIBC_TUNABLES", "")
    if _TUNABLE in chosen or not _help():
        return
    os.environ["GLIBC_TUNABLES"] = f"{chosen}:{_TUNABLE}=1".lstrip(":")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _help() -> bool:
    choice = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if sys.platform != "linux" or not choice.exists() or "[madvise]" not in choice.read_text():
        return False
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= _FIRST_VERSION
