import argparse
import contextlib
import io
import struct
import subprocess
import sys
import types
import warnings
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import forge
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saving import FORMATS, bits, torch_bits

from segjax.errors import DataError
from segjax.weights import state_dict, torch_file

torch = pytest.importorskip("torch")


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_module_of_every_protocol(saved, zipped: bool, protocol: int):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Linear(5, 2).half())
    state = module.state_dict()
    read = torch_file.read(saved(state, zipped, pickle_protocol=protocol))
    assert list(read) == list(state)  # num_batches_tracked, an array of no axes, too
    for name, tensor in state.items():
        assert read[name].shape == tuple(tensor.shape)
        assert bits(read[name]) == torch_bits(tensor)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@FORMATS
def test_what_is_no_tensor_comes_as_it_is(saved, zipped: bool):
    tied = torch.ones(3)
    value = OrderedDict(
        epoch=7,
        rate=0.5,
        name="ünet",
        none=None,
        flags=[True, False],
        nested={"a": (1, (2, -3)), 5: [2**40, -(2**62), 70000]},
        size=torch.Size([2, 3]),
        dtype=torch.bfloat16,
        steps=Counter({30: 1, 60: 1}),
        raw=b"\x00\xff" if zipped else None,
        tied=[tied, tied],
        storage=torch.arange(3.0).storage(),
    )
    read = torch_file.read(saved(value, zipped, pickle_protocol=4))
    tied, storage = read.pop("tied"), read.pop("storage")
    assert read.pop("dtype") == ml_dtypes.bfloat16
    expected = {key: entry for key, entry in value.items() if key not in ("tied", "dtype", "storage")}
    assert read == {**expected, "size": (2, 3)}
    assert tied[0] is tied[1]
    assert storage.tolist() == [0, 1, 2]


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_scripts_keep_beside_the_weights_is_none(saved, zipped: bool, protocol: int, monkeypatch):
    module = types.ModuleType("lightning_fabric.utilities.data")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})  # type: ignore[attr-defined]
    for name in ("lightning_fabric", "lightning_fabric.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    beside = {
        "hyper_parameters": module.AttributeDict(width=8),
        "args": argparse.Namespace(lr=0.1, betas=(0.9, 0.99), out=Path("runs"), parent=argparse.Namespace(seed=1)),
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "out": Path("runs"),
    }
    path = saved({"model": {"w": torch.ones(2)}, "list": [np.float32(1)], **beside}, zipped, pickle_protocol=protocol)
    read = torch_file.read(path)
    assert {name: read[name] for name in beside} == dict.fromkeys(beside)
    assert read["list"] == [None]
    assert state_dict.read(path).keys() == {"w"}


class HistoryBuffer:
    """As MMEngine's: arrays of scores, and its own functions by name."""

    def __init__(self):
        self.log_history = np.arange(3.0)
        self.statistics_methods = {"min": HistoryBuffer.min}

    def min(self):
        return self.log_history.min()


@FORMATS
def test_the_scores_that_mmengine_keeps_beside_the_weights_are_none(saved, zipped: bool, monkeypatch):
    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(HistoryBuffer, "__module__", module.__name__)
    path = saved({"state_dict": {"w": torch.ones(2)}, "message_hub": {"loss": HistoryBuffer()}}, zipped)
    assert torch_file.read(path)["message_hub"] == {"loss": None}
    assert state_dict.read(path).keys() == {"w"}


class Tagged(torch.nn.Parameter):
    pass


@FORMATS
def test_parameters_buffers_and_their_subclasses(saved, zipped: bool):
    tagged = Tagged(torch.arange(3.0))
    tagged.note = "kept by torch"
    tensor = torch.ones(2)
    tensor.note = 1
    value = {"p": torch.nn.Parameter(torch.ones(2)), "t": tagged, "b": torch.nn.Buffer(torch.ones(1)), "n": tensor}
    read = torch_file.read(saved(value, zipped))
    assert {name: array.tolist() for name, array in read.items()} == {
        "p": [1, 1],
        "t": [0, 1, 2],
        "b": [1],
        "n": [1, 1],
    }


