"""The process around the server."""

import signal
import threading
from collections.abc import Iterator

import pytest

from segjax.data import Dataset
from segjax.layers import ConvBlock
from segjax.serve import Served, serve
from segjax.tasks import Segmentation

STOPS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of this process, which the server's take the place of."""
    own = [signal.getsignal(number) for number in STOPS]
    yield
    for number, handler in zip(STOPS, own, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_comes_as_soon_as_the_address_is_said_is_heard(monkeypatch: pytest.MonkeyPatch):
    task = Segmentation(Dataset("two", ("dark", "bright"), ((20, 20, 20), (250, 250, 0)), lambda split: []))
    monkeypatch.setattr("builtins.print", lambda *said, **how: signal.raise_signal(signal.SIGTERM))
    late = threading.Timer(10, signal.raise_signal, [signal.SIGTERM])
    late.start()
    try:
        serve(Served("two", task, ConvBlock((2,)), {}), "127.0.0.1", 0, sizes=())
        assert late.is_alive(), "it went on until it was told again"
    finally:
        late.cancel()
