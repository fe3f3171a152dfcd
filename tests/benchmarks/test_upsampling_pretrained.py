import sys
from functools import partial

import jax
import numpy as np
import pytest

from benchmarks.upsampling import __main__, cells, costs, pretrained, run, workers
from benchmarks.upsampling.cells import CONTROL, TOLERANCE, UPSAMPLERS, published
from benchmarks.upsampling.results import Results
from segjax import encoders

FAMILIES = pretrained.families("vgg16", "mobilenetv2")
NAMES = list(UPSAMPLERS)
BY_TURNS = [(family, NAMES[3 * i % len(NAMES)]) for i, family in enumerate(FAMILIES)]
ANYWAY = [("fpn_vgg16", "max_unpool"), ("segformer_vgg16", "max_unpool"), ("unet_mobilenetv2", "fade")]


@pytest.mark.parametrize(("family", "upsampler"), [*BY_TURNS, *ANYWAY])
def test_every_upsampler_is_in_every_family_but_where_it_cannot_be(family, upsampler):
    cell = published("data", family, upsampler, 4)
    init = partial(cells.network(cell, 5).init_with_output, train=False)
    image = jax.ShapeDtypeStruct((1, 65, 97, 3), np.float32)
    if not pretrained.fits(family, upsampler):
        with pytest.raises(ValueError, match=r"MaxUnpool by [48] cannot undo"):
            jax.eval_shape(init, jax.random.key(0), image)
        return
    logits, variables = jax.eval_shape(init, jax.random.key(0), image)
    assert logits.shape == (1, 65, 97, 5)
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in variables["params"].items()}
    total = sum(counts.values())
    assert cells.parameters(cell, 5) == (total, total - counts["encoder"])


@pytest.mark.parametrize(
    ("family", "upsampler"),
    [
        ("unet_mobilenetv2", "max_unpool"),
        ("segformer_vgg16", "conv_transpose_3x3"),
        ("deeplabv3plus_vgg16", "sapa"),
    ],
)
def test_decoders_have_the_parameters_of_the_control(family, upsampler):
    goal = cells.parameters(published("data", family, CONTROL, 16), 7)[1]
    cell = cells.matched(published("data", family, upsampler, 16), 7)
    assert abs(cells.parameters(cell, 7)[1] / goal - 1) <= TOLERANCE


def test_only_matched_decoders_are_run_and_none_that_cannot_be():
    places = cells.grid("data", 4, 16, ["segformer_vgg16"], ["max_unpool", "sapa"])
    assert {place.size for place in places} == {"matched"}
    assert {place.upsampler for place in places} == {CONTROL, cells.TWIN, "sapa"}


def test_what_encoders_keep_for_decoders():
    def of(family, name):
        return costs.kept_bytes(published("data", family, name, 4), (32, 32, 3))

    strided = 16 * 16 * 16 + 8 * 8 * 24 + 4 * 4 * 32 + 2 * 2 * 96
    assert of("unet_mobilenetv2", "bilinear") == of("unet_mobilenetv2", "max_unpool") == (4 * strided, 0)
    assert of("deeplabv3plus_mobilenetv2", "bilinear") == (4 * 8 * 8 * 24, 0)
    pooled = 16 * 16 * 128 + 8 * 8 * 256 + 4 * 4 * 512 + 2 * 2 * 512
    assert of("fcn_vgg16", "max_unpool") == (pooled // 16, pooled // 16)


@pytest.fixture
def here(monkeypatch):
    """What workers do is done in this process, and a VGG16 has a convolution a stage: it is what takes so long."""
    monkeypatch.setattr(run, "work", lambda function, jobs, *_: workers._here(function, jobs))
    monkeypatch.setattr(__main__.signal, "signal", lambda *_: None)
    monkeypatch.setitem(encoders.BY_NAME, "thin", partial(encoders.VGG, (1, 1, 1, 1, 1)))
    monkeypatch.setitem(pretrained.ENCODERS, "vgg16", pretrained.ENCODERS["vgg16"]._replace(name="thin"))


@pytest.mark.usefixtures("here")
def test_pretrained_trains_times_and_reports(pictures, tmp_path, monkeypatch, capsys):
    options = ["--families", "segformer_vgg16", "--upsamplers", CONTROL, "--start", "random", "--crop", "32"]
    numbers = ["--width", "2", "--steps", "1", "--batch-size", "2", "--seeds", "1", "--sides", "32", "--rounds", "1"]
    command = ["--pretrained", "--reduced", "--data", str(pictures), *options, *numbers, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["upsampling", *command, "--workers", "1"])
    assert __main__.main() == 0
    assert "squares, SegFormer on VGG16, bilinear, decoder (8, 8): mIoU 0." in capsys.readouterr().out
    rows = Results(tmp_path).rows("results.jsonl").values()
    assert [row["start"] for row in rows] == ["random"] * 2
    (cost, _) = Results(tmp_path).rows("costs.jsonl").values()
    assert cost["large"]["32"].keys() == {"ms", "bytes"}
    text = (tmp_path / "report.md").read_text()
    assert "### SegFormer on VGG16, with matched decoder parameters" in text
    assert "ms at 32" in text
