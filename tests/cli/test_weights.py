import json
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import pytest

from segjax import encoders, weights
from segjax.cli import main
from segjax.layers import Conv
from segjax.level import level_at
from segjax.weights import parity, safetensors_file
from segjax.weights.parity import Stage
from segjax.weights.record import Record, Url

TORCH_UNUSED = r"fc\."
KERNEL = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, (5, 6, 3)).astype(np.float64)


class Pointwise(nn.Module):
    @nn.compact
    def __call__(self, image, *, train):
        return (level_at(image, 1, Conv(4, 1, use_bias=False, name="conv")(image)),)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """Weights of an encoder that multiplies each pixel, with a reference of its map."""
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    path = tmp_path / "pointwise.safetensors"
    safetensors_file.write(path, {"conv.weight": KERNEL, "fc.weight": np.zeros((2, 4), np.float32)})
    url, mean, std = Url(path.as_uri()), (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    made = Record("pointwise.x", "pointwise", url, "", "mine; else", "none", 20, 8, 2, mean, std, 255.0)
    monkeypatch.setitem(weights.RECORDS, made.name, made)
    monkeypatch.setitem(encoders.BY_NAME, "pointwise", Pointwise)
    return made


def stage(of: np.ndarray) -> Stage:
    y = ((of - (100, 110, 120)) / (50, 60, 70)) @ KERNEL[:, :, 0, 0].T.astype(np.float64)
    return Stage(y.shape, y.mean(), y.std(), np.abs(y).max(), [(4, 5, 3, y[4, 5, 3]), (0, 2, 1, y[0, 2, 1])])


def known(monkeypatch: pytest.MonkeyPatch, of: np.ndarray) -> None:
    monkeypatch.setattr(parity, "references", lambda name: {"photo": [stage(of)]})
    monkeypatch.setattr(parity, "photo", lambda run, size: PIXELS)


def test_all_weights_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(weights.RECORDS)
    (row,) = (line for line in lines if line.startswith("mit_b0.imagenet "))
    assert "mit_b0 " in row
    assert "3,319,392   NVIDIA Source Code License for SegFormer; hub:smp-hub/mit_b0.imagenet@9ce53d10" in row
    assert main(["weights", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == weights.RECORDS.keys()
    assert rows["mobilenet_v2.imagenet"]["mean"] == [0.485, 0.456, 0.406]


def test_a_check_shows_parity(record: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    known(monkeypatch, PIXELS)
    assert main(["weights", "check", record.name]) == 0
    said = capsys.readouterr().out
    assert "arrays   2 with 20 parameters, of 20 recorded" in said
    assert "encoder  pointwise: its 1 arrays are all there" in said
    assert "parity   photo: 5x6x4 " in said


@pytest.mark.parametrize("wrong", [PIXELS[..., ::-1], PIXELS + 1], ids=["order", "mean"])
def test_a_check_fails_where_the_map_is_another(
    wrong: np.ndarray, record: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    known(monkeypatch, wrong)
    assert main(["weights", "check", record.name, "--json"]) == 1
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not found["right"]
    assert found["errors"]["photo"]["5x6x4"] > 1e-3


def test_a_check_says_what_it_could_not_compare(
    record: Record, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert main(["weights", "check", record.name]) == 0
    assert "No maps of PyTorch's are kept of these: names and shapes alone were compared." in capsys.readouterr().out
    monkeypatch.delitem(encoders.BY_NAME, "pointwise")
    assert main(["weights", "check", record.name]) == 0
    assert "segjax has no encoder pointwise: names and shapes were not compared." in capsys.readouterr().out
    monkeypatch.setitem(weights.RECORDS, record.name, Record(**{**vars(record), "parameters": 21}))
    assert main(["weights", "check", record.name]) == 1
    assert "pointwise.x is not what it should be" in capsys.readouterr().err
    assert main(["weights", "check", "pointwise.y"]) == 1
    assert "There are no weights named pointwise.y: name one that `segjax weights` lists, such as pointwise.x" in (
        capsys.readouterr().err
    )
