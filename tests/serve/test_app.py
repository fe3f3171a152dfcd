"""The server on a real socket: what it answers is what `segjax predict` writes, and what it refuses it says."""

import dataclasses
import http.client
import io
import json
import math
import random
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from box_records import DATA
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from read_off import Marked, marked
from serving import Address, serving

from segjax.data import Dataset
from segjax.data.formats.bands import Bands
from segjax.errors import InferenceError
from segjax.serve import Limits, Served, ServeError
from segjax.serve.running import listen
from segjax.tasks import Detection, Options, Segmentation, SigmoidSegmentation, Task

PALETTE = ((20, 20, 20), (250, 250, 0), (0, 0, 250))
CLASSES = Dataset("two", ("dark", "bright", "never"), PALETTE, lambda split: [], bands=Bands())
LABELS = Dataset("labels", ("red", "green"), ((250, 200, 0), (0, 90, 250)), lambda split: [], multilabel=True)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (41, 60, 3)).astype(np.uint8)


class Levels(nn.Module):
    """Logits are what the bands are above a level, blurred."""

    labels: int

    @nn.compact
    def __call__(self, image, *, train: bool):
        blurred = nn.avg_pool(jnp.asarray(image, jnp.float32), (3, 3), (1, 1), "SAME")
        return (blurred[..., : self.labels] - 128) / 16


def encoded(pixels: np.ndarray, format: str = "PNG", **settings: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **settings)
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(NOISE, "JPEG", exif=exif)


def npz(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, image=array)
    return file.getvalue()


def segmenter() -> Served:
    return Served("bright", Segmentation(CLASSES), Levels(3), {}, licence="CC0-1.0")


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with serving(segmenter(), Limits(body=1, pixels=1)) as address:
        yield address


def written(task: Task, model: nn.Module, data: bytes, folder: Path, options: Options) -> dict[str, bytes]:
    """What `segjax predict` writes for an image file, by what follows its name."""
    file = folder / "a.bin"
    file.write_bytes(data)
    assert not task.predictions.write_files(model, {}, [file], folder / "out", options).failed
    return {path.name.removeprefix("a"): path.read_bytes() for path in (folder / "out").iterdir()}


IMAGES = {
    "a PNG": encoded(NOISE),
    "of another size": encoded(NOISE[:20, :33]),
    "one pixel": encoded(NOISE[:1, :1]),
    "a JPEG that lies on its side": turned(),
    "grey": encoded(NOISE[..., 0]),
    "with opacity": encoded(np.dstack([NOISE, NOISE[..., :1]])),
    "a TIFF with opacity": encoded(np.dstack([NOISE, np.where(NOISE[..., 0] < 99, 0, 255).astype(np.uint8)]), "TIFF"),
    "in tiles": encoded(np.resize(NOISE, (100, 100, 3)), "WEBP", lossless=True),
}


