"""One experiment gives the same numbers however it is laid out over devices."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

from segjax.layers import ConvBlock
from segjax.models import unet
from segjax.train import ExperimentError, Layout
from segjax.train.devices import Placement, check_rows

SCRIPT = Path(__file__).parent / "layouts.py"
REFERENCES = {
    "space": "one",
    "eight": "one_of_few",
    "zero": "one_of_few",
    "eight_in_parts": "one_in_parts",
    "pmap": "one_augmented",
    "processes": "one_augmented",
}
"""What on one device each layout has the model of."""


def start(folder: Path, layouts: str, processes: int = 1) -> list[subprocess.Popen[str]]:
    """Begin layouts.py with eight devices in all."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={8 // processes}",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = [
        [sys.executable, str(SCRIPT), str(folder), layouts, *([str(i), str(processes), str(port)] * (processes > 1))]
        for i in range(processes)
    ]
    return [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]


def wait(started: list[subprocess.Popen[str]]) -> None:
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said


def read(folder: Path, layout: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What layouts.py found: numbers by name, and facts of the program."""
    return dict(np.load(folder / f"{layout}.npz")), json.loads((folder / f"{layout}.json").read_text())


def test_every_layout_gives_the_loss_gradients_statistics_and_scores_of_one_device(tmp_path: Path):
    in_float64 = "one_of_few,eight,zero,one_in_parts,eight_in_parts,one_augmented,pmap"
    in_float32 = "float32_one,float32_space,float32_pmap"
    alone = start(tmp_path, f"one,space,{in_float64},{in_float32}")
    wait([*alone, *start(tmp_path, "processes", processes=2)])
    facts = {}
    for layout, reference in REFERENCES.items():
        expected, of_reference = read(tmp_path, reference)
        found, facts[layout] = read(tmp_path, layout)
        assert found.keys() == expected.keys()
        assert facts[layout]["flops"] == of_reference["flops"] > 0  # over all devices
        for name, value in expected.items():
            scale = max(float(np.abs(value).max()), 1e-30)
            error = f"{name} of {layout}"
            np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-10, rtol=0, err_msg=error)

    expected, _ = read(tmp_path, "one_of_few")
    params = sum(x.nbytes for name, x in expected.items() if name.startswith("1['params']"))
    statistics = sum(x.nbytes for name, x in expected.items() if name.startswith("1['batch_stats']"))
    for layout, parts in (("eight", 1), ("eight_in_parts", 2)):
        moved = _moved(facts[layout]["text"])
        assert moved.keys() == {"all-reduce"}
        # The gradient once, the sums of batch normalisation and of its gradient, and a few scalars and counts.
        assert params <= moved["all-reduce"] <= params + parts * (4 * statistics + 2000), layout

    assert facts["zero"]["own"] < 0.2 * facts["zero"]["everything"]  # an eighth, and what eight does not divide

    rows = re.findall(r"= \w+\[2,(\d+),[\d,]*\]\S* collective-permute(?:-start)?\(", facts["space"]["text"])
    assert len(rows) > 50
    assert max(map(int, rows)) <= 2  # what a 3x3 or, in CARAFE, a 5x5 window sees of the neighbour

    _agree_in_float32_to_a_hundred_thousandth(tmp_path)


def _agree_in_float32_to_a_hundred_thousandth(folder: Path) -> None:
    """Relative to the largest number of the same kind in the same layer.

    Before a normalisation, the terms of a bias's gradient cancel but for the images' edges, so that its rounding is of
    the size of those terms, which is that of the kernel's gradient.
    """
    expected, _ = read(folder, "float32_one")
    assert {value.dtype for name, value in expected.items() if "params" in name} == {np.dtype(np.float32)}
    scales: dict[str, float] = {}
    for name, value in expected.items():
        layer = name.rpartition("[")[0] or name
        scales[layer] = max(scales.get(layer, 0.0), float(np.abs(value).max()))
    for layout in ("float32_space", "float32_pmap"):
        found, _ = read(folder, layout)
        for name, value in expected.items():
            scale = scales[name.rpartition("[")[0] or name]
            np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-5, rtol=0, err_msg=name)


def _moved(text: str) -> dict[str, int]:
    """Bytes that each kind of collective returns, over a compiled program."""
    sizes = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "s64": 8, "u8": 1, "pred": 1}
    moved: dict[str, int] = {}
    kinds = "all-gather|all-reduce|collective-permute|all-to-all|reduce-scatter"
    for result, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        arrays = re.findall(r"(\w+)\[([\d,]*)\]", result)
        size = sum(sizes[kind] * int(np.prod([int(n) for n in shape.split(",") if n])) for kind, shape in arrays)
        moved[kind] = moved.get(kind, 0) + size
    return moved


@pytest.mark.parametrize(
    ("layout", "batch_size", "sentence"),
    [
        (Layout(devices=2), 4, r"devices is 2, but jax sees 1 .*; ask for fewer"),
        (Layout(space=3), 4, "space is 3, which does not divide 1 devices"),
        (Layout(devices=0), 4, "devices is 0, but jax sees 1"),
    ],
)
def test_a_layout_that_cannot_be_gets_one_sentence(layout: Layout, batch_size: int, sentence: str):
    with pytest.raises(ExperimentError, match=sentence):
        Placement(layout, batch_size)


def test_rows_that_cannot_be_shared_are_refused_by_the_first_layer_that_has_them():
    model: nn.Module = unet(2, 4, depth=2, block=ConvBlock)
    check_rows(model, jax.ShapeDtypeStruct((1, 32, 20, 3), np.uint8), space=4)
    with pytest.raises(ExperimentError, match=r"space is 4, but encoder/stage3\S* has 6 rows for images of 24x20"):
        check_rows(model, jax.ShapeDtypeStruct((1, 24, 20, 3), np.uint8), space=4)
