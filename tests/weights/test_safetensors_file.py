import contextlib
import json
import os
import stat
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segjax.errors import DataError
from segjax.weights import safetensors_file

DTYPES = (
    *("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("bool", "complex64", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"),
    *("float8_e4m3fnuz", "float8_e5m2fnuz"),
)


def dtype_of(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def every_dtype() -> dict[str, np.ndarray]:
    return {name: np.arange(1, 7).reshape(2, 3).astype(dtype_of(name)) for name in DTYPES}


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    base = np.arange(60.0, dtype=np.float32).reshape(3, 4, 5)
    arrays = {
        **every_dtype(),
        "transposed": base.T,
        "part": base[:, ::2],
        "expanded": np.broadcast_to(base[0, 0], (3, 5)),
        "big": base.astype(">f4"),
        "scalar": np.array(7),
        "empty": np.zeros((0, 3)),
        "ünicode.\n": np.ones(1),
    }
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, arrays, {"format": "pt", "ü": '{"a": 1}'})
    read, metadata = safetensors_file.read(path)
    assert metadata == {"format": "pt", "ü": '{"a": 1}'}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].shape == array.shape
        assert read[name].dtype == array.dtype.newbyteorder("=")
        assert read[name].tobytes() == array.astype(read[name].dtype).tobytes()
        assert not read[name].flags.writeable
    assert os.listdir(tmp_path) == [path.name]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_none_at_all(tmp_path):
    safetensors_file.write(tmp_path / "none.safetensors", {})
    assert safetensors_file.read(tmp_path / "none.safetensors") == ({}, {})


