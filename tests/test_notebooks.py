"""The notebooks of docs/ run from top to bottom, on small settings."""

from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
SMALL = {
    "lift_out_one_op": {},
    "train_on_a_folder": {"STEPS, WIDTH, DEPTH = 100, 8, 2": "STEPS, WIDTH, DEPTH = 2, 2, 1", "range(30)": "range(10)"},
    "fine_tune_and_export": {
        'ENCODER, START, STEPS = "mobilenet_v2", "imagenet", 100': (
            "ENCODER, START, STEPS = segjax.encoders.ConvEncoder(((2,), (4,))), None, 1"
        ),
        'decoder="fpn"': 'decoder="linknet"',
        "range(30)": "range(10)",
    },
    "upsampling_benchmark": {
        '("nearest", "conv_transpose_2x2", "max_unpool", "dysample"), (0, 1, 2), 100': '("nearest", ), (0, 1), 2',
        "width=8, depth=2": "width=2, depth=1",
        "range(40)": "range(10)",
    },
}
"""What is put instead of what, so that it takes seconds and no network."""


def test_all_are_run():
    assert {path.stem for path in NOTEBOOKS.glob("*.py")} == SMALL.keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = (NOTEBOOKS / f"{name}.py").read_text("utf-8")
    for said, small in SMALL[name].items():
        assert said in code
        code = code.replace(said, small)
    if name == "fine_tune_and_export":
        pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": "__main__"})
