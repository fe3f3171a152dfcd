"""Stopping between two steps, instead of anywhere, when someone asks."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):
    """Training was asked to stop and has saved its state. `signal` says how it was asked."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"Stopped at step {step}; everything up to there is saved.")
        self.signal = signal_number


class StopRequest:
    """While entered, the first Ctrl-C or SIGTERM only sets `signal`; a second one acts as it always does."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