def test_the_storage_views_of_the_oldest_torch(tmp_path):
    view = b"(" + forge.text("view") + forge.integer(1) + forge.integer(2) + b"t"
    path = forge.stream(tmp_path / "old.pth", forge.pickle(forge.tensor(forge.storage(view=view), 0, (2,))))
    assert torch_file.read(path)["weight"].tolist() == [2, 3]
    outside = b"(" + forge.text("view") + forge.integer(3) + forge.integer(2) + b"t"
    forge.stream(path, forge.pickle(forge.tensor(forge.storage(view=outside), 0, (1,))))
    with pytest.raises(DataError, match="persistent id that is none of a storage"):
        torch_file.read(path)


def test_python_2_wrote_its_texts_as_bytes(tmp_path):
    body = b"\x80\x02ccollections\nOrderedDict\n](]("  # OrderedDict([["weight", tensor]])
    body += b"U\x06weight" + forge.tensor() + b"ee\x85R."
    assert torch_file.read(forge.stream(tmp_path / "two.pth", body))["weight"].tolist() == [1, 2, 3, 4]


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        torch_file.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@FORMATS
def test_a_file_cut_anywhere_is_refused_or_whole(saved, zipped: bool):
    whole = saved({"a": torch.arange(8.0), "b": torch.zeros(0)}, zipped).read_bytes()
    path = Path(saved({}, zipped))
    for end in range(1, len(whole), 7):
        path.write_bytes(whole[:end])
        refusal(path)


def test_a_cut_stream_says_how_long_it_should_be(saved):
    path = saved({"a": torch.arange(8.0)}, zipped=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert f"ends at byte {len(whole) - 5}, where {len(whole)} are due: fetch it again" in refusal(path)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (lambda: torch.nn.Linear(1, 1), "asks for torch.nn.modules.linear.Linear, which no state dict needs"),
        (lambda: {"s": torch.ones(2).to_sparse()}, "sparse"),
        (lambda: {"q": torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)}, "QInt8Storage"),
        (lambda: {"m": torch.ones(2, device="meta")}, "without numbers"),
        (lambda: {"h": torch.ones(2).to(torch.complex32)}, "complex32"),
        (lambda: {(1, 2): torch.ones(2)}, "a dict with a tuple as key"),
        (lambda: {"f": torch.float32, "k": torch.Tensor}, "holds a class or a function"),
        (lambda: {"n": np.ones(2)}, "asks for numpy"),
    ],
)
def test_what_torch_writes_and_is_not_read(saved, value, found: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = saved(value())
    assert found in refusal(path)


def test_a_torchscript_program(tmp_path):
    path = forge.archive(tmp_path / "script.pt", forge.pickle(forge.tensor()), None, **{"constants.pkl": b"\x80\x02)."})
    assert "is a TorchScript program" in refusal(path)


def test_a_zip_of_something_else(tmp_path):
    path = tmp_path / "other.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", "<w/>")
    assert "is a zip archive, but none of torch.save" in refusal(path)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "archive/../../x", "..\\x", "archive/data/../data.pkl"]
)
def test_names_that_lead_out_of_the_archive(tmp_path, name: str):
    path = tmp_path / "out.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", forge.pickle(forge.tensor(forge.storage("../../etc/passwd"))))
        file.writestr(zipfile.ZipInfo(name), "x")
    assert "leads out of the archive" in refusal(path)


def test_a_key_is_no_path(tmp_path):
    path = forge.archive(tmp_path / "key.pth", forge.pickle(forge.tensor(forge.storage("../../../etc/passwd"))))
    assert "has no numbers under ../../../etc/passwd" in refusal(path)


