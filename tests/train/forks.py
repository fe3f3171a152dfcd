"""`segjax` commands in processes of their own, which start in milliseconds and may be killed."""

import json
import subprocess
import sys
import time
from pathlib import Path


class Fork:
    """A `segjax` command that runs in a process of its own."""

    def __init__(self, process: int, output: Path) -> None:
        self.process = process
        self._output = output
        self._code = output.with_name(f"{output.name}.code")

    @property
    def said(self) -> str:
        """What it printed, so far."""
        return self._output.read_text() if self._output.exists() else ""

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._code.exists()

    def wait(self) -> int:
        """The exit code, as a shell says it."""
        end = time.monotonic() + 120
        while not self.ended:
            assert time.monotonic() < end, self.said
            time.sleep(0.01)
        return int(self._code.read_text())


class Forks:
    """Starts `segjax` commands in milliseconds, as forks of a process that has imported it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        server = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
        self._server = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._count = 0

    def start(self, *arguments: str | Path, first: str = "") -> Fork:
        """Begin a command, after the Python in `first`."""
        self._count += 1
        output = self._folder / f"output{self._count}"
        command = {"arguments": [str(argument) for argument in arguments], "first": first, "output": str(output)}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(command), file=self._server.stdin, flush=True)
        return Fork(int(self._server.stdout.readline()), output)

    def run(self, *arguments: str | Path, first: str = "") -> tuple[int, str]:
        """The exit code of a command and what it printed."""
        fork = self.start(*arguments, first=first)
        return fork.wait(), fork.said

    def close(self) -> None:
        """End the process that forks."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)
