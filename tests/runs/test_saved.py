"""Saved models where a run is asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from PIL import Image

import segjax
from segjax import models
from segjax.cli import main
from segjax.data import Statistics
from segjax.data.formats.mask_files import read_mask
from segjax.data.padding import padded
from segjax.errors import DataError, ExperimentError
from segjax.layers import Normalized, Standardized
from segjax.models import saved
from segjax.runs import about_run, new_run, read_experiment, start_from
from segjax.runs.saved import evaluate_saved, is_saved, open_predictor, saved_model
from segjax.serve import Served
from segjax.tasks import Options, SigmoidSegmentation
from segjax.weights import safetensors_file


def filled(model: nn.Module, bands: int = 3) -> Any:
    """Variables without compiling their initialisation."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(x.dtype), saved.shapes(model, bands))


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, nn.Module, Any]:
    """A saved model of one logit, with a sigmoid after it."""
    model = Normalized(models.unet(1, 2, depth=1).clone(activation=nn.sigmoid), (0.3,) * 3, (0.3,) * 3)
    variables = filled(model)
    segjax.save_pretrained(tmp_path / "saved", model, variables)
    return tmp_path / "saved", model, variables


@pytest.mark.parametrize(("stored", "bands"), [("uint8", 3), ("uint8", 1), ("uint16", 3), ("float32", 5)])
def test_a_saved_model_says_which_files_it_takes(stored: Any, bands: int, tmp_path: Path):
    model = Normalized(models.unet(2, 2, depth=1), (0.3,) * bands, (0.3,) * bands, stored=stored)
    segjax.save_pretrained(tmp_path / "saved", model, filled(model, bands))
    task, predictor, variables, _ = open_predictor(str(tmp_path / "saved"))
    paths = [tmp_path / "images" / f"{name}.npy" for name in ("a", "other", "z")]
    paths[0].parent.mkdir()
    for path in paths:
        np.save(path, np.zeros((9, 8, bands), stored))
    np.save(paths[1], np.zeros((9, 8, bands), "uint8" if stored == "uint16" else "uint16"))
    found = task.predictions.write_files(predictor, variables, paths, tmp_path / "out", Options())
    assert [path.name for path in found.done] == ["a.png", "z.png"]
    assert "other.npy has" in found.failed[0]
    served = Served("saved", task, predictor, variables)
    assert served.predict([served.images.blank((9, 8))])[0].mask is not None


@pytest.mark.parametrize(
    ("said", "sees"),
    [("chosen=(3, 2, 1)", "bands 3 2 1"), ('channels=("_0000", "_0001", "_0002")', "3 files")],
)
def test_a_saved_model_sees_the_bands_of_its_run(said: str, sees: str, squares: Path, tmp_path: Path):
    text = squares.read_text().replace('name="squares"', f'name="squares", bands=Bands({said})')
    squares.write_text(f"from segjax.data.formats.bands import Bands\n{text}")
    about = about_run(new_run(tmp_path / "run", read_experiment(str(squares)), {}).path)
    model = Normalized(models.unet(2, 2, depth=1), (0.3,) * 3, (0.3,) * 3)
    segjax.save_pretrained(tmp_path / "saved", model, filled(model), about)
    opened = open_predictor(str(tmp_path / "saved"))
    bands = opened.task.predictions.tells.bands
    assert (opened.about.bands, opened.about.channel_files) == (about.bands, about.channel_files)
    assert bands is not None
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    if bands.channels:
        for number in range(3):
            Image.fromarray(image[..., 2 - number]).save(tmp_path / f"a_000{number}.png")
    else:
        Image.fromarray(image).save(tmp_path / "a_0000.png")
    np.testing.assert_array_equal(bands.read(tmp_path / "a_0000.png").pixels, image[..., ::-1])
    whatever = Standardized(models.unet(2, 2, depth=1))
    segjax.save_pretrained(tmp_path / "other", whatever, filled(whatever), about)
    with pytest.raises(ExperimentError, match=f"sees {sees} of images, and not in which numbers"):
        open_predictor(str(tmp_path / "other"))


