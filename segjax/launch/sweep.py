"""The combinations of a sweep, one after the other on this machine or as SLURM jobs."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from segjax.launch.tied import tied
from segjax.runs.seeds import open_runs
from segjax.runs.sweep import Combination

if TYPE_CHECKING:
    from segjax.launch import slurm


def run_here(command: Callable[[Path], list[str]], combinations: Sequence[Combination]) -> dict[Path, str]:
    """Run the combinations one after the other, each in a process of its own that has all devices.

    `command` makes the command that trains what is in a folder; on Linux it gets SIGTERM when this process is killed.
    Returns what those that failed said last, by folder.

    Raises:
        SystemExit: this process is asked to end; with the exit code that a shell would see.
    """
    failed: dict[Path, str] = {}
    for number, combination in enumerate(combinations, 1):
        print(f"[{number}/{len(combinations)}] {combination}", file=sys.stderr, flush=True)
        code, said = _run(command(combination.folder))
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            print("The sweep was stopped; the same command with the same --out goes on.", file=sys.stderr)
            raise SystemExit(code)
        if code:
            failed[combination.folder] = said
    return failed


def _run(command: Sequence[str]) -> tuple[int, str]:
    """The exit code of a command, as a shell says it, and its last line on stderr, all of which is passed on."""
    # A session of its own, so that Ctrl-C in a terminal reaches it once, through here.
    child = subprocess.Popen(
        tied(command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert child.stderr is not None
        last = ""
        for line in child.stderr:
            sys.stderr.write(line)
            last = line.strip() or last
        code = child.wait()
    finally:
        child.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
    return (code if code >= 0 else 128 - code), last.removeprefix("segjax: ")


def submit(
    command: Callable[[Path], list[str]], combinations: Sequence[Combination], resources: "slurm.Resources"
) -> None:
    """Submit a job array with a job for every combination but those whose job is still queued or running."""
    from segjax.launch import slurm  # needs submitit, which a sweep on this machine does not

    waiting = []
    for combination in combinations:
        note = _note(combination)
        if note.exists() and slurm.is_active(note.read_text()):
            print(f"{combination}: SLURM job {note.read_text()} is not over yet.", file=sys.stderr)
        else:
            waiting.append(combination)
    if not waiting:
        return
    runs = [open_runs(combination.folder)[0] for combination in waiting]
    jobs = slurm.submit(
        [command(combination.folder) for combination in waiting],
        waiting[0].folder.parent / "slurm",
        f"segjax {runs[0].configuration()['experiment']} sweep",
        resources,
        saves=[run.checkpoints for run in runs],
    )
    for combination, (job, output) in zip(waiting, jobs, strict=True):
        _note(combination).write_text(job)
        print(f"{combination}: SLURM job {job}. Its first task writes to {output}.", file=sys.stderr)


def _note(combination: Combination) -> Path:
    """The file that holds the number of a combination's job."""
    return combination.folder / "slurm_job.txt"
