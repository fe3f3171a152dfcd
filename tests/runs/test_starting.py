import hashlib
import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import forge
import jax
import numpy as np
import pytest

import segjax
from segjax import weights
from segjax.cli import main
from segjax.errors import DataError, ExperimentError
from segjax.layers import Conv, Normalized, Standardized, batch_norm
from segjax.runs import experiment_of, new_run, read_experiment, start_from
from segjax.train import Interrupted, Recipe, Run, interruption, train
from segjax.train.checkpoints import read_variables
from segjax.weights import safetensors_file
from segjax.weights.record import Record, Url

TEXT = '''
import numpy as np
from flax import linen as nn

from segjax import losses
from segjax.data import Dataset, Statistics
from segjax.layers import Conv, batch_norm
from segjax.runs import start_from
from segjax.train import Experiment, Recipe, normalized


class Noise:
    def __init__(self, size, seed):
        rng = np.random.default_rng(seed)
        self.records = [
            {"image": rng.integers(0, 256, (8, 8, 3), np.uint8), "mask": rng.integers(0, 2, (8, 8)).astype(np.uint8)}
            for _ in range(size)
        ]

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class Small(nn.Module):
    parts = (("conv1", "bn1"),)

    @nn.compact
    def __call__(self, image, *, train):
        x = Conv(4, 3, 1, use_bias=False, name="conv1")(image)
        return nn.relu(batch_norm(use_running_average=not train, name="bn1")(x))


class Whole(nn.Module):
    classes: int
    encoder: nn.Module

    @nn.compact
    def __call__(self, image, *, train):
        x = nn.Conv(3, (1, 1), name="decoder")(self.encoder(image, train=train))
        return nn.Conv(self.classes, (1, 1), name="head")(x)


def experiment(
    encoder: str = "small", classes: int = 2, recipe: Recipe = Recipe(steps=4, batch_size=4, evaluate_every=2)
) -> Experiment:
    """Noise."""
    data = Dataset(
        name="noise",
        class_names=tuple(map(str, range(classes))),
        palette=tuple((40 * i,) * 3 for i in range(classes)),
        open=lambda split: Noise(8, len(split)),
        statistics=Statistics((0.25,) * 3, (0.5,) * 3, 0.5),
    )
    start = start_from(recipe.start, encoder)
    model = normalized(Whole(classes, Small()), data, start)
    return recipe.experiment(model, data, losses.cross_entropy, start=start)
'''
RNG = np.random.default_rng(3)
STATE = {
    "conv1.weight": RNG.random((4, 3, 3, 3), np.float32),
    **{f"bn1.{name}": RNG.random(4, np.float32) for name in ("weight", "bias", "running_mean", "running_var")},
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment file whose encoder small has weights of a name."""
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    safetensors_file.write(tmp_path / "small.safetensors", STATE)
    sha256 = hashlib.sha256((tmp_path / "small.safetensors").read_bytes()).hexdigest()
    url = Url((tmp_path / "small.safetensors").as_uri())
    record = Record("small.imagenet", "small", url, sha256, "none", "none", 1, 8, 7)
    monkeypatch.setitem(weights.RECORDS, "small.imagenet", record)
    path = tmp_path / "noise.py"
    path.write_text(TEXT)
    return path


def begun(path: Path, file: Path, *knobs: str) -> Run:
    found = read_experiment(file)
    return new_run(path, found, found.knobs(knobs))


def bits(run: Run) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(segjax.load(run.path)[1])]


@pytest.mark.parametrize("name", ["imagenet", "small.imagenet"])
def test_a_folder_that_is_called_as_weights_are_is_not_taken_for_them(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    begun(tmp_path / "run", file, "--start", name)
    with pytest.raises(ExperimentError, match="not a run folder"):
        begun(tmp_path / "other", file, "--start", f"./{name}")


def test_a_run_starts_from_weights_once_and_goes_on_bit_for_bit_without_them(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    straight, stopped = (begun(tmp_path / name, file, "--start", "imagenet") for name in ("straight", "stopped"))
    train(experiment_of(straight), straight)
    said = re.findall("Starting from.*", capfd.readouterr().err)
    assert said == ["Starting from small.imagenet: 5 arrays of 124 numbers are taken; new: model/decoder, model/head."]
    asked = interruption.StopRequest.agreed
    calls = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(interruption.StopRequest, "agreed", lambda self: next(calls) >= 3 or asked(self))
        with pytest.raises(Interrupted):
            train(experiment_of(stopped), stopped)
    assert "Starting from" in capfd.readouterr().err
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "small.safetensors").unlink()
    train(experiment_of(stopped), stopped)
    assert "Starting from" not in capfd.readouterr().err
    assert bits(stopped) == bits(straight)
    assert stopped.metrics() == straight.metrics()
    model, _ = segjax.load(straight.path)
    assert isinstance(model, Normalized)
    assert (model.mean, model.std, model.gamma) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0)


def test_what_it_starts_from_is_what_the_file_has(file: Path, tmp_path: Path):
    for start in ("imagenet", str(tmp_path / "small.safetensors")):
        experiment = segjax.experiment(file, recipe=recipe(start=start))
        variables = initial(experiment)
        assert experiment.start is not None
        begins: Any = experiment.start(variables)
        inside = begins["params"]["model"]["encoder"]
        np.testing.assert_array_equal(inside["conv1"]["kernel"], STATE["conv1.weight"].transpose(2, 3, 1, 0))
        assert begins["params"]["model"]["head"] is variables["params"]["model"]["head"]
    assert experiment.model.mean == (0.25,) * 3  # type: ignore[attr-defined]  (a file does not say)


def recipe(**knobs: Any) -> Any:
    return Recipe(steps=4, batch_size=4, evaluate_every=2, **knobs)


def initial(experiment: Any) -> Any:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    return jax.jit(lambda key: experiment.model.init(key, image, train=False))(jax.random.key(0))


def test_another_run_hands_on_all_but_a_changed_head_and_its_normalisation(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    first = begun(tmp_path / "first", file, "--start", "imagenet")
    train(experiment_of(first), first)
    model, trained = segjax.load(first.path)
    for place in (first.path, first.checkpoints / "4"):
        second = begun(tmp_path / f"second_{place.name}", file, "--start", str(place), "--classes", "3")
        experiment = experiment_of(second)
        capfd.readouterr()
        begins: Any = experiment.start(initial(experiment))  # type: ignore[misc]
        assert capfd.readouterr().err == (
            f"Starting from {place}: 7 arrays of 139 numbers are taken; new: model/head.\n"
        )
        for kind in ("params", "batch_stats"):
            for part in trained[kind]["model"].keys() - {"head"}:
                jax.tree.map(np.testing.assert_array_equal, begins[kind]["model"][part], trained[kind]["model"][part])
        assert begins["params"]["model"]["head"]["kernel"].shape[-1] == 3
        assert experiment.model.mean == model.mean == (0.485, 0.456, 0.406)  # type: ignore[attr-defined]
    shutil.rmtree(first.path)
    assert experiment_of(second).model.mean == model.mean  # type: ignore[attr-defined]  (it remembers)


class Kernel(nn.Module):
    """As the file's Small."""

    @nn.compact
    def __call__(self, image: Any, *, train: bool) -> Any:
        x = Conv(4, 3, 1, use_bias=False, name="conv1")(image)
        return batch_norm(use_running_average=not train, name="bn1")(x)


class Headed(nn.Module):
    encoder: nn.Module

    @nn.compact
    def __call__(self, image: Any, *, train: bool) -> Any:
        return nn.Conv(2, (1, 1), name="head")(self.encoder(image, train=train))


@pytest.mark.parametrize("channels", [1, 3, 13])
def test_a_first_kernel_for_other_channels_is_said(file: Path, channels: int, capfd: pytest.CaptureFixture[str]):
    start, model = start_from("imagenet", "small"), Headed(Kernel())
    assert start is not None
    image = jax.ShapeDtypeStruct((1, 8, 8, channels), np.float32)
    shapes: Any = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    start.take(model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))
    brought = "" if channels == 3 else f", the first kernel's 3 channels for {channels}"
    assert f"numbers are taken{brought}; new: head.\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        (["--start", "half.pth"], "half.pth is a zip archive that ends early or is damaged: fetch it again."),
        (["--start", "code.pth"], "code.pth asks for posix.system, which no state dict needs, and nothing of it was"),
        (["--start", "gone.pth"], "gone.pth is no file and no weights of a name"),
        (["--start", "deeper.safetensors"], "These weights are not of this model: 1 left over (conv2.weight)"),
        (["--freeze", "layer9"], "layer9 is no part of Small"),
        (["--freeze", "9"], "freeze is 9; Small has 1 stages, in order conv1+bn1."),
    ],
)
def test_the_command_says_in_one_sentence_what_is_wrong_and_leaves_nothing_behind(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    knobs: list[str], sentence: str,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    forge.archive(tmp_path / "code.pth", forge.pickle(forge.called("posix", "system", forge.text("touch run"))))
    (tmp_path / "half.pth").write_bytes((tmp_path / "code.pth").read_bytes()[:-40])
    safetensors_file.write(tmp_path / "deeper.safetensors", STATE | {"conv2.weight": np.zeros((4, 4, 3, 3), "f4")})
    assert main(["train", str(file), *knobs, "--out", "run"]) == 1
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("segjax: "))
    assert sentence in said
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("knobs", "error", "sentence"),
    [
        (["--start", "imagenet", "--encoder", "smal"], DataError, r"no weights of smal: .* such as small or "),
        (["--start", "small.imagent"], DataError, r"is no file and no weights of a name: .* such as small\.i"),
        (["--start", "imagnet"], DataError, "is no file and no weights of a name: .* such as imagenet or "),
        (["--start", "."], ExperimentError, "not a run folder"),
        (["--start", "{file}"], DataError, "is no file of weights that segjax knows"),
        (["--start", "imagenet", "--encoder_rate", "-1"], ExperimentError, "encoder_rate is -1.0; it is a factor"),
    ],
)
def test_a_start_that_cannot_be_is_said_before_a_run_is_made(
    file: Path, tmp_path: Path, knobs: list[str], error: type[Exception], sentence: str
):
    with pytest.raises(error, match=sentence):
        begun(tmp_path / "run", file, *(knob.format(file=file) for knob in knobs))
    assert not (tmp_path / "run").exists()


