import json

import pytest

from segjax.cli import main
from segjax.models import Segmenter, summary


def test_all_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for line in ("unet                          31,031,810", "manet ", "resnet50 ", "on resnet34"):
        assert line in said
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary.listed()


def test_one_combination_says_its_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def size_of(model: Segmenter, size: int) -> summary.Size:
        assert (type(model.encoder).__name__, type(model.decoder).__name__, size) == ("ResNet", "UNetDecoder", 64)
        return {"parameters": 14_321_234, "flops": 5_432_100, "peak_memory": 3 * 2**20}

    monkeypatch.setattr(summary, "size_of", size_of)
    one = ["models", "--decoder", "unet", "--encoder", "resnet18", "--upsampler", "nearest", "--size", "64"]
    assert main(one) == 0
    said = capsys.readouterr().out
    assert "unet on resnet18, one image of 64x64" in said
    assert "peak memory  3 MiB" in said
    assert main([*one, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["upsampler"], row["size"], row["peak_memory"]) == ("nearest", 64, 3 * 2**20)
    assert f"{row['parameters']:,}" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--decoder", "unet"], "name both for one combination: --decoder unet --encoder resnet34"),
        (["--size", "64"], "name both for one combination"),
        (
            ["--decoder", "unet", "--encoder", "resnet18", "--size", "90000"],
            "--size is 90000: what a larger image than",
        ),
        (["--decoder", "unets", "--encoder", "resnet18"], "unets is no decoder; name one, such as unet"),
        (["--decoder", "unet", "--encoder", "resnet"], "resnet is no encoder; name one, such as"),
        (["--decoder", "segnet", "--encoder", "mit_b0"], "MaxUnpool needs to know where a pooling below"),
    ],
)
def test_what_cannot_be_made_gets_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(["models", *arguments]) == 1
    assert sentence in capsys.readouterr().err