def test_a_mask_is_the_file_that_is_predicted(address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ThreadPoolExecutor(8) as pool:  # at once, and so in batches
        masks = [*pool.map(address.predict, IMAGES.values())]
        shares = [*pool.map(lambda data: address.predict(data, "?output=probabilities"), IMAGES.values())]
    for (name, data), mask, share in zip(IMAGES.items(), masks, shares, strict=True):
        (tmp_path / name).mkdir()
        files = written(Segmentation(CLASSES), Levels(3), data, tmp_path / name, Options(probabilities="npy"))
        assert (mask.status, mask.headers["content-type"], mask.body) == (200, "image/png", files[".png"]), name
        assert (share.status, share.body) == (200, files["_probabilities.npy"]), name


def test_each_label_has_a_mask_and_json_has_all(tmp_path: Path):
    task, data = SigmoidSegmentation(LABELS), IMAGES["a PNG"]
    files = written(task, Levels(2), data, tmp_path, Options())
    with serving(Served("labels", task, Levels(2), {})) as address:
        assert address.predict(data, "?label=green").body == files["_mask_1_green.png"]
        said = json.loads(address.predict(data, Accept="application/json").body)
        refused = [address.predict(data, query) for query in ("", "?label=greem")]
    assert (said["width"], said["height"], [one["label"] for one in said["masks"]]) == (60, 41, ["red", "green"])
    assert [json.loads(reply.body)["error"] for reply in refused if reply.status == 422] == [
        "Labels may overlap, and each has a mask of its own; no label is named: add ?label=, such as red or green.",
        "Labels may overlap, and each has a mask of its own; there is no label 'greem': add ?label=, such as green.",
    ]


def test_images_of_other_numbers_and_bands_are_read_as_they_are(tmp_path: Path):
    bands = Bands("uint16", 5, (5, 4, 3, 2, 1), low=(0,) * 5, high=(300,) * 5)
    data_set = dataclasses.replace(CLASSES, bands=bands)
    pixels, file = RNG.integers(0, 300, (20, 30, 6)).astype(np.uint16), io.BytesIO()
    np.save(file, pixels)
    files = written(Segmentation(data_set), Levels(3), file.getvalue(), tmp_path, Options())
    served = Served("bands", Segmentation(data_set), Levels(3), {})
    assert served.predict([served.images.blank((8, 16))])[0].mask.shape == (8, 16)  # type: ignore[union-attr]
    with serving(served) as address:
        assert address.predict(file.getvalue(), Content_Type="application/x-npy").body == files[".png"]
        refused = address.predict(IMAGES["a PNG"])
    assert refused.status == 422
    assert b"band 5 is asked for" in refused.body


def test_boxes_are_those_that_are_predicted(tmp_path: Path):
    data_set = dataclasses.replace(DATA, attribute_names=("wide", "tall"))
    task = Detection(data_set)
    data = encoded(marked(40, 64, (5, 4, 176, 6, 4), (30, 20, 240, 10, 8), (44, 29, 144, 9, 21)))
    annotations = json.loads(written(task, Marked(), data, tmp_path, Options(score=0.6))["boxes.json"])["annotations"]
    with serving(Served("boxes", task, Marked(), {}, Options(score=0.6))) as address:
        replies = [
            address.predict(data),
            address.predict(data, Accept="image/png"),
            address.predict(data, "?output=mask"),
        ]
        sentence = json.loads(replies[2].body)["error"]
    found = json.loads(replies[0].body)["boxes"]
    assert len(found) == 3
    assert [(one["box"], one["score"], one["label"] + 1) for one in found] == [
        (one["bbox"], one["score"], one["category_id"]) for one in annotations
    ]
    assert [one["attributes"] for one in found] == [one["attributes"] for one in annotations]
    assert found[1]["class"] == DATA.class_names[1]
    assert [reply.status for reply in replies] == [200, 406, 422]
    assert sentence == "There is no output 'mask': ask for json."


def test_a_form_and_what_is_accepted(address: Address):
    data = IMAGES["a PNG"]
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n--xyz\r\nContent-Disposition: form-data; '
    )
    body += b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + data + b"\r\n--xyz--\r\n"
    reply = address.predict(body, Content_Type="multipart/form-data; boundary=xyz")
    assert reply.body == address.predict(data).body
    note = PngInfo()
    note.add_text("note", "--xyz")  # the boundary, within a line
    holding = encoded(NOISE, pnginfo=note)
    for head in (
        b'name="filename"\r\n\r\nhi\r\n--xyz\r\nContent-Disposition: form-data; name="image"; filename="a"',
        b"FileName=a",
    ):
        body = b"--xyz\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + holding + b"\r\n--xyz--\r\n"
        reply = address.predict(body, Content_Type='multipart/form-data; Boundary="xyz"')
        assert reply.body == address.predict(data).body
    for accept, kind in {
        "application/x-npy": "application/x-npy",
        "text/html, application/*;q=0.5, image/png;q=0.4": "application/json",
        "*/*": "image/png",
        "image/png;q=0, application/json;q=0.1": "application/json",
        "*/*, image/png;q=0": "application/json",
        "image/*;q=0.1, image/png;q=0.9, application/json;q=0.5": "image/png",
        "image/png;q=\xb2, application/json": "application/json",
        "": "image/png",
    }.items():
        assert address.predict(data, Accept=accept).headers["content-type"] == kind


