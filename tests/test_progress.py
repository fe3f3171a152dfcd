import re
import time

import pytest

from segjax import progress
from segjax.progress import Bar, NeverSilent, clock


def wait_for(capsys: pytest.CaptureFixture[str], pattern: str) -> None:
    text, end = "", time.monotonic() + 10
    while not re.search(pattern, text, re.MULTILINE):
        assert time.monotonic() < end, text
        time.sleep(0.005)
        text += capsys.readouterr().err


def test_a_bar_that_nobody_draws_says_where_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.02)
    with Bar("images", 4, sums_up=True) as bar:
        wait_for(capsys, "^0/4 images$")
        for _ in bar.each(range(2)):
            pass
        wait_for(capsys, r"^2/4 images  [\d.e+]+ images/s  \d+ s left$")
        bar.reached(4)
    wait_for(capsys, r"^4/4 images  [\d.e+]+ images/s$")
    with Bar("frames", None) as bar:
        bar.advance()
        wait_for(capsys, r"^1 frames  [\d.e+]+ frames/s$")


def test_whoever_speaks_is_not_interrupted(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    never_silent = NeverSilent(lambda: "here", said.append)
    waits = iter([29.0, 30.0, 45.0, 75.0])

    def wait(seconds: float) -> bool:
        nonlocal now
        now = next(waits, -1.0)
        if now == 30.0:
            never_silent.spoke()
        return now < 0

    monkeypatch.setattr(never_silent._ended, "wait", wait)
    never_silent._break_silence()
    assert said == ["here"]  # at 75, more than 30 s after it was spoken at 30


def test_times_are_short():
    assert [clock(seconds) for seconds in (4.4, 61, 3700)] == ["4 s", "1 min 1 s", "1 h 1 min"]
