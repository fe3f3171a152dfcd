"""What is public shows how it is used, and that is what happens."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from segjax import (
    data,
    decoders,
    drawing,
    encoders,
    export,
    inference,
    layers,
    level,
    losses,
    metrics,
    models,
    ops,
    runs,
    tasks,
    train,
    upsampling,
    weights,
)

ROOMS = {
    "ops": ops,
    "losses": losses,
    "metrics": metrics,
    "layers": layers,
    "upsampling": upsampling,
    "encoders": encoders,
    "decoders": decoders,
    "models": models,
    "weights": weights,
    "drawing": drawing,
    "data": data,
    "inference": inference,
    "export": export,
    "tasks": tasks,
    "train": train,
    "runs": runs,
}
NAMES = {"jax": jax, "jnp": jnp, "np": np, "nn": nn, "level": level, **ROOMS}
ELSEWHERE = {
    "data": {
        "BoxDefaults", "FolderDefaults", "LabelledDefaults", "box_defaults", "camvid", "check", "coco", "faces",
        "folder", "folder_defaults", "islands", "labelled", "labelled_defaults", "land_cover", "nuclei",
        "oxford_iiit_pet", "tfds_boxes", "tfds_dataset", "trees", "voc", "wider_face",
    },
    "drawing": {"draw_box_grid", "draw_mask_grid", "notes"},
    "export": {"Exported", "export_model", "export_page", "read_metadata"},
    "inference": {
        "BoxResults", "FittedSource", "MaskResults", "Objects", "Summary", "for_each_image", "predict_box_files",
        "predict_boxes", "predict_boxes_and_mask", "predict_boxes_and_mask_of_each", "predict_boxes_of_each",
        "predict_mask_files", "predict_video",
    },
    "runs": {
        "ExperimentFile", "about_run", "create_run", "evaluate_run", "experiment", "experiment_of", "known_boxes",
        "load", "load_experiment", "new_run", "open_run", "read_experiment", "remember", "start_from",
    },
    "train": {"Experiment", "Start", "train", "train_together"},
}  # fmt: skip
"""What needs data sets, trained models or run folders: pages of docs/ show it, whose code tests/test_readme.py runs."""


def shows_itself(thing: Any) -> bool:
    """Whether it is a function or a class that callers make; not what functions return, raise or ask for."""
    if inspect.isclass(thing):
        answers = issubclass(thing, tuple | dict | BaseException) or getattr(thing, "_is_protocol", False)
        return thing.__module__.startswith("segjax") and not answers and thing is not models.Centers
    return inspect.isroutine(thing) or hasattr(thing, "__wrapped__")


PUBLIC = {
    f"{room}.{name}": getattr(module, name)
    for room, module in [*ROOMS.items(), ("ops.boxes", ops.boxes)]
    for name in module.__all__
    if shows_itself(getattr(module, name))
}


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if name.split(".")[-1] not in ELSEWHERE.get(name.split(".")[0], ())]
)
def test_an_example_is_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    check_example(name)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.startswith(("losses.", "metrics."))])
def test_an_example_of_losses_and_metrics_is_right_in_64_bits(name: str):
    with jax.enable_x64(True):
        check_example(name)


def check_example(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, dict(NAMES), name, None, None)
    assert example.examples, f"segjax.{name} shows no example: write `Examples:` in its docstring"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not result.failed, "".join(said)


def test_there_is_something_to_look_at():
    assert len(PUBLIC) > 250
    assert {f"{room}.{name}" for room, names in ELSEWHERE.items() for name in names} <= PUBLIC.keys()