def png(width: int, height: int) -> bytes:
    """A header of a size, and next to nothing behind it."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def bomb() -> bytes:
    """An archive of 1 MB that says to hold a small image, and holds 100 MB."""
    file, array = io.BytesIO(), io.BytesIO()
    np.save(array, NOISE)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", array.getvalue() + bytes(10**8))
    return file.getvalue()


def film() -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(NOISE[..., k]) for k in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


REFUSED: dict[str, tuple[Any, dict[str, Any], int, str]] = {
    "nothing": (b"", {}, 422, "The image has no bytes: send the bytes of an image file, as `curl"),
    "text": (b"hi", {"Content_Type": "text/plain"}, 415, "The request has text/plain, which is no image of pixels"),
    "an SVG": (b"<svg/>", {"Content_Type": "image/svg+xml"}, 415, "image/svg+xml, which is no image of pixels"),
    "an SVG in disguise": (b"<svg/>", {}, 422, "is no image, or damaged (it starts with b'<svg/>')"),
    "random bytes": (random.Random(0).randbytes(5000), {}, 422, "is no image, or damaged"),
    "cut short": (IMAGES["a PNG"][:900], {}, 422, "is damaged or cut short"),
    "an animation": (film(), {}, 422, "holds 3 frames"),
    "a page that is an image": (b"GIF89a<script>alert(1)</script>", {}, 422, "The image is"),
    "large by its header": (png(30000, 30000), {}, 422, "over the limit of 400"),
    "too large by its header": (png(1500, 1500), {}, 413, "The image has 2.2 megapixels, and 1 are taken"),
    "a bomb of pixels": (encoded(np.zeros((2000, 4000), np.uint8)), {}, 413, "The image has 8.0 megapixels"),
    "a bomb of bands": (
        npz(np.zeros((9, 9, 10**5), np.uint8)),
        {},
        413,
        "8.1 million numbers in 100000 bands, and 4 are taken",
    ),
    "too many bytes": (bytes(2**20 + 1), {}, 413, "The request has 1.0 MiB or more, and 1 are taken"),
    "too many bytes, untold": (iter([bytes(2**20), b"more"]), {}, 413, "The request has 1.0 MiB or more"),
    "16 bits": (encoded(NOISE[..., 0].astype(np.uint16)), {}, 422, "the images of the set have uint8"),
    "an unknown output": (b"", {"query": "?output=masks"}, 422, "There is no output 'masks': ask for mask or json or"),
    "a form without a file": (
        b"--x--",
        {"Content_Type": "multipart/form-data; boundary=x"},
        422,
        "The form has no file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_sentence(name: str, address: Address):
    body, how, status, sentence = REFUSED[name]
    reply = address.predict(body, **how)
    assert reply.status == status
    assert sentence in json.loads(reply.body)["error"]


def test_hostile_files_are_survived(address: Address):
    data, rng = IMAGES["a PNG"], random.Random(1)
    flipped = [bytes(rng.randrange(256) if rng.random() < 0.01 else one for one in data) for _ in range(20)]
    assert {address.predict(one).status for one in (*flipped, bomb(), data[:-4], turned()[:500])} <= {200, 413, 422}
    assert address.predict(data).status == 200


def test_what_it_says_of_itself(address: Address):
    said = json.loads(address.ask("/metadata").body)
    assert said["pixels"]["classes"][1] == {"name": "bright", "colour": "#fafa00"}
    assert (said["licence"], said["objects"], said["limits"]["pixels"]) == ("CC0-1.0", None, 10**6)
    assert json.loads(address.ask("/health").body) == {"status": "ok", "under_way": 0}
    document = json.loads(address.ask("/openapi.json").body)
    assert document["openapi"] == "3.1.0"
    post = document["paths"]["/predict"]["post"]
    assert set(post["responses"]["200"]["content"]) == {"image/png", "application/json", "application/x-npy"}
    assert set(post["requestBody"]["content"]) == {
        "image/*", "application/octet-stream", "application/x-npy", "multipart/form-data",
    }  # fmt: skip
    assert b"<h1>bright</h1>" in address.ask("/").body
    for reply, status in ((address.ask("/predict"), 405), (address.ask("/elsewhere"), 404)):
        assert reply.status == status
        assert "is nothing here" in json.loads(reply.body)["error"]


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"


class Held:
    """A model that waits to be let go, and keeps the sizes of its batches."""

    def __init__(self, served: Served) -> None:
        self.entered, self.free, self.batches = threading.Semaphore(0), threading.Event(), []
        self._predict = served.predict
        served.predict = self.predict  # type: ignore[method-assign]

    def predict(self, images: Any) -> Any:
        self.batches.append(len(images))
        self.entered.release()
        assert self.free.wait(30)
        return self._predict(images)


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


def under_way(address: Address) -> int:
    return json.loads(address.ask("/health").body)["under_way"]


def test_what_waits_goes_in_one_pass_beyond_the_queue_is_refused_and_who_leaves_breaks_nothing():
    served, data = segmenter(), IMAGES["a PNG"]
    held = Held(served)
    with serving(served, Limits(queue=6, batch=4)) as address, ThreadPoolExecutor(8) as pool:
        first = pool.submit(address.predict, data)
        held.entered.acquire()
        leaving = socket.create_connection(address)
        leaving.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(data)
        )
        leaving.sendall(data)
        until(lambda: under_way(address) == 2)
        others = [pool.submit(address.predict, data) for _ in range(4)]
        until(lambda: under_way(address) == 6)
        full = address.predict(data)
        assert (full.status, full.headers["retry-after"]) == (503, "1")
        assert "6 requests are under way, and more are not taken" in json.loads(full.body)["error"]
        leaving.close()
        until(lambda: under_way(address) == 5)
        held.free.set()
        assert {one.result().body for one in (first, *others)} == {address.predict(data).body}
        assert held.batches[:2] == [1, 4]


def test_who_would_wait_too_long_is_told_so():
    served = segmenter()
    held = Held(served)
    with serving(served, Limits(seconds=0.2)) as address:
        late = address.predict(IMAGES["a PNG"])
        slow = socket.create_connection(address)
        slow.sendall(HEAD % 99 + b"ab")
        stalled = http.client.HTTPResponse(slow)
        stalled.begin()
        sentence = json.loads(stalled.read())["error"]
        slow.close()
        held.free.set()
    assert (late.status, json.loads(late.body)["error"]) == (504, "No answer in 0.2 seconds: send a smaller image.")
    assert (stalled.status, sentence) == (408, "Not all of the image came in 0.2 seconds: send it again.")


@pytest.mark.parametrize(
    "sent", [b"", b"GET /health HTTP/1.1\r\nHost: ", b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na"]
)
def test_who_never_finishes_is_not_waited_for(sent: bytes):
    with serving(segmenter(), Limits(seconds=0.2)) as address, socket.create_connection(address, timeout=10) as slow:
        slow.sendall(sent)
        while slow.recv(1000):  # until the server closes it
            pass


def test_a_connection_is_used_again(address: Address):
    connection = http.client.HTTPConnection(*address)
    for _ in range(2):
        connection.request("GET", "/health")
        assert connection.getresponse().read()


def test_of_a_batch_that_fails_only_those_fail_that_have_to():
    served = segmenter()
    predict = served.predict

    def failing(images: Any) -> Any:
        if any(image.pixels.shape[0] == 20 for image in images):
            raise InferenceError("20 rows are too few for the device's memory.")
        if any(image.pixels.shape[0] == 1 for image in images):
            raise RuntimeError("a bug")
        return predict(images)

    served.predict = failing  # type: ignore[method-assign]
    held = Held(served)
    with serving(served) as address, ThreadPoolExecutor(8) as pool:
        first = pool.submit(address.predict, IMAGES["a PNG"])
        held.entered.acquire()
        others = [pool.submit(address.predict, IMAGES[name]) for name in ("of another size", "one pixel", "grey")]
        until(lambda: under_way(address) == 4)
        held.free.set()
        replies = [one.result() for one in (first, *others)]
    assert [reply.status for reply in replies] == [200, 422, 500, 200]
    assert "20 rows are too few" in json.loads(replies[1].body)["error"]
    assert "The server failed" in json.loads(replies[2].body)["error"]


def test_bad_settings_are_one_sentence():
    with pytest.raises(ServeError, match="--queue is 0: give a number above 0"):
        Limits(queue=0)
    for seconds in (math.inf, math.nan):
        with pytest.raises(ServeError, match=f"--seconds is {seconds}: give a number above 0 and below infinity"):
            Limits(seconds=seconds)
    for host in ("127.0.0..1", "a" * 64):
        with pytest.raises(ServeError, match=f"--host is '{host}', which is no address"):
            listen(host, 0)
    several = Dataset("cases", ("a", "b"), ((0, 0, 0), (1, 1, 1)), lambda split: [], bands=Bands(channels=("_0", "_1")))
    with pytest.raises(ServeError, match="2 files each, one for each channel"):
        Served("cases", Segmentation(several), Levels(2), {})
