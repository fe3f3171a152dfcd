"""Imports segjax once, then runs each command that it is told in a fork of its own, which starts in milliseconds.

Reads a line of JSON (`arguments` of the command line, `first`: Python to run before them, `output`: a file for both
streams) for every command, writes the number of its process, and its exit code to `<output>.code` at the end.
"""

import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path

import jax
from PIL import Image

from segjax.cli import main
from segjax.cli.process import prepare

WHEN_NEEDED = (
    "grain",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "scipy.stats",
    "segjax.launch.sweep",
    "segjax.losses",
    "segjax.runs.request",
    "segjax.runs.seeds",
    "segjax.runs.sweep",
    "tyro.constructors",
)
"""What commands import when they need it; here every one of them has."""


def run(arguments: list[str], first: str, output: str) -> int:
    """One command in this process."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        exec(first, {"jax": jax})
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70


def wait(process: int, output: str) -> None:
    """Leave the exit code as a shell would say it."""
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    partial = Path(f"{output}.code.partial")
    partial.write_text(str(status if status >= 0 else 128 - status))
    partial.rename(f"{output}.code")


prepare()
for name in WHEN_NEEDED:
    importlib.import_module(name)
Image.init()  # its formats
for line in sys.stdin:
    command = json.loads(line)
    if (process := os.fork()) == 0:
        code = run(**command)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    threading.Thread(target=wait, args=(process, command["output"]), daemon=True).start()
    print(process, flush=True)
