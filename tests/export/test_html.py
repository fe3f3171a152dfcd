"""A page in a browser: what it finds is what `segjax predict` finds."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from chromium import CHROMIUM, Tab, chromium
from PIL import Image
from serving import serving
from sklearn.datasets import load_sample_image

from segjax import decoders, encoders, models, upsampling
from segjax.data import Dataset
from segjax.export import ExportError, export_page
from segjax.inference import predict, predict_boxes
from segjax.layers import ConvBlock, Normalized
from segjax.models.saved import shapes
from segjax.serve import Served
from segjax.tasks import Detection, Segmentation, SigmoidSegmentation, Task

NAMES, PALETTE = ("ground", "tree", "sky"), ((30, 30, 30), (0, 160, 60), (80, 140, 250))
PHOTO = np.ascontiguousarray(load_sample_image("china.jpg")[100:190, 200:348])  # 90x148, which is filled up to 96x160
SIZE = (96, 160)
DRAWN = "Array.from(document.getElementById('mask').getContext('2d').getImageData(0, 0, 148, 90).data)"
CAMERA = "document.getElementById('camera')"
THRESHOLDS = (0.3, 0.5, 0.6)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    pytest.importorskip("onnxruntime")
    with chromium(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "a photo.png"
    Image.fromarray(PHOTO).save(file)
    return file


def with_variables(net: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    model, rng = Normalized(net, (0.5,) * 3, (0.3,) * 3), np.random.default_rng(3)

    def some(like: Any) -> np.ndarray:
        values = rng.standard_normal(like.shape).astype(like.dtype) * 0.3
        return np.abs(values) + 0.5 if like.ndim == 1 else values  # a variance is above 0

    return model, jax.tree.map(some, shapes(model, 3))


@functools.cache
def segmenter() -> tuple[nn.Module, dict[str, Any]]:
    return with_variables(models.unet(3, 4, depth=1, convs=1, upsample=upsampling.Bilinear, block=ConvBlock))


class Conv(nn.Module):
    """One, which is quick to trace."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        return nn.Conv(3, (3, 3))(image)


@functools.cache
def labeller() -> tuple[nn.Module, dict[str, Any]]:
    return with_variables(Conv())


@functools.cache
def detector() -> tuple[nn.Module, dict[str, Any]]:
    encoder = encoders.ConvEncoder(((4,), (8,)), ConvBlock)
    decoder = decoders.UNetDecoder(upsample=upsampling.Bilinear, block=ConvBlock, finest_stride=2)
    return with_variables(models.CenterNet(3, encoder, decoder, hidden=4))


def write(folder: Path, task: Task, of: Any, **how: Any) -> None:
    model, variables = of()
    shown = {"name": "three", "score": 0.3, **task.predictions.tells.described()}
    export_page(model, variables, folder, [PHOTO], size=SIZE, shown=shown, **how)


@contextmanager
def given_out(folder: Path) -> Iterator[str]:
    """The address of a folder that a server of files, and nothing more, gives out."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def same(found: Any, expected: np.ndarray, margin: np.ndarray) -> bool:
    """Whether a mask is another's but where two classes are as probable as floating point can tell."""
    other = np.array(found).reshape(expected.shape) != expected
    return other.mean() < 1e-3 and bool((margin[other] < 1e-4).all())


