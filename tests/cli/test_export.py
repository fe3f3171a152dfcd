import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from PIL import Image

import segjax
from segjax import layers, models
from segjax.cli import main


def test_a_run_is_exported_with_what_it_knows_of_its_classes(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("flatbuffers")
    run, out = tmp_path / "run", tmp_path / "model.stablehlo"
    assert main(["train", str(squares), "--out", str(run), "--steps", "2"]) == 0
    capsys.readouterr()
    command = ["export", str(run), "--format", "stablehlo", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "images (n 16 16 3) of uint8" in said
    assert "on 3 images: the largest difference" in said
    with zipfile.ZipFile(out) as archive:  # with what anyone has
        found = json.loads(archive.read("metadata.json"))
    assert (found["class_names"], found["palette"]) == (["ground", "square"], [[40, 40, 40], [240, 180, 60]])
    assert found["trained_on"] == "squares"
    assert main([*command, "--int8"]) == 1
    assert "stablehlo has no 8 bits here" in capsys.readouterr().err
    assert main([*command, "--images", str(tmp_path / "absent.png")]) == 1
    assert "absent.png" in capsys.readouterr().err


def test_a_page_is_of_one_size_in_float32_and_of_what_browsers_have(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    blue_first = squares.read_text().replace('name="squares"', 'name="squares", bands=Bands(chosen=(3, 2, 1))')
    squares.write_text(f"from segjax.data.formats.bands import Bands\n{blue_first}")
    assert main(["train", str(squares), "--out", str(run), "--steps", "2"]) == 0
    command = ["export", str(run), "--format", "html", "--out", str(tmp_path / "page")]
    assert main([*command, "--dynamic"]) == 1
    assert "A page shows its model images of one size" in capsys.readouterr().err
    assert main([*command, "--dtype", "float16"]) == 1
    assert "A page has its model in float32" in capsys.readouterr().err
    assert main(command) == 1
    assert "A browser has red, green and blue" in capsys.readouterr().err
    kept = run / "experiment.py"
    kept.write_text(kept.read_text().replace("chosen=(3, 2, 1)", 'channels=("_0000", "_0001", "_0002")'))
    assert main(command) == 1
    assert "A browser has one file of an image" in capsys.readouterr().err


def test_images_to_compare_on_are_read_as_those_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("onnxruntime")
    saved, photo = tmp_path / "saved", tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(photo)
    model = layers.Normalized(models.unet(2, 2, depth=1), mean=(0.5,), std=(0.2,))
    variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1), jnp.uint8), train=False)
    segjax.save_pretrained(saved, model, variables)
    command = ["export", str(saved), "--format", "onnx", "--out", str(tmp_path / "a.onnx"), "--size", "8", "8"]
    assert main([*command, "--images", str(photo)]) == 0
    assert "images (n 8 8 1) of uint8" in capsys.readouterr().out
