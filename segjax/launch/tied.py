"""A command that does not outlive whoever started it, not even a `kill -9` of that process.

As a script, `python tied.py PARENT COMMAND...` becomes the command, which gets SIGTERM when process PARENT ends. Linux
alone can do that; elsewhere the command runs as it is.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>; it outlives the exec below


def tied(command: Sequence[str]) -> list[str]:
    """The command, to be started by the thread that waits for it: it gets SIGTERM when that thread or process ends."""
    return [sys.executable, "-IS", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):  # it ended before
            sys.exit(128 + signal.SIGTERM)
    os.execvp(sys.argv[2], sys.argv[2:])