def test_pixels_in_the_browser_are_those_that_are_predicted(tab: Tab, photo: Path, tmp_path: Path):
    task = Segmentation(Dataset("three", NAMES, PALETTE, lambda split: []))
    write(tmp_path / "page", task, segmenter)
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "index.html", "model.onnx", "ort.wasm.min.js", "ort-wasm-simd-threaded.js", "ort-wasm-simd-threaded.wasm",
    }  # fmt: skip
    tab.tell("Page.navigate", url=(tmp_path / "page" / "index.html").as_uri())
    status = "document.getElementById('status')?.textContent ?? ''"
    assert any("Browsers run no model from a file" in tab.run(status) for _ in range(1000))
    shares = predict(*segmenter(), PHOTO)
    first, second = np.sort(shares)[..., :-3:-1].transpose(2, 0, 1)
    with given_out(tmp_path / "page") as address:
        tab.open(address)
        assert tab.run("document.getElementById('stage').hidden")
        found = tab.choose(photo)
        assert len(np.unique(found["masks"][0])) == 3
        assert same(found["masks"][0], shares.argmax(-1), first - second)
        assert (found["width"], found["height"], found["size"]) == (148, 90, [148, 90])
        largest = NAMES[np.bincount(shares.argmax(-1).ravel()).argmax()]
        assert f"{largest} " in tab.run("document.getElementById('image').ariaLabel")
        drawn = np.array(
            tab.run("Array.from(document.getElementById('mask').getContext('2d').getImageData(0, 0, 148, 90).data)")
        )
        np.testing.assert_array_equal(drawn.reshape(-1, 4)[:, :3], np.array(PALETTE)[found["masks"][0]])
        tab.run("document.querySelector('#legend button').click()")  # hides the first class
        np.testing.assert_array_equal(np.array(tab.run(DRAWN)[3::4]) > 0, np.array(found["masks"][0]) > 0)
        Image.fromarray(PHOTO).resize((296, 180)).save(tmp_path / "large.png")
        assert tab.choose(tmp_path / "large.png")["size"] == [158, 96]
        opacity = np.arange(PHOTO[..., :1].size, dtype=np.uint8).reshape(PHOTO[..., :1].shape)
        Image.fromarray(np.concatenate([PHOTO, opacity], -1)).save(tmp_path / "transparent.png")
        assert tab.choose(tmp_path / "transparent.png")["masks"] == found["masks"]
        (tmp_path / "no.txt").write_text("no image")
        with pytest.raises(AssertionError, match=r"no\.txt is no image that this browser reads"):
            tab.choose(tmp_path / "no.txt")
        seen = "new Promise((done) => document.addEventListener('found', () => done(true), {once: true}))"
        assert tab.run(f"document.getElementById('camera').click(); {seen}")
        assert (
            tab.run("document.getElementById('camera').click(); document.getElementById('camera').ariaPressed")
            == "false"
        )


def test_labels_that_overlap_are_those_that_are_predicted(tab: Tab, photo: Path, tmp_path: Path):
    data = Dataset("three", NAMES, PALETTE, lambda split: [], multilabel=True)
    write(tmp_path, SigmoidSegmentation(data, THRESHOLDS), labeller, thresholds=THRESHOLDS)
    beyond = predict(*labeller(), PHOTO, activation="sigmoid") - np.array(THRESHOLDS)
    with given_out(tmp_path) as address:
        tab.open(address)
        found = tab.choose(photo)
    assert len(found["masks"]) == 3
    for k in range(3):
        assert same(found["masks"][k], beyond[..., k] >= 0, np.abs(beyond[..., k]))


def test_boxes_in_the_browser_are_those_that_are_predicted(tab: Tab, photo: Path, tmp_path: Path):
    task = Detection(Dataset("three", NAMES, PALETTE, lambda split: []))
    write(tmp_path, task, detector, max_boxes=5)
    expected = predict_boxes(*detector(), PHOTO, max_boxes=5)
    with given_out(tmp_path) as address:
        tab.open(address)
        found = tab.choose(photo)["boxes"]
        shown = tab.run("document.querySelectorAll('#boxes rect').length")
    assert len(found) == len(expected.boxes) > 0
    np.testing.assert_allclose([one["box"] for one in found], expected.boxes, atol=1e-3)
    np.testing.assert_allclose([one["score"] for one in found], expected.scores, atol=1e-5)
    assert [one["label"] for one in found] == expected.labels.tolist()
    assert shown == (expected.scores >= 0.3).sum()


def test_the_page_of_a_server_shows_what_it_answers(tab: Tab, photo: Path):
    task = Segmentation(Dataset("three", NAMES, PALETTE, lambda split: []))
    with serving(Served("three", task, *labeller())) as address:
        tab.open(f"http://{address.host}:{address.port}/")
        found = tab.choose(photo)
    expected = predict(*labeller(), PHOTO).argmax(-1)
    np.testing.assert_array_equal(np.reshape(found["masks"][0], expected.shape), expected)


def test_what_no_browser_shows_is_one_sentence(tmp_path: Path):
    deep = Normalized(segmenter()[0].model, (0.5,) * 3, (0.3,) * 3, stored="uint16")  # type: ignore[attr-defined]
    with pytest.raises(ExportError, match="A browser shows three channels of uint8, and the model takes 3 of uint16"):
        export_page(deep, segmenter()[1], tmp_path, [PHOTO], size=SIZE, shown={})
