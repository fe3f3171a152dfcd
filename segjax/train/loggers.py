"""Where numbers go while training, beside the files of the run folder: TensorBoard, Weights & Biases, MLflow."""

import importlib
import importlib.util
import os
import queue
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from segjax.errors import ExperimentError, by_name
from segjax.train.run import Run

PATIENCE = 60.0
"""Seconds that a run waits at its end for numbers that are still on their way."""

_THREAD = "segjax logger"
_MOST_AT_ONCE = 1000
"""Metrics that MLflow takes in one request."""
_NOT_IN_NAMES = re.compile(r"[^/\w.\- ]")
"""What MLflow takes in no name, as classes may have it in theirs."""


class Logger(Protocol):
    """One place."""

    @property
    def token(self) -> str | None:
        """What it is found again by when the run goes on."""

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Send numbers of a step."""

    def close(self, *, finished: bool) -> None:
        """Let go of it; a run that is not finished may go on later."""


class TensorBoard:
    """Events in the run folder."""

    token = None

    def __init__(self, run: Run, step: int, token: str | None) -> None:
        from tensorboardX import SummaryWriter  # which imports torch, where it is, in seconds

        self._events = SummaryWriter(str(run.path), purge_step=step + 1 if step else None)

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Send numbers of a step."""
        for name, value in numbers.items():
            self._events.add_scalar(name, value, step)

    def close(self, *, finished: bool) -> None:
        """Let go of the file."""
        self._events.close()


class WeightsAndBiases:
    """A run of the project segjax, or of WANDB_PROJECT; WANDB_MODE=offline keeps it in the run folder's wandb/.

    Raises:
        RuntimeError: nobody is logged in.
    """

    def __init__(self, run: Run, step: int, token: str | None) -> None:
        wandb: Any = importlib.import_module("wandb")
        settings = wandb.setup(wandb.Settings(silent=True, console="off")).settings
        if settings.mode == "online" and not wandb.login(prompt=False):
            raise RuntimeError("nobody is logged in; `wandb login` does that, or WANDB_MODE=offline needs nobody.")
        self.token: str = token or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=settings.project or "segjax",
            id=self.token,
            resume="allow",
            name=run.path.name,
            dir=run.path,
            config=run.configuration()["knobs"],
            reinit="create_new",  # several seeds are several runs of one process
        )

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Send numbers of a step."""
        self._run.log(numbers, step=step)

    def close(self, *, finished: bool) -> None:
        """Wait until everything has arrived."""
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """A run of the experiment segjax, or of MLFLOW_EXPERIMENT_NAME, at MLFLOW_TRACKING_URI."""

    def __init__(self, run: Run, step: int, token: str | None) -> None:
        mlflow: Any = importlib.import_module("mlflow")
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient()
        self.token: str
        if token is not None:
            self.token = token
            self._client.update_run(token, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "segjax")
        known = self._client.get_experiment_by_name(name)
        place = self._client.create_experiment(name) if known is None else known.experiment_id
        self.token = self._client.create_run(place, run_name=run.path.name).info.run_id
        knobs = run.configuration()["knobs"]
        self._client.log_batch(
            self.token, params=[self._entities.Param(knob, str(value)) for knob, value in knobs.items()]
        )

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Send numbers of a step."""
        metric, now = self._entities.Metric, round(time.time() * 1000)
        metrics = [metric(_NOT_IN_NAMES.sub("_", name), value, now, step) for name, value in numbers.items()]
        for first in range(0, len(metrics), _MOST_AT_ONCE):
            self._client.log_batch(self.token, metrics[first : first + _MOST_AT_ONCE])

    def close(self, *, finished: bool) -> None:
        """Say how it ended."""
        self._client.set_terminated(self.token, "FINISHED" if finished else "KILLED")


LOGGERS: dict[str, Callable[[Run, int, str | None], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


class Loggers:
    """All loggers of a run, each in a thread of its own: training never waits for them, and none can end it.

    A logger that fails is left out from there on, after one sentence; the others go on, as they do where one hangs.
    """

    def __init__(self, run: Run, step: int, warn: Callable[[str], None]) -> None:
        self._run = run
        self._warn = warn
        self._noting = threading.Lock()
        self._finished = False
        kept = run.loggers()
        self._waiting: dict[str, queue.SimpleQueue[tuple[int, dict[str, float]] | None]]
        self._waiting = {name: queue.SimpleQueue() for name in kept}
        self._threads = {
            name: threading.Thread(target=self._work, args=(name, step, token), name=_THREAD, daemon=True)
            for name, token in kept.items()
        }
        for thread in self._threads.values():
            thread.start()

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Send numbers of a step; returns at once."""
        for waiting in self._waiting.values():
            waiting.put((step, numbers))

    def close(self, *, finished: bool) -> None:
        """Wait until everything has arrived, but not for ever."""
        self._finished = finished
        for waiting in self._waiting.values():
            waiting.put(None)
        if late := self._late(PATIENCE / 6):
            self._warn(f"Waiting up to {PATIENCE:.0f} s for {late}: numbers are still on their way there ...")
            if late := self._late(PATIENCE):
                self._warn(f"{late} took longer than {PATIENCE:.0f} s; what had not arrived is given up.")
                _take_back_wait_of_wandb()

    def _late(self, seconds: float) -> str:
        """The names of those that are not done after so many seconds."""
        until = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        return ", ".join(name for name, thread in self._threads.items() if thread.is_alive())

    def _work(self, name: str, step: int, token: str | None) -> None:
        try:
            logger = LOGGERS[name](self._run, step, token)
            if logger.token != token:
                with self._noting:
                    self._run.note_loggers(self._run.loggers() | {name: logger.token})
            while (item := self._waiting[name].get()) is not None:
                logger.show(*item)
            logger.close(finished=self._finished)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            self._warn(f"Nothing goes to {name} from here on, training does: {reason}")


def _take_back_wait_of_wandb() -> None:
    """Its service is waited for at Python's exit, for ever, by a hook that its connection takes back where it ends.

    What is asked here is wandb's own affair, as nothing public stops that wait, or does without a lock that may hang.
    """
    found: Any = sys.modules.get("wandb.sdk.wandb_setup")
    for name in ("_singleton", "_connection", "_cleanup"):
        found = getattr(found, name, None)
    if found is not None:
        found()


def given_up() -> bool:
    """Whether a logger of a run that has ended still hangs."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers that are not there.

    Raises:
        ExperimentError: there is none of that name, or it is not installed.
    """
    for name in names:
        by_name(name, LOGGERS, "logger")
        if name != "tensorboard" and importlib.util.find_spec(name) is None:
            raise ExperimentError(f"--log {name} needs {name}; install it with `pip install 'segjax[{name}]'`.")


def log_to(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Keep in the runs where their numbers go from now on, whenever they go on."""
    for run in runs:
        kept = run.loggers()
        run.note_loggers({name: kept.get(name) for name in names})