def test_a_wrong_checksum_or_a_file_that_is_gone_is_said_before_a_run_is_made(file: Path, tmp_path: Path):
    (tmp_path / "small.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match="so it is not used: run again, or lay it by hand"):
        begun(tmp_path / "run", file, "--start", "imagenet")
    (tmp_path / "small.safetensors").unlink()
    with pytest.raises(DataError, match=r"could not be fetched \(.*\): check the network and run again"):
        begun(tmp_path / "run", file, "--start", "imagenet")
    assert not (tmp_path / "run").exists()


def test_weights_of_an_encoder_made_in_python_are_named(file: Path):
    with pytest.raises(ExperimentError, match="give one, such as --encoder mobilenet_v2, or say which weights"):
        segjax.runs.start_from("imagenet", None)


def test_an_experiment_that_looks_at_no_start_refuses_one(file: Path):
    file.write_text(TEXT.replace(", start=start)", ")"))
    with pytest.raises(ExperimentError, match="begins with random numbers alone: leave --start out"):
        segjax.experiment(file, recipe=recipe(start="imagenet"))


def test_runs_without_a_start_remember_nothing_of_one(file: Path, tmp_path: Path):
    run = begun(tmp_path / "run", file)
    assert json.loads((run.path / "run.json").read_text())["facts"] == {}
    assert experiment_of(run).start is None


def test_a_frozen_encoder_stays_as_it_started(file: Path, tmp_path: Path):
    run = begun(
        tmp_path / "run", file, "--start", "imagenet", "--freeze", "all", "--weight-decay", "0.1", "--decayed", "all"
    )
    train(experiment_of(run), run)
    _, variables = segjax.load(run.path)
    params, statistics = (variables[kind]["model"]["encoder"] for kind in ("params", "batch_stats"))
    np.testing.assert_array_equal(params["conv1"]["kernel"], STATE["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(params["bn1"]["scale"], STATE["bn1.weight"])
    np.testing.assert_array_equal(statistics["bn1"]["mean"], STATE["bn1.running_mean"])


def test_what_is_frozen_is_trained_later_and_a_run_goes_on_over_that_bit_for_bit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    knobs = ("--start", "imagenet", "--freeze", "all", "--unfreeze-at", "2", "--weight-decay", "0.1")
    straight, before, after = (begun(tmp_path / name, file, *knobs) for name in ("straight", "before", "after"))
    train(experiment_of(straight), straight)
    model = experiment_of(straight).model
    for step, stays in ((2, True), (4, False)):
        variables, _ = read_variables(straight.checkpoints, model, step)
        inside = [variables[kind]["model"]["encoder"] for kind in ("params", "batch_stats")]
        assert np.array_equal(inside[0]["conv1"]["kernel"], STATE["conv1.weight"].transpose(2, 3, 1, 0)) == stays
        assert np.array_equal(inside[1]["bn1"]["mean"], STATE["bn1.running_mean"]) == stays
    asked = interruption.StopRequest.agreed
    for run, steps in ((before, 1), (after, 3)):
        calls = iter(range(100))
        with monkeypatch.context() as patch:
            patch.setattr(
                interruption.StopRequest, "agreed", lambda self, c=calls, n=steps: next(c) >= n or asked(self)
            )
            with pytest.raises(Interrupted):
                train(experiment_of(run), run)
        train(experiment_of(run), run)
        assert bits(run) == bits(straight)
        assert run.metrics() == straight.metrics()


def test_images_of_other_channels_are_normalised_by_their_own_statistics():
    from segjax.data import Dataset, Statistics
    from segjax.train import Start, normalized

    five = Statistics((0.1,) * 5, (0.2,) * 5)
    data = Dataset("five", ("a",), ((0, 0, 0),), lambda split: [], statistics=five)  # type: ignore[arg-type, return-value]
    model: Any = normalized(None, data, Start(lambda model, variables: variables, Statistics((0.5,) * 3, (0.5,) * 3)))  # type: ignore[arg-type]
    assert model.mean == five.mean
    standardized = normalized(None, data, Start(lambda model, variables: variables, "standardized"))  # type: ignore[arg-type]
    assert isinstance(standardized, Standardized)
