"""What `import segjax` gives, and to whom."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import segjax


def test_dir_names_every_room_and_each_can_be_had():
    folders = {path.name for path in Path(segjax.__file__).parent.iterdir() if (path / "__init__.py").exists()}
    rooms = folders - {"cli", "launch", "page", "report", "__pycache__"}
    assert rooms <= set(dir(segjax))
    for name in rooms | {"load", "experiment"}:
        assert getattr(segjax, name) is not None


def test_what_an_extra_lacks_is_said_and_stops_nobody_who_asks_for_every_name():
    code = (
        "import sys; sys.modules['optax'] = None\n"
        "import inspect, segjax\n"
        "inspect.getmembers(segjax)  # as help() does\n"
        "try: segjax.train\n"
        "except AttributeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "segjax.train needs optax; install it with `pip install 'segjax[train]'`.\n"


def test_editors_see_what_dir_names():
    text = Path(segjax.__file__).read_text()
    seen = set(re.findall(r"import \w+ as (\w+)$", text, re.MULTILINE)) | {"train"}
    assert seen == segjax._MODULES | segjax._FUNCTIONS.keys()
    assert callable(importlib.import_module("segjax.train"))  # as they see it


def test_training_shows_the_arguments_that_it_takes():
    assert list(inspect.signature(segjax.train).parameters)[:2] == ["experiment", "out"]


def test_importing_segjax_imports_none_of_its_rooms():
    code = "import sys, segjax; dir(segjax); print([name for name in sys.modules if name.startswith('segjax.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_room_needs_what_linux_alone_has():
    """Libraries are imported first: what they do on other systems is theirs."""
    code = (
        "import os, pkgutil, sys, importlib\n"
        "import cv2, flax, grain, jinja2, matplotlib.pyplot, optax, orbax.checkpoint, pycocotools.mask, rich.progress\n"
        "import jax.experimental.multihost_utils, scipy.ndimage, scipy.optimize, submitit, tensorboardX, tyro\n"
        "import uvicorn\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'pty', 'curses', 'readline', 'syslog'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('fork', 'sched_getaffinity', 'confstr', 'sysconf', 'getuid', 'setsid', 'killpg', 'mkfifo'):\n"
        "    delattr(os, name)\n"
        "sys.platform = 'win32'\n"
        "import segjax\n"
        "for module in pkgutil.walk_packages(segjax.__path__, 'segjax.'):\n"
        "    if module.name != 'segjax.__main__' and not module.name.startswith('segjax.experiments'):\n"
        "        importlib.import_module(module.name)\n"
        "from segjax.cli import main\n"
        "main(['data', 'list'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "land_cover" in done.stdout
