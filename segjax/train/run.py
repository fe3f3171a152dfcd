"""A run folder: everything that one training run leaves behind."""

import collections
import contextlib
import dataclasses
import errno
import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import jax

from segjax import __version__
from segjax.errors import ExperimentError
from segjax.report.folder import CONFIGURATION, REPORT, REPORTED, ROWS
from segjax.strict_json import as_json, read_object, read_rows
from segjax.train.devices import is_first_process
from segjax.whole import write_whole

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "opencv-python-headless")


def resuming(run: str | Path) -> str:
    """The command that goes on with a run, as a shell takes it."""
    return f"segjax train --resume {shlex.quote(str(run))}"


@dataclasses.dataclass(frozen=True)
class Run:
    """The folder of a run, by path.

    experiment.py   the experiment file as it was used, where there was one
    run.json        its name and knobs, versions, the machines it was trained on
    checkpoints/    Orbax checkpoints
    metrics.jsonl   a row every few steps; the same bits for the same experiment on the same machine
    events.out.*    the same for TensorBoard, and the speed
    curves.png, predictions.png, report.json
    report.html     all of it to be looked at, in one file
    per_image.jsonl the scores of each test image that the report looks at
    details.json    what else the report shows of them together

    Examples:
        >>> from pathlib import Path
        >>> run = train.Run.create(Path("run"), {"knobs": {"steps": 10}})
        >>> run.configuration()["knobs"]
        {'steps': 10}
    """

    path: Path

    def __fspath__(self) -> str:
        """Its path, so that a run is taken wherever the folder of one is."""
        return str(self.path)

    @classmethod
    def create(cls, path: Path, configuration: dict[str, Any], experiment_file: Path | None = None) -> "Run":
        """Make a new run folder, whose run.json holds `configuration`, the versions and the command.

        What a kill left of one before its run.json, which is written last, stands in no way.

        Raises:
            ExperimentError: something is there already, or nothing can be written.
        """
        run = cls(path)
        taken = ExperimentError(
            f"{path} is already there and not an empty folder; give --out another name, "
            f"or go on with the run in it by `{resuming(path)}`."
        )
        if path.exists() and not run._is_free():
            raise taken
        try:
            path.mkdir(parents=True, exist_ok=True)
            with run.in_use():  # or two that begin at once would train by one's files and write down the other's
                if not run._is_free():
                    raise taken
                run.checkpoints.mkdir(exist_ok=True)
                if experiment_file is not None:
                    shutil.copyfile(experiment_file, run.experiment_file)
                run.write_json(
                    "run.json",
                    configuration
                    | {
                        "versions": {"segjax": __version__, "python": platform.python_version()} | _versions(),
                        "machines": [],
                        "command": shlex.join(sys.argv[:1] and ["segjax", *sys.argv[1:]]),
                    },
                )
        except OSError as error:
            raise ExperimentError(
                f"{path} cannot be written: {error.strerror}; give --out a folder of yours."
            ) from error
        return run

    def _is_free(self) -> bool:
        """Whether there is nothing in the folder but what a kill left of a run before its run.json."""
        begun = {self.checkpoints, self.experiment_file, self.path / ".run.json.partial", self.path / ".in_use"}
        return self.path.is_dir() and not set(self.path.iterdir()) - begun and not any(self.checkpoints.glob("*"))

    def remove_if_unsaved(self) -> None:
        """Remove the folder of a run that failed before there was anything to go on from, or to look into."""
        if any(self.checkpoints.glob("*")) or (self.path / "skipped").exists():
            return
        with contextlib.suppress(ExperimentError, FileNotFoundError), self.in_use():  # not another process's
            shutil.rmtree(self.path, ignore_errors=True)  # on Windows all but the file that is locked

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While entered, no other process can train in this folder; the lock ends with this one, however that ends.

        On NFS and Lustre it holds between machines where they are mounted with locks. Where a file system has none, a
        sentence says so and nothing is locked.

        Raises:
            ExperimentError: another process trains in it.
        """
        if not is_first_process():
            yield
            return
        with (self.path / ".in_use").open("a") as file:
            try:
                _lock(file)
            except (BlockingIOError, PermissionError):
                raise ExperimentError(
                    f"{self.path} is being trained in by another process; wait for it, or give --out another name."
                ) from None
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                    raise
                print(f"{self.path} cannot be locked ({error.strerror}): let one process train in it.", file=sys.stderr)
            yield

    @property
    def experiment_file(self) -> Path:
        """The experiment file as it was used."""
        return self.path / "experiment.py"

    @property
    def checkpoints(self) -> Path:
        """The folder of Orbax checkpoints."""
        return self.path / "checkpoints"

    def configuration(self) -> dict[str, Any]:
        """What run.json holds.

        Raises:
            ExperimentError: that is no longer what a run writes.
        """
        return read_object(self.path / "run.json", CONFIGURATION)

    def note_machine(self) -> None:
        """Add to run.json that it is trained here, now; a run may go on elsewhere."""
        kinds = collections.Counter(device.device_kind for device in jax.devices())
        here = {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "processes": jax.process_count(),
            "devices": dict(kinds),
        }
        kept = self.configuration()
        self.write_json("run.json", kept | {"machines": [*kept.get("machines", []), here]})

    def change(self, step: int, knobs: dict[str, Any]) -> None:
        """Keep other values of knobs in run.json, with the step from which they hold."""
        kept = self.configuration()
        changes = [*kept.get("changes", []), {"step": step, "knobs": knobs}]
        self.write_json("run.json", kept | {"knobs": kept["knobs"] | knobs, "changes": changes})

    def loggers(self) -> dict[str, str | None]:
        """Where its numbers go beside its files: names, and what the run is found again by there."""
        return self.configuration().get("loggers", {"tensorboard": None})

    def note_loggers(self, loggers: dict[str, str | None]) -> None:
        """Keep that in run.json."""
        self.write_json("run.json", self.configuration() | {"loggers": loggers})

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole or not at all."""
        write_json(self.path, name, content)

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows to metrics.jsonl; they are on disk when this returns.

        Raises:
            ExperimentError: the folder is not the run's any more: checkpoints, which make folders, would go on in it.
        """
        if not (self.path / "run.json").exists():
            raise ExperimentError(
                f"{self.path} was removed or moved while the run in it was trained: its run.json is gone, without "
                "which nobody could go on with it. Train again, or go on where it is now."
            )
        with (self.path / "metrics.jsonl").open("a") as file:
            file.writelines(as_json(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last row that a kill cut short is left out."""
        return read_rows(self.path / "metrics.jsonl", ROWS, ["step"])

    def report(self) -> dict[str, Any]:
        """What report.json holds, the scores among it.

        Raises:
            ExperimentError: the run is not finished, or the file is no longer what it wrote.
        """
        file = self.path / "report.json"
        if not file.exists():
            raise ExperimentError(f"{self.path} holds no report.json yet: let the training finish.")
        return read_object(file, REPORT, REPORTED)

    def forget_metrics_after(self, step: int) -> None:
        """Drop the rows that a run will write again when it goes on from `step`."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        write_whole(self.path / "metrics.jsonl", "".join(as_json(row) + "\n" for row in kept))


def write_json(folder: Path, name: str, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_whole(folder / name, as_json(content, indent=2) + "\n")


def _lock(file: IO[str]) -> None:
    """Lock a file until it is closed, or raise `OSError` at once."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:  # by name: to list all that is installed takes seconds
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
