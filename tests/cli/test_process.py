import subprocess
import sys
from pathlib import Path

STATE = """
import gc, logging, sys, warnings
import absl.logging, PIL.Image, jax
def state():
    return (
        sys.unraisablehook, warnings.showwarning, list(warnings.filters), absl.logging.get_verbosity(),
        logging.getLogger("asyncio").level, PIL.Image.MAX_IMAGE_PIXELS, gc.get_threshold(),
        sys.modules.get("torch", "not imported"),
    )
"""


def python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_imported_and_used_changes_nothing_in_the_process(tmp_path: Path):
    python(
        f"{STATE}\n"
        "import tensorboardX, orbax.checkpoint, grain, tyro, scipy.special\n"  # what they change is theirs
        "before = state()\n"
        "import segjax.data, segjax.inference, segjax.train, segjax.runs.load\n"
        "from pathlib import Path\n"
        "from segjax.train.checkpoints import Checkpoints\n"
        f"Checkpoints(Path({str(tmp_path / 'checkpoints')!r})).close()\n"
        "assert state() == before, (before, state())"
    )


def test_a_command_starts_without_what_it_draws_with_and_keeps_what_orbax_says_twice_off_the_screen():
    python(
        f"{STATE}\n"
        "before = sys.unraisablehook\n"
        "from segjax.cli.process import prepare\n"
        "prepare(); prepare()\n"
        "import segjax.runs, segjax.train\n"
        "slow = {'torch', 'matplotlib', 'scipy.ndimage', 'jinja2', 'boto3', 'google.cloud.storage'}\n"
        "assert not sys.modules.keys() & slow\n"
        "assert sys.unraisablehook is not before\n"
        "assert absl.logging.get_verbosity() == absl.logging.FATAL"
    )


def test_a_command_that_gave_up_a_logger_does_not_wait_for_it_at_the_exit():
    python(
        "import atexit, os, sys, types\n"
        "from segjax.cli import main\n"
        "sys.modules['segjax.train.loggers'] = types.SimpleNamespace(given_up=lambda: True)\n"
        "atexit.register(os._exit, 3)\n"
        "sys.argv = ['segjax', 'data', 'list']\n"
        "sys.exit(main())"
    )


def test_ctrl_c_is_heard_in_what_the_garbage_collector_calls_too():
    python(
        "import gc, os, signal, time\n"
        "from segjax.cli.process import hear_ctrl_c\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "hear_ctrl_c()\n"
        "def press(phase, info):\n"
        "    if phase == 'start':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "gc.disable()\n"
        "gc.callbacks[:] = [press]\n"
        "try:\n"
        "    gc.collect()\n"
        "    time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    raise SystemExit(0)\n"
        "raise SystemExit(1)"
    )


def test_what_weights_and_biases_says_at_the_exit_is_no_traceback():
    python(
        "import sys, types\n"
        "said, sys.unraisablehook = [], lambda what: said.append(what)\n"
        "from segjax.cli.process import prepare\n"
        "prepare()\n"
        "for module in ('wandb.sdk.lib', 'mine'):\n"
        "    what = types.SimpleNamespace(__module__=module)\n"
        "    sys.unraisablehook(types.SimpleNamespace(exc_value=ConnectionResetError(), object=what))\n"
        "assert len(said) == 1 and said[0].object.__module__ == 'mine', said"
    )
