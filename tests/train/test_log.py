import re
import time
from collections.abc import Callable

import pytest

from segjax import progress
from segjax.train import log


def said(capsys: pytest.CaptureFixture[str], enough: Callable[[str], object]) -> str:
    """What it printed, once that is enough."""
    text, end = "", time.monotonic() + 10
    while not enough(text):
        assert time.monotonic() < end, text
        time.sleep(0.005)
        text += capsys.readouterr().err
    return text


def test_a_log_that_is_a_file_is_never_quiet_for_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.02)
    with log.Log(200, "miou", speaks=True) as shown:
        shown.waiting("Compiling the training step")
        said(capsys, lambda text: "Compiling the training step, for 0 s so far ..." in text)
        shown.start(100, "a small model.")
        shown.trained(110, [0.5, 0.25], 80.0)
        text = said(capsys, lambda text: text.count(" left") > 1)
        assert re.search(r"^step    110/200  loss 0\.375  80 images/s  \d+ s left$", text, re.MULTILINE)
        shown.scored(120, {"val": [{"miou": 0.75}]})
        shown.waiting("Scoring the test split")
        said(capsys, lambda text: re.search(r"val miou 0\.750 .* left  \(Scoring the test split \.\.\.\)\n", text))
    capsys.readouterr()
    time.sleep(0.05)
    assert not capsys.readouterr().err


def test_a_log_of_another_process_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    with log.Log(200, "miou", speaks=False) as shown:
        shown.start(0, "a small model.")
        shown.trained(10, [None], 80.0)
    assert not capsys.readouterr().err