def test_the_library_reads_what_is_written_and_the_other_way_round(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    arrays = every_dtype()
    safetensors_file.write(ours, arrays, {"format": "pt"})
    read = library.load_file(ours)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == getattr(torch, name)
        assert read[name].view(-1).view(torch.uint8).numpy().tobytes() == array.tobytes()
    library.save_file({**read, "scalar": torch.tensor(3), "empty": torch.zeros(0, 2)}, theirs, {"format": "pt"})
    again, metadata = safetensors_file.read(theirs)
    assert metadata == {"format": "pt"}
    assert again.pop("scalar") == 3
    assert again.pop("empty").shape == (0, 2)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert again[name].tobytes() == array.tobytes()


def test_the_bytes_are_those_of_the_library(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    arrays = {"b": np.ones(3, np.float32), "a": np.ones((2, 1), np.float32), "c": np.ones(1), "d": np.ones(5, np.uint8)}
    safetensors_file.write(tmp_path / "ours", arrays, {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == library.save(arrays, {"format": "pt"})


def test_a_large_file_is_only_mapped(tmp_path):
    path = tmp_path / "large.safetensors"
    safetensors_file.write(path, {f"w{i}": np.full(1 << 20, i, np.float32) for i in range(20)})

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    before = resident()
    read, _ = safetensors_file.read(path)
    assert float(read["w19"][-1]) == 19
    assert resident() - before < 10 << 20


def test_a_file_that_is_in_use_can_be_written_anew(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors_file.write(path, {"a": np.zeros(3)})
    old, _ = safetensors_file.read(path)
    safetensors_file.write(path, {"a": old["a"] + 1})
    assert old["a"].tolist() == [0, 0, 0]
    assert safetensors_file.read(path)[0]["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("arrays", "metadata", "found"),
    [
        ({"a": np.array(["text"])}, {}, "cannot hold a of <U4"),
        ({"a": np.array([None])}, {}, "cannot hold a of object"),
        ({"a": np.ones(2, complex)}, {}, "cannot hold a of complex128"),
        ({"__metadata__": np.ones(2)}, {}, "cannot hold __metadata__"),
        ({1: np.ones(2)}, {}, "text alone"),
        ({"a": np.ones(2)}, {"epoch": 3}, "text alone"),
    ],
)
def test_what_cannot_be_written(tmp_path, arrays: Any, metadata: Any, found: str):
    with pytest.raises(DataError, match=found):
        safetensors_file.write(tmp_path / "a.safetensors", arrays, metadata)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot be written \(No such file or directory\)"):
        safetensors_file.write(tmp_path / "nowhere" / "a.safetensors", {"a": np.ones(2)})


def forged(path: Path, header: Any, numbers: bytes = bytes(8), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + numbers)
    return path


def entry(dtype: Any = "F32", shape: Any = (2,), begin: Any = 0, end: Any = 8, **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"[]", "is no safetensors file"),
        (b"{", "has a header that is no JSON"),
        (b'{"a": \xff}', "has a header that is no JSON"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "has a header that is no JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "has a header that is no JSON"),
        (b'{"a": 1, "a": 2}', "says one thing twice"),
        ({"a": 1}, "words on a contradict"),
        ({"a": {}}, "words on a contradict"),
        ({"a": entry(more=1)}, "words on a contradict"),
        ({"a": entry("F31")}, "a of dtype F31, which segjax does not read"),
        ({"a": entry("F4", (4,), 0, 2)}, "a of dtype F4, which segjax does not read"),
        ({"a": entry(4)}, "words on a contradict"),
        ({"a": entry(shape=(3,))}, "words on a contradict"),
        ({"a": entry(shape=(-2,))}, "words on a contradict"),
        ({"a": entry(shape=(2.0,))}, "words on a contradict"),
        ({"a": entry(shape=(True, 2))}, "words on a contradict"),
        ({"a": entry(shape="22")}, "words on a contradict"),
        ({"a": entry(shape=(2**60,), end=2**62)}, "words on a contradict"),
        ({"a": entry(shape=(2**33, 2**33, 0), end=0)}, "words on a contradict"),
        ({"a": entry(shape=(1,) * 65)}, "words on a contradict"),
        ({"a": entry(begin=8, end=0)}, "words on a contradict"),
        ({"a": entry(begin=-8, end=0)}, "words on a contradict"),
        ({"a": entry(shape=(2**50,), end=2**52)}, "are due for a"),
        ({"a": entry(begin=4, end=12)}, "overlap or leave a gap at a"),
        ({"a": entry(), "b": entry()}, "overlap or leave a gap at b"),
        ({"a": entry(shape=(1,), end=4)}, "4 bytes that belong to no array"),
        ({"__metadata__": [], "a": entry()}, "metadata that is not made of texts"),
        ({"__metadata__": {"a": 1}, "a": entry()}, "metadata that is not made of texts"),
        ({"\x1b[31m" * 50: 1}, r"words on \x1b[31m"),
    ],
)
def test_hostile_headers(tmp_path, header: Any, found: str):
    path = forged(tmp_path / "hostile.safetensors", header)
    with pytest.raises(DataError) as caught:
        safetensors_file.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} ")
    assert found in sentence
    assert sentence.isprintable()
    assert len(sentence) < 400


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10_000, 3, 0])
def test_hostile_lengths(tmp_path, length: int):
    path = forged(tmp_path / "hostile.safetensors", {"a": entry()}, length=length)
    with pytest.raises(DataError, match=r"is no safetensors file, or ends early|no JSON"):
        safetensors_file.read(path)


def test_a_header_that_is_far_too_long(tmp_path):
    path = forged(tmp_path / "hostile.safetensors", b"{" + b" " * (1 << 24) + b"}")
    with pytest.raises(DataError, match="where 16777216 are the most"):
        safetensors_file.read(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "cut.safetensors"
    safetensors_file.write(path, {"a": np.arange(6.0), "b": np.ones(3, np.uint8)}, {"format": "pt"})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            safetensors_file.read(path)


def test_bytes_that_are_no_bool_are_true(tmp_path):
    path = forged(tmp_path / "bool.safetensors", {"a": entry("BOOL", (8,))}, bytes([0, 1, 2, 255, 0, 0, 1, 7]))
    array = safetensors_file.read(path)[0]["a"]
    assert array.view(np.uint8).tolist() == [0, 1, 1, 1, 0, 0, 1, 1]


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
def test_any_other_bytes_give_one_sentence_or_arrays(tmp_path, changes):
    path = tmp_path / "fuzzed.safetensors"
    safetensors_file.write(path, {"a": np.arange(6.0), "b": np.ones(3, np.uint8)}, {"format": "pt"})
    changed = bytearray(path.read_bytes())
    for at, written in changes:
        changed[at % len(changed) : at % len(changed) + len(written)] = written
    path.write_bytes(changed)
    with contextlib.suppress(DataError):
        safetensors_file.read(path)
