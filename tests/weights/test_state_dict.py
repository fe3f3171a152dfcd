import json
from pathlib import Path

import numpy as np
import pytest

from segjax.errors import DataError
from segjax.weights import read, safetensors_file
from segjax.weights.mapped import Refused
from segjax.weights.state_dict import unwrap

A = np.arange(3.0)
B = np.ones((2, 2))
STATE = {"conv.weight": A, "conv.bias": B}


def test_what_a_file_is_shows_in_its_content_not_in_its_name(tmp_path):
    torch = pytest.importorskip("torch")
    state = {"conv.weight": torch.arange(3.0), "conv.bias": torch.ones(2, 2)}
    torch.save(state, tmp_path / "zip.safetensors")
    torch.save(state, tmp_path / "stream.onnx", _use_new_zipfile_serialization=False)
    safetensors_file.write(tmp_path / "safe.pth", {key: value.numpy() for key, value in state.items()})
    for path in tmp_path.iterdir():
        weights = read(path)
        assert weights.keys() == {"conv.weight", "conv.bias"}
        np.testing.assert_array_equal(weights["conv.weight"], A)
        np.testing.assert_array_equal(weights["conv.bias"], B)
        assert read(str(path)).keys() == weights.keys()


@pytest.mark.parametrize("prefixes", [("", ""), ("module.", "module."), ("module.", "")])
def test_a_set_in_several_files_is_read_by_the_list_of_them(prefixes: tuple[str, str], tmp_path: Path):
    names = [f"{prefix}conv.{name}" for prefix, name in zip(prefixes, ("weight", "bias"), strict=True)]
    parts = {"model-1.safetensors": {names[0]: A}, "model-2.safetensors": {names[1]: B}}
    for name, arrays in parts.items():
        safetensors_file.write(tmp_path / name, arrays)
    places = {key: name for name, arrays in parts.items() for key in arrays}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 56}, "weight_map": places}, indent=2))
    weights = read(index)
    of_all = prefixes[0] if prefixes[0] == prefixes[1] else ""
    for name, values in zip(names, (A, B), strict=True):
        np.testing.assert_array_equal(weights[name.removeprefix(of_all)], values)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(DataError, match=r"model-2\.safetensors"):
        read(index)


@pytest.mark.parametrize("text", ["{}", "{", '{"weight_map": {"a": "../a.bin"}}', '{"weight_map": {"a": 1}}'])
def test_another_list_is_refused(text: str, tmp_path: Path):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(DataError, match=r"index\.json is no list of files of weights beside it"):
        read(tmp_path / "index.json")


def test_a_header_whose_length_begins_as_a_pickle_or_a_zip_does(tmp_path: Path):
    seen = set()
    for padding in range(0, 256, 8):
        path = tmp_path / f"{padding}.safetensors"
        safetensors_file.write(path, {"a": A}, {"padding": "x" * padding})
        seen.add(path.read_bytes()[:1])
        np.testing.assert_array_equal(read(path)["a"], A)
    assert seen >= {b"\x80", b"P"}


@pytest.mark.parametrize(
    "tree",
    [
        STATE,
        {"state_dict": STATE},
        {"model": STATE, "epoch": 3, "optimizer": {"state": {0: {"step": A}}}},
        {"model_state": STATE, "best": A},  # a score beside it
        {"state_dict_ema": STATE, "epoch": 3},
        {"model": STATE, "model_ema": {"other": A}},
        {"state_dict": {"model": STATE}, "model": "resnet34"},
        {"state_dict": STATE, "model": {"other": A}},
        {"model": {"module." + key: value for key, value in STATE.items()}},
        {"_orig_mod." + key: value for key, value in STATE.items()},
        {"module._orig_mod." + key: value for key, value in STATE.items()},
        {"_orig_mod.module." + key: value for key, value in STATE.items()},
        {**STATE, "epoch": 3, "_extra_state": None, "meta": {"name": "x"}},
    ],
)
def test_what_training_scripts_wrap_around_weights_is_taken_off(tree):
    weights = unwrap(tree)
    assert list(weights) == ["conv.weight", "conv.bias"]
    assert weights["conv.weight"] is A


def test_a_prefix_that_some_names_lack_is_theirs():
    assert list(unwrap({"module.a": A, "b": B})) == ["module.a", "b"]


def test_one_part_of_several():
    tree = {"G": {"state_dict": STATE}, "D": {"head": {"w": A}}, "step": 3}
    with pytest.raises(Refused, match=r"no arrays by name: it holds G, D, so say which with .*part=NAME\), or"):
        unwrap(tree)
    assert list(unwrap(tree, "G")) == list(STATE)
    assert list(unwrap(tree, "D.head")) == ["w"]
    with pytest.raises(Refused, match="has no part E: it holds G, D, so say which"):
        unwrap(tree, "E")
    with pytest.raises(Refused, match="has no part w"):
        unwrap(tree, "D.head.w.w")


@pytest.mark.parametrize("tree", [A, [A], {}, {"a": 1}, {0: A}, None, "text", {"state_dict": {}}])
def test_no_arrays_by_name(tree):
    with pytest.raises(Refused, match=r"holds no arrays by name: give a file of a model's weights\."):
        unwrap(tree)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.pth cannot be read \(No such file or directory\): mend the path"):
        read(tmp_path / "none.pth")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)


def test_refusals_name_the_file(tmp_path: Path):
    torch = pytest.importorskip("torch")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(DataError, match=r"/list\.pth holds no arrays by name: give"):
        read(tmp_path / "list.pth")
