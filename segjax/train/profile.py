"""A trace of a few training steps."""

from pathlib import Path
from types import TracebackType
from typing import Any

import jax

STEPS = 5


class Profile:
    """While entered, traces five steps, or a call of more, from `first` on into `folder`/profile; without one, nothing.

    TensorBoard's profile plugin opens the folder, and ui.perfetto.dev the file perfetto_trace.json.gz in it.
    """

    def __init__(self, folder: Path | None, first: int) -> None:
        self._folder = folder
        self._first = first
        self._tracing = False

    def __enter__(self) -> "Profile":
        return self

    def step(self, number: int, state: Any) -> None:
        """Step `number` has been started."""
        if self._folder is None:
            return
        if not self._tracing and number >= self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder / "profile"), create_perfetto_trace=True)
            self._tracing = True
        elif self._tracing and number >= self._first + STEPS:
            jax.block_until_ready(state)
            self._stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracing:
            self._stop()

    def _stop(self) -> None:
        jax.profiler.stop_trace()
        self._tracing, self._folder = False, None
