import signal

import pytest

from segjax.train import interruption


def test_signals_that_come_together_are_one_request(monkeypatch: pytest.MonkeyPatch):
    """Of a parent that is killed Linux sends one for each of its threads, and the second must not end what is saved."""
    before, heard = signal.getsignal(signal.SIGTERM), []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with interruption.StopRequest() as stop:
            for _ in range(3):
                signal.raise_signal(signal.SIGTERM)
            assert (stop.signal, heard) == (signal.SIGTERM, [])
            monkeypatch.setattr(interruption, "_ONE_ASKS", -1.0)
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
