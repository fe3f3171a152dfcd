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

from segjax.models import UNet
from segjax.train import ExperimentError, Layout
from segjax.train.devices import Placement, check_rows

SCRIPT = Path(__file__).parent / "layouts.py"
# Eight devices of one machine; code that is not optimised compiles in half the time.
FLAGS = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count="


def run(folder: Path, layout: str, processes: int = 1) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What layouts.py finds: numbers by name, and facts of the program."""
    out = folder / f"{layout}.npz"
    environment = os.environ | {"JAX_ENABLE_X64": "1", "XLA_FLAGS": f"{FLAGS}{8 // processes}"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = [
        [sys.executable, str(SCRIPT), str(out), layout, *([str(i), str(processes), str(port)] if processes > 1 else [])]
        for i in range(processes)
    ]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, said
    return dict(np.load(out)), json.loads(Path(f"{out}.json").read_text())


@pytest.fixture(scope="module")
def one_device(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return run(tmp_path_factory.mktemp("one"), "one")[0]


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(float(np.abs(value).max()), 1e-30)
        np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-10, rtol=0, err_msg=name)


def test_every_layout_gives_the_loss_gradients_statistics_and_scores_of_one_device(
    one_device: dict[str, np.ndarray], tmp_path: Path
):
    found, facts = run(tmp_path, "eight")
    assert_same(found, one_device)
    moved = _moved(facts["text"])
    assert moved.keys() == {"all-reduce"}
    params = sum(x.nbytes for name, x in found.items() if name.startswith("1['params']"))
    statistics = sum(x.nbytes for name, x in found.items() if name.startswith("1['batch_stats']"))
    # The gradient once, the sums of batch normalisation and of its gradient, and a few scalars and counts.
    assert params <= moved["all-reduce"] <= params + 4 * statistics + 2000

    found, facts = run(tmp_path, "zero")
    assert_same(found, one_device)
    assert facts["own"] < 0.2 * facts["everything"]  # an eighth, and what eight does not divide

    found, facts = run(tmp_path, "space")
    assert_same(found, one_device)
    rows = [int(n) for n in re.findall(r"= \w+\[2,(\d+),[\d,]*\]\S* collective-permute(?:-start)?\(", facts["text"])]
    assert len(rows) > 50
    assert max(rows) <= 2  # what a 3x3 or, in CARAFE, a 5x5 window sees of the neighbour

    assert_same(run(tmp_path, "pmap")[0], one_device)
    assert_same(run(tmp_path, "processes", processes=2)[0], one_device)


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
    model: nn.Module = UNet(2, (4, 4, 4))
    check_rows(model, jax.ShapeDtypeStruct((1, 32, 20, 3), np.uint8), space=4)
    with pytest.raises(ExperimentError, match=r"space is 4, but encoder/stage3\S* has 6 rows for images of 24x20"):
        check_rows(model, jax.ShapeDtypeStruct((1, 24, 20, 3), np.uint8), space=4)
