"""What a command changes in its own process; a library that is imported changes none of it."""

import functools
import gc
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any


@functools.cache
def prepare() -> None:
    """To be called before segjax.train is imported."""
    # Looking for garbage among a million objects that stay took a tenth of a short run.
    gc.set_threshold(50_000, 20, 20)
    _import_tensorboard_alone()
    _keep_given_up_work_off_the_screen()


def hear_ctrl_c() -> None:
    """Let Ctrl-C end a command, as it does in Python, also where Python would drop it without a word.

    That is in what the garbage collector calls, as jax has it do, and there is much garbage while jax is imported.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job in the background ignores it
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    called = {getattr(one, "__code__", None) for one in gc.callbacks}
    while frame is not None:
        if frame.f_code in called:
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()  # again, when that is over
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def no_device() -> str | None:
    """Why jax finds nothing to compute on, a sentence; None where it does, or where a command has no need of jax."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    try:
        jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # the latter where no GPU is there for a jax that has CUDA
        why = str(error).partition(" (set JAX_PLATFORMS")[0].rstrip(".") or "there is none"
        return (
            f"JAX_PLATFORMS={jax.config.jax_platforms}, but jax finds no such device: {why}. Leave it out, or name cpu."
        )
    return None


def leave_what_hangs(code: int) -> None:
    """End this process now where a logger was given up, whose library would wait for it at the exit, for ever."""
    loggers = sys.modules.get("segjax.train.loggers")
    if loggers is not None and loggers.given_up():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _import_tensorboard_alone() -> None:
    """TensorboardX imports what could keep its events in a bucket, and torch for a type's name: a second or two."""
    found = {name: sys.modules.get(name) for name in ("torch", "boto3", "google.cloud")}
    sys.modules.update(dict.fromkeys(found))  # type: ignore[arg-type]  (None: it is not found)
    try:
        import tensorboardX  # noqa: F401
    finally:
        for name, module in found.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _keep_given_up_work_off_the_screen() -> None:
    """What goes wrong in Orbax's threads is raised as well; keep what else they print about it off the screen."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    say = sys.unraisablehook

    def hook(what: Any) -> None:
        # When one array cannot be read or written, the others are given up, and each would print a traceback.
        given_up = str(what.exc_value) == "Event loop is closed" or "orbax" in repr(what.object)
        # What Weights & Biases could not send was said; at the exit its library says it again, by a traceback.
        if not given_up and not str(getattr(what.object, "__module__", "")).startswith("wandb."):
            say(what)

    sys.unraisablehook = hook
