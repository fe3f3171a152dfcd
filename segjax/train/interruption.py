"""Stopping between two steps or two batches of an evaluation, instead of anywhere, when someone asks."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import TypeVar

from segjax.train import devices

Batch = TypeVar("Batch")

AGREE_EVERY = 1.0
"""Seconds between two times that several processes ask each other whether to stop."""


_ONE_ASKS = 1.0
"""Seconds in which SIGTERM is one request: Linux sends as many as a parent had threads when it was killed."""


class Interrupted(Exception):
    """Training was asked to stop and has saved its state. `signal` says how it was asked."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"Stopped at step {step}; everything up to there is saved.")
        self.signal = signal_number


class Stopped(Exception):
    """An evaluation was given up, because training should stop."""


class StopRequest:
    """While entered, the first Ctrl-C or SIGTERM only sets `signal`; a later one acts as it always does."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before = {}
        self._signalled_at = 0.0
        self._agreed = False
        self._asked = 0
        self._interval = 1
        self._since = time.monotonic()

    def agreed(self) -> bool:
        """Whether training should stop here, because this process or another was asked to; once true, it stays so.

        Every process calls this at the same points and gets the same answer. They ask each other at every so many of
        these points: as many as took `AGREE_EVERY` seconds before, by the slowest clock, which all of them know.
        """
        if not devices.several_processes():
            return self.signal is not None
        self._asked += 1
        if not self._agreed and self._asked >= self._interval:
            now = time.monotonic()
            asked, seconds = devices.gather([self.signal is not None, now - self._since]).max(axis=0)
            self._agreed = bool(asked)
            # At most twice as many, as the points that come may be slower ones.
            self._interval = max(1, int(self._asked * min(2.0, AGREE_EVERY / seconds)))
            self._asked, self._since = 0, now
        return self._agreed

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches.

        Raises:
            Stopped: before the first that comes after `agreed`.
        """
        for batch in batches:
            if self.agreed():
                raise Stopped
            yield batch

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._signalled_at = number, now
            if number == signal.SIGINT:
                self._give_back()
        elif number == signal.SIGINT or now - self._signalled_at > _ONE_ASKS:
            self._give_back()
            signal.raise_signal(number)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
