"""A headless Chromium, told what to do by its devtools protocol over a pipe.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_AS_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for pipe, number in zip(pipes, (3, 4)):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SHOWN = """
new Promise((done, failed) => {
  const status = document.getElementById("status");
  document.addEventListener("found", ({detail}) => done({
    ...detail, masks: detail.masks.map((mask) => Array.from(mask)), said: status.textContent,
  }), {once: true});
  new MutationObserver(() => status.classList.contains("wrong") && failed(status.textContent)).observe(
    status, {childList: true, attributes: true});
  const bytes = Uint8Array.from(atob(%s), (one) => one.charCodeAt(0));
  const chosen = new DataTransfer();
  chosen.items.add(new File([bytes], %s, {type: %s}));
  const input = document.getElementById("file");
  input.files = chosen.files;
  input.dispatchEvent(new Event("change"));
})
"""
_READY = """
new Promise((done) => setTimeout(() => done("ready" in (document.documentElement?.dataset ?? {})), 20))
"""


class Tab:
    """One page."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.tell("Page.enable")
        self.tell("Runtime.enable")

    def tell(self, method: str, **how: Any) -> Any:
        """A command of the protocol; returns its result."""
        return self._send(method, how)

    def run(self, code: str) -> Any:
        """The value of JavaScript, awaited."""
        told = self.tell("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def open(self, address: str) -> None:
        """Go there, and wait until segjax's page has its model."""
        self.tell("Page.navigate", url=address)
        assert any(self.run(_READY) for _ in range(1000)), self.run("document.body.innerText")

    def choose(self, file: Path) -> Any:
        """What segjax's page finds in an image file that a person chooses."""
        kind = {".png": "image/png", ".jpg": "image/jpeg"}.get(file.suffix, "text/plain")
        data = base64.b64encode(file.read_bytes()).decode()
        return self.run(_SHOWN % (json.dumps(data), json.dumps(file.name), json.dumps(kind)))

    def screenshot(self, file: Path, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """What is seen in a window of that size."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        wanted = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tell("Emulation.setEmulatedMedia", features=wanted)
        file.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A tab of a browser that keeps what it keeps in a folder."""
    assert CHROMIUM is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    settings = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    settings += [f"--user-data-dir={folder}", "--no-first-run", "--no-proxy-server", "about:blank"]
    settings += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    command = [sys.executable, "-c", _AS_3_AND_4, str(theirs_in), str(theirs_out), CHROMIUM, *settings]
    browser = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
    os.close(theirs_in)
    os.close(theirs_out)
    count = 0

    with os.fdopen(ours_out, "wb") as out, os.fdopen(ours_in, "rb") as into:
        unread = b""

        def send(method: str, how: dict[str, Any], session: str | None = None) -> Any:
            nonlocal count, unread
            count += 1
            message = {"id": count, "method": method, "params": how} | ({"sessionId": session} if session else {})
            out.write(json.dumps(message).encode() + b"\0")
            out.flush()
            while True:
                while b"\0" not in unread:
                    more = os.read(into.fileno(), 2**20)
                    assert more, "the browser has ended"
                    unread += more
                one, _, unread = unread.partition(b"\0")
                told = json.loads(one)
                if told.get("id") == count:
                    assert "error" not in told, told["error"]
                    return told["result"]

        try:
            target = send("Target.createTarget", {"url": "about:blank"})["targetId"]
            session = send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            yield Tab(lambda method, how: send(method, how, session))
            send("Browser.close", {})
        finally:
            browser.terminate()
            browser.wait(20)
