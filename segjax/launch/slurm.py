"""A run as a SLURM job that goes on by itself after preemption and after its time limit."""

import contextlib
import difflib
import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from segjax.errors import ExperimentError

_NUMBERS = ("nodes", "gpus", "tasks", "cpus")
_NAMES = ("mem", "partition", "account", "qos", "constraint", "reservation", "exclude")
_LISTS = ("partition", "exclude")
_KEYS = ("time", *_NUMBERS, *_NAMES)
_MINUTES = {"d": 24 * 60, "h": 60, "m": 1}


@dataclass(frozen=True)
class Resources:
    """What a job asks SLURM for."""

    minutes: int
    """Of one attempt: a run that needs more is queued again."""
    nodes: int = 1
    gpus: int | None = None
    """Of every node. Each gets a process of its own, as JAX recommends."""
    tasks: int = 1
    """Processes on every node, where there are no GPUs."""
    cpus: int | None = None
    """Of every process."""
    names: tuple[tuple[str, str], ...] = ()
    """Options of sbatch that are passed on: partition, account and the like."""

    @classmethod
    def parse(cls, text: str) -> "Resources":
        """Read `nodes=2,gpus=8,time=4h,partition=...`.

        Raises:
            ExperimentError: a part is none of these, is said twice, or goes with no other; or the time is missing.
        """
        given: dict[str, str] = {}
        for part in text.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals and given and (last := list(given)[-1]) in _LISTS:
                given[last] += f",{part}"
                continue
            if not equals or not key or not value:
                raise ExperimentError(
                    f"--slurm has {part!r}, which is not KEY=VALUE, as in --slurm nodes=2,gpus=8,time=4h."
                )
            if key not in _KEYS:
                close = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean {close[0]}? It takes" if close else "it takes"
                raise ExperimentError(f"--slurm does not know {key}; {hint} {', '.join(_KEYS)}.")
            if key in given:
                raise ExperimentError(f"--slurm has {key} twice.")
            given[key] = value
        if "time" not in given:
            raise ExperimentError(
                "--slurm needs a time limit, such as time=4h; a run that needs longer goes on by itself."
            )
        if "gpus" in given and "tasks" in given:
            raise ExperimentError("--slurm has gpus and tasks; leave tasks out, every GPU gets a process of its own.")
        numbers = {key: _number(key, given[key]) for key in _NUMBERS if key in given}
        names = tuple((key, given[key]) for key in _NAMES if key in given)
        return cls(minutes=_minutes(given["time"]), names=names, **numbers)


def check_here() -> None:
    """Refuse a machine that has no SLURM to submit to.

    Raises:
        ExperimentError: it has no sbatch.
    """
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise ExperimentError(
            "--slurm needs a machine with sbatch, such as a cluster's login node; --local 2 starts two processes here."
        )


def submit(
    commands: Sequence[Sequence[str]], folder: Path, name: str, resources: Resources, saves: Sequence[Path]
) -> list[tuple[str, Path]]:
    """Submit a job whose every task runs the command, or an array of such jobs where there are several commands.

    Returns, for each command, the number of its job and where the output of its first task will be. A job gets SIGTERM
    before its time limit, as it does from preemption. Where its tasks then end with code 143 (128 + SIGTERM), it is
    queued again and runs the same command, as long as new files in its folder of `saves` show that it gets on. Job
    files and output go to `folder`, which every node must see.

    Raises:
        ExperimentError: sbatch refuses the job.
    """
    executor = submitit.SlurmExecutor(folder.absolute())
    executor.update_parameters(**_parameters(name, resources, [path.absolute() for path in saves]))
    try:
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():  # submitit prints what it raises, too
            jobs = [executor.submit(os.execv, command[0], list(command)) for command in commands]
    except FailedJobError as error:
        said = str(error).strip().rpartition("\n")[2].rpartition("sbatch: error: ")[2]
        away = "Unable to contact slurm controller" in said
        mend = "run this again when `scontrol ping` says that it is up" if away else "change what --slurm asks for"
        raise ExperimentError(f"sbatch refuses the job: {said}; {mend}.") from error
    return [(job.job_id, job.task(0).paths.stdout) for job in jobs]


def is_active(job: str) -> bool:
    """Whether a job is queued or running."""
    done = subprocess.run(["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True)
    return bool(done.stdout.strip())  # a job that is long over is an error to squeue


def _parameters(name: str, resources: Resources, saves: Sequence[Path]) -> dict[str, Any]:
    asked = {"gpus_per_node": resources.gpus, "cpus_per_task": resources.cpus}
    # SIGTERM instead of submitit's own signal, so that a run needs to know of one alone. The earliest is a tenth of the
    # time before the limit, for short jobs.
    notice = min(120, 6 * resources.minutes)
    return {
        "job_name": name,
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": resources.gpus or resources.tasks,
        "stderr_to_stdout": True,
        "setup": ["began=$(date +%s)"],
        "srun_args": ["--kill-on-bad-exit=1", "--open-mode=append"],
        "teardown": _go_on_after_sigterm(saves),
        "additional_parameters": {"requeue": True, "signal": f"TERM@{notice}", **dict(resources.names)},
        **{option: value for option, value in asked.items() if value is not None},
    }


def _go_on_after_sigterm(saves: Sequence[Path]) -> list[str]:
    """The end of a job script: queue the job again if its tasks saved and stopped because they were told to.

    A job that somebody cancelled is no longer RUNNING here. The first attempts may have saved nothing, as a job can be
    preempted while it starts.
    """
    return [
        "code=$?",
        f"folders=({' '.join(shlex.quote(str(path)) for path in saves)})",
        'state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)',
        'saved=$(find "${folders[${SLURM_ARRAY_TASK_ID:-0}]}" -mindepth 1 -newermt "@$began" -print -quit)',
        'if [ "$code" = 143 ] && [ "$state" = RUNNING ]; then',
        '  if [ -n "$saved" ] || [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then',
        '    echo "Stopped after $(($(date +%s) - began)) s; queued again, to go on."',
        '    scontrol requeue "$SLURM_JOB_ID"',
        "  else",
        '    echo "Stopped for the fourth time without saving anything; not queued again."',
        "  fi",
        "fi",
        'exit "$code"',
    ]


def _number(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ExperimentError(f"--slurm has {key}={text}, which must be a whole number from 1.")
    return int(text)


def _minutes(text: str) -> int:
    if not re.fullmatch(r"(\d+[dhm])+", text):
        raise ExperimentError(f"--slurm has time={text}, which must be like 30m, 4h, 2d or 1d12h.")
    minutes = sum(int(number) * _MINUTES[unit] for number, unit in re.findall(r"(\d+)([dhm])", text))
    if minutes < 1:
        raise ExperimentError(f"--slurm has time={text}; give it a minute at least.")
    return minutes
