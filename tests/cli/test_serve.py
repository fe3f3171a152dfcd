import http.client
import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from forks import Forks
from PIL import Image

from segjax.cli import main
from segjax.errors import ServeError
from segjax.serve.running import listen


def test_a_run_is_served_until_it_is_told_to_stop(squares: Path, tmp_path: Path, forks: Forks):
    run = tmp_path / "run"
    assert forks.run("train", squares, "--out", run, "--steps", "2")[0] == 0
    image = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(image)
    server = forks.start("serve", run, "--port", "0", "--size", "16", "16", "--batch", "1")
    pause = threading.Event()
    while "is served on" not in server.said:
        assert not server.ended, server.said
        pause.wait(0.02)
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", server.said)[0])
    assert re.search(r"Compiled in [\d.]+ s, for up to 1 at once\.", server.said)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    data = image.read_bytes()
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data[:100])
    health = http.client.HTTPConnection("127.0.0.1", port)
    while not (health.request("GET", "/health") or b'"under_way": 1' in health.getresponse().read()):
        pause.wait(0.02)
    os.kill(server.process, signal.SIGTERM)
    connection.send(data[100:])  # of a request under way
    mask = connection.getresponse().read()
    assert server.wait() == 0
    assert server.said.splitlines()[-1] == "Stopped."
    assert main(["predict", str(run), str(image), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == mask


def test_an_address_that_is_taken_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with listen("127.0.0.1", 0) as taken, pytest.raises(ServeError, match=r"cannot be listened on \(Address already"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ServeError, match=r"no.where, port 1, cannot be listened on"):
        listen("no.where", 1)
    with pytest.raises(ServeError, match=r"--port is 99999: a port is a number from 0 to 65535"):
        listen("127.0.0.1", 99999)
    assert main(["serve", str(tmp_path), "--batch", "2"]) == 1
    assert "segjax:" in capsys.readouterr().err