def test_a_saved_model_predicts_and_is_scored_as_a_run_is(
    folder: Any, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path, model, variables = folder
    _, predictor, found, _ = open_predictor(str(path))
    file = read_experiment(str(squares))
    run = new_run(tmp_path / "run", file, {})
    source = file.build({}, {}).data.open("val")
    records = [source[i] for i in range(len(source))]
    images, masks = (np.stack([record[part] for record in records]) for part in ("image", "mask"))
    both = jax.jit(lambda: (model.apply(variables, images, train=False), predictor.apply(found, images, train=False)))
    share, logits = both()
    np.testing.assert_allclose(jax.nn.softmax(logits)[..., 1], share[..., 0], atol=1e-5)

    assert main(["evaluate", str(path), "--on", str(run.path), "--split", "val", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["val"]
    assert scores["iou"].keys() == {"ground", "square"}
    right = np.asarray(share)[..., 0] > 0.5
    assert scores["pixel_accuracy"] == pytest.approx((right == masks)[masks < 255].mean())
    about = about_run(run.path)
    assert (about.class_names, about.palette[1]) == (("ground", "square"), (240, 180, 60))
    assert main(["evaluate", str(path)]) == 1
    assert "evaluate FOLDER --on RUN" in capsys.readouterr().err
    assert main(["evaluate", str(path), "--on", str(run.path), "--checkpoint", "best"]) == 1
    assert "--checkpoint is for runs" in capsys.readouterr().err
    for command in (
        ["predict", str(path), "a.png", "--out", "o"],
        ["export", str(path), "--format", "onnx", "--out", "a.onnx", "--images", "a.png"],
    ):
        assert main([*command, "--checkpoint", "best"]) == 1
        assert "is a saved model, of one checkpoint: leave --checkpoint out" in capsys.readouterr().err


def test_classes_that_are_not_the_data_sets_are_said(folder: Any, squares: Path, tmp_path: Path):
    run = new_run(tmp_path / "run", read_experiment(str(squares)), {})
    model = models.unet(3, 2, depth=1)
    segjax.save_pretrained(tmp_path / "three", model, filled(model))
    with pytest.raises(ExperimentError, match="tells 3 classes apart"):
        evaluate_saved(str(tmp_path / "three"), run.path)
    localizer = models.FullResolutionCNN(2, (4,))
    segjax.save_pretrained(tmp_path / "other", localizer, filled(localizer))
    with pytest.raises(ExperimentError, match="holds a FullResolutionCNN, which gives no masks"):
        open_predictor(str(tmp_path / "other"))


def test_training_starts_from_a_saved_model(folder: Any, capsys: pytest.CaptureFixture[str]):
    path, _, variables = folder
    start = start_from(str(path), None)
    assert start is not None
    assert start.inputs is not None
    wider = Normalized(models.unet(4, 2, depth=1), (0.3,) * 3, (0.3,) * 3)
    fresh = jax.tree.map(np.zeros_like, filled(wider))
    taken = start.take(wider, fresh)
    np.testing.assert_array_equal(
        taken["params"]["model"]["encoder"]["stage1"]["conv1"]["kernel"],
        variables["params"]["model"]["encoder"]["stage1"]["conv1"]["kernel"],
    )
    assert not taken["params"]["model"]["head"]["kernel"].any()
    assert "new: model/head" in capsys.readouterr().err


def test_a_start_knows_in_which_numbers_its_images_were_stored(tmp_path: Path):
    model = Normalized(models.unet(1, 2, depth=1), (0.3,) * 3, (0.3,) * 3, stored="uint16")
    segjax.save_pretrained(tmp_path, model, filled(model))
    start = start_from(str(tmp_path), None)
    assert start is not None
    assert start.inputs == Statistics((0.3,) * 3, (0.3,) * 3, depth="uint16")


def test_what_a_repository_holds_decides_how_it_is_started_from(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    laid = tmp_path / "data" / "hub" / "me" / "both" / "main"
    shutil.copytree(folder[0], laid)
    start = start_from("hub:me/both", "small")
    assert start is not None
    assert start.inputs == Statistics((0.3,) * 3, (0.3,) * 3)
    taken = start.take(folder[1], jax.tree.map(np.zeros_like, folder[2]))
    jax.tree.map(np.testing.assert_array_equal, taken, folder[2])
    (laid / "config.json").write_text(json.dumps({"architecture": "small"}))
    weights = start_from("hub:me/both", "small")  # an encoder's alone
    assert weights is not None
    assert weights.inputs is None


def test_files_of_torchvisions_networks_are_saved_models(tmp_path: Path):
    safetensors_file.write(tmp_path / "fcn", {f"backbone.layer3.{i}.x": np.zeros(1, np.float32) for i in range(6)}, {})
    safetensors_file.write(tmp_path / "resnet", {"layer3.5.x": np.zeros(1, np.float32)}, {})
    assert is_saved(str(tmp_path / "fcn"))
    with pytest.raises(DataError, match="and no classifier: fetch it whole"):  # it is opened
        saved_model(str(tmp_path / "fcn"))
    assert saved_model(str(tmp_path / "resnet")) is None


def test_a_run_is_no_saved_model(squares: Path, tmp_path: Path):
    run = new_run(tmp_path / "run", read_experiment(str(squares)), {})
    (run.path / "config.json").touch()
    assert not is_saved(str(run.path))
    assert is_saved("hub:owner/name@main")
    assert is_saved("selfie")
    assert not is_saved(str(tmp_path))
    with pytest.raises(ExperimentError, match="holds no complete checkpoint yet"):
        segjax.from_pretrained(run.path)


def test_labels_that_overlap_stay_so_with_their_thresholds(squares: Path, tmp_path: Path):
    text = squares.read_text().replace(
        "palette=((40, 40, 40), (240, 180, 60)),", "palette=((40, 40, 40), (240, 180, 60)), multilabel=True,"
    )
    text = text.replace("loss=losses.cross_entropy", "loss=losses.binary_cross_entropy, task=SigmoidSegmentation")
    text = text.replace('"mask": mask}', '"mask": np.stack([mask, mask], -1)}')
    squares.write_text(
        text.replace("from segjax.train", "from segjax.tasks import SigmoidSegmentation\nfrom segjax.train")
    )
    run = new_run(tmp_path / "run", read_experiment(str(squares)), {})
    assert about_run(run.path).thresholds == (0.5, 0.5)
    report = {"test": {"threshold": {"ground": 0.25, "square": 0.75}}, "checkpoint": "last", "steps": 1}
    run.write_json("report.json", report)
    about = about_run(run.path)
    assert about.thresholds == (0.25, 0.75)
    model = Normalized(models.unet(2, 2, depth=1).clone(activation=nn.sigmoid), (0.3,) * 3, (0.3,) * 3)
    variables = filled(model)
    segjax.save_pretrained(tmp_path / "saved", model, variables, about)
    task, plain, found, _ = open_predictor(str(tmp_path / "saved"))
    assert isinstance(task, SigmoidSegmentation)
    assert task.thresholds == (0.25, 0.75)
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    task.predictions.write_files(plain, found, [tmp_path / "a.png"], tmp_path / "out", Options())
    shares = jax.jit(lambda: model.apply(variables, padded(image)[None], train=False))()[0, :24, :32]
    for label, threshold in enumerate(about.thresholds):
        mask = read_mask(tmp_path / "out" / f"a_mask_{label}_{about.class_names[label]}.png")
        assert (mask != (np.asarray(shares)[..., label] >= threshold)).mean() < 0.01
    scores = evaluate_saved(str(tmp_path / "saved"), run.path, "val")["val"]
    assert scores["threshold"] == {"ground": 0.25, "square": 0.75}
    segjax.save_pretrained(tmp_path / "classes", model, variables)
    with pytest.raises(ExperimentError, match=r"tells classes apart, and the labels of the data set of .* may overlap"):
        evaluate_saved(str(tmp_path / "classes"), run.path)