def test_compressed_members_are_not_unfolded(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", forge.pickle(forge.tensor(forge.storage(count=25_000_000))))
        file.writestr("archive/data/0", bytes(100_000_000))
    assert path.stat().st_size < 1_000_000
    assert "compressed or lie on one another" in refusal(path)


def test_members_that_lie_on_one_another(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "quine.pth"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", forge.pickle(forge.tensor()))
            file.writestr("archive/data/0", bytes(100_000))
            (shared,) = [member for member in file.filelist if member.filename.endswith("/0")]
            for key in range(1, 100):
                twin = zipfile.ZipInfo(f"archive/data/{key}")
                for part in ("header_offset", "file_size", "compress_size", "CRC"):
                    setattr(twin, part, getattr(shared, part))
                file.filelist.append(twin)
    assert "lie on one another" in refusal(path) or "damaged" in refusal(path)


def test_two_members_of_one_name(tmp_path):
    path = tmp_path / "twice.pth"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("archive/data.pkl", forge.pickle(forge.tensor()))
        file.writestr("archive/data.pkl", forge.pickle(b"N"))
    assert "two members of one name" in refusal(path)


def test_a_table_of_contents_that_is_far_too_long(tmp_path):
    path = forge.archive(tmp_path / "table.pth", forge.pickle(forge.tensor()))
    whole = bytearray(path.read_bytes())
    end = whole.rfind(b"PK\5\6")
    start = struct.unpack("<I", whole[end + 16 : end + 20])[0]
    padding = 20 << 20
    whole[end:end] = bytes(padding)
    whole[end + padding + 12 : end + padding + 16] = struct.pack("<I", end - start + padding)
    path.write_bytes(whole)
    assert "has a table of more than" in refusal(path)


def test_an_unknown_byte_order(tmp_path):
    path = forge.archive(tmp_path / "order.pth", forge.pickle(forge.tensor()), byteorder=b"\x1b[31mmiddle")
    assert r"its byte order is '\x1b[31mmiddle'" in refusal(path).replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("storages", "found"),
    [
        ({"0": b"1234"}, "has 1 numbers under 0, where its pickle says 4"),
        ({"1": forge.FOUR}, "lists other storages than its pickle asks for"),
        ({}, "lists other storages"),
    ],
)
def test_a_stream_whose_storages_are_not_those_of_its_pickle(tmp_path, storages, found: str):
    # Long enough that the count is seen before the end.
    path = forge.stream(tmp_path / "stream.pth", forge.pickle(forge.tensor()), storages)
    path.write_bytes(path.read_bytes() + bytes(64))
    assert found in refusal(path)


def test_another_pickle(tmp_path):
    path = tmp_path / "plain.pth"
    path.write_bytes(b"\x80\x02]\x94.")
    assert "is a pickle, but none of torch.save" in refusal(path)
    path.write_bytes(b"\x80\x02ctorch\nfloat32\n.")
    assert "is a pickle, but none of torch.save" in refusal(path)
    path.write_bytes(forge.MAGIC + b"\x80\x02K\x01.")
    assert "is no version 1001" in refusal(path)


SEEDS = []
for zipped in (True, False):
    _buffer = io.BytesIO()
    _value = {"state_dict": OrderedDict(a=torch.arange(4.0), b=torch.ones(2).bfloat16()), "size": torch.Size([1])}
    torch.save(_value, _buffer, _use_new_zipfile_serialization=zipped)
    SEEDS.append(_buffer.getvalue())


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=3)), min_size=1, max_size=6),
)
def test_any_other_bytes_give_one_sentence_or_arrays(tmp_path, seed: bytes, changes):
    changed = bytearray(seed)
    for at, written in changes:
        changed[at % len(seed) : at % len(seed) + len(written)] = written
    path = tmp_path / "fuzzed.pth"
    path.write_bytes(changed)
    with contextlib.suppress(DataError):
        torch_file.read(path)


def test_torch_is_not_asked(saved):
    path = saved({"a": torch.arange(3.0)})
    code = (
        "import sys; sys.modules['torch'] = None; from segjax.weights import torch_file;"
        f"print(torch_file.read({str(path)!r})['a'].tolist(), 'jax' in sys.modules, 'pickle' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[0.0, 1.0, 2.0] False")
