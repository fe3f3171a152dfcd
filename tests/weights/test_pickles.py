"""Hostile files: each is refused with its sentence, and a process that watches itself shows that none did anything."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import forge
import pytest
from forge import asked, called, integer, pickle, storage, tensor, text

from segjax.errors import DataError
from segjax.weights.mapped import Refused
from segjax.weights.pickles import Function, read_pickle
from segjax.weights.state_dict import read

NOT_RUN = "nothing of it was run"
DEEP = b"\x80\x02" + b")" + b"\x85" * 100_000 + b"."
HOSTILE: dict[str, tuple[bytes, str]] = {
    "reduce_system": (pickle(called("os", "system", text("touch HARM"))), "asks for os.system"),
    "reduce_posix": (pickle(called("posix", "system", text("touch HARM"))), "asks for posix.system"),
    "eval": (pickle(called("builtins", "eval", text("open('HARM', 'w')"))), "asks for builtins.eval"),
    "python2_eval": (pickle(called("__builtin__", "eval", text("open('HARM', 'w')"))), "asks for __builtin__.eval"),
    "getattr": (pickle(called("builtins", "getattr", asked("torch", "Tensor"))), "asks for builtins.getattr"),
    "nested_global": (pickle(asked("torch._utils", "_rebuild_tensor_v2.__globals__")), "asks for torch._utils._r"),
    "dotted_module": (pickle(asked("torch.os", "system")), "asks for torch.os.system"),
    "stack_global": (pickle(text("os") + text("system") + b"\x93(" + text("touch HARM") + b"tR"), "asks for os.system"),
    "stack_global_of_numbers": (pickle(b"K\x01K\x02\x93"), "ends early or is damaged"),
    "memo_global": (pickle(text("os") + b"q\x050h\x05" + text("system") + b"\x93"), "opcode 0x30"),
    "import_only": (b"\x80\x02cantigravity\nfly\n.", "asks for antigravity.fly"),
    "terminal": (pickle(asked("\x1b[2J", "system")), r"asks for \x1b[2J.system"),
    "long_name": (pickle(asked("a" * 900, "b")), "asks for " + "a" * 80 + "..."),
    "endless_name": (pickle(b"c" + b"a" * 5000 + b"\nb\n"), "ends early or is damaged"),
    "ext1": (pickle(b"\x82\x01"), "opcode EXT1"),
    "ext2": (pickle(b"\x83\x01\x00"), "opcode EXT2"),
    "ext4": (pickle(b"\x84\x01\x00\x00\x00"), "opcode EXT4"),
    "inst": (pickle(b"(" + text("touch HARM") + b"ios\nsystem\n"), "opcode INST"),
    "obj": (pickle(b"(" + asked("torch", "Size") + text("touch HARM") + b"o"), "opcode OBJ"),
    "newobj": (pickle(asked("torch", "Size") + b")\x81"), "opcode NEWOBJ"),
    "newobj_ex": (pickle(asked("torch", "Size") + b")}\x92"), "opcode NEWOBJ_EX"),
    "next_buffer": (pickle(b"\x97"), "opcode NEXT_BUFFER"),
    "unknown_opcode": (pickle(b"\xff"), "opcode 0xff"),
    "text_persistent": (pickle(b"Pos.system\n"), "opcode PERSID"),
    "reduce_text": (pickle(text("os.system") + b"(" + text("touch HARM") + b"tR"), "calls what is no function"),
    "reduce_dtype": (pickle(asked("torch", "float32") + b")R"), "calls what is no function"),
    "reduce_storage": (pickle(asked("torch", "FloatStorage") + b"(K\x08tR"), "calls what is no function"),
    "reduce_no_tuple": (pickle(asked("torch", "Size") + b"]R"), "calls what is no function"),
    "build_tensor": (pickle(tensor() + b"}" + text("__class__") + b"Nsb"), "sets the attributes"),
    "build_dict": (pickle(b"}}b"), "sets the attributes"),
    "build_function": (pickle(asked("torch", "Size") + b"}b"), "sets the attributes"),
    "persistent_number": (pickle(b"K\x01Q"), "none of a storage"),
    "persistent_dtype": (pickle(b"(" + asked("torch", "float32") * 5 + b"tQ"), "none of a storage"),
    "persistent_module": (pickle(b"(" + text("module") + b"NNNtQ"), "holds a whole module"),
    "persistent_class": (
        pickle(b"(" + text("storage") + asked("torch", "Tensor") + text("0") + text("cpu") + b"K\x04tQ"),
        "none of a storage",
    ),
    "persistent_list_as_key": (
        pickle(b"(" + text("storage") + asked("torch", "FloatStorage") + b"]" + text("cpu") + b"K\x04tQ"),
        "none of a storage",
    ),
    "storage_of_2_60": (pickle(tensor(storage(count=2**60))), "where"),
    "storage_of_2_126": (pickle(tensor(storage(count=2**126))), "where"),
    "storage_of_less_than_nothing": (pickle(tensor(storage(count=-4))), "none of a storage"),
    "shape_of_2_60": (pickle(tensor(shape=(2**60,))), "of a storage of 16"),
    "shape_that_wraps": (pickle(tensor(shape=(2**33, 2**33), strides=(0, 0))), "numbers: "),
    "empty_that_wraps": (pickle(tensor(shape=(0, 2**61, 2**61), strides=(1, 1, 1))), "numbers: "),
    "expanded_without_end": (pickle(tensor(shape=(2**40,), strides=(0,))), "repeats its numbers until"),
    "negative_stride": (pickle(tensor(strides=(-1,))), "is negative or no number"),
    "negative_offset": (pickle(tensor(offset=-1)), "is negative or no number"),
    "negative_shape": (pickle(tensor(shape=(-4,))), "is negative or no number"),
    "beyond_by_offset": (pickle(tensor(offset=1)), "ends at byte 20 of a storage of 16"),
    "beyond_by_stride": (pickle(tensor(strides=(2,))), "ends at byte 28 of a storage of 16"),
    "beyond_by_overlap": (pickle(tensor(shape=(3, 3), strides=(1, 1), offset=1)), "ends at byte 24"),
    "more_strides": (pickle(tensor(strides=(1, 1))), "makes a Tensor of something else"),
    "axes": (pickle(tensor(shape=(1,) * 65, strides=(1,) * 65)), "makes a Tensor of something else"),
    "tensor_of_nothing": (pickle(called("torch._utils", "_rebuild_tensor_v2")), "makes a Tensor of something else"),
    "tensor_of_text": (pickle(tensor(text("storage"))), "makes a Tensor of something else"),
    "dict_of_text": (pickle(called("collections", "OrderedDict", text("abc"))), "makes a OrderedDict of something"),
    "append_to_a_dict": (pickle(b"}Na"), "ends early or is damaged"),
    "set_in_a_storage": (pickle(storage() + text("count") + b"K\x09s"), "ends early or is damaged"),
    "unknown_memo": (pickle(b"h\x63"), "ends early or is damaged"),
    "empty_stack": (b"\x80\x02R.", "ends early or is damaged"),
    "no_mark": (b"\x80\x02t.", "ends early or is damaged"),
    "two_values": (b"\x80\x02NN.", "ends early or is damaged"),
    "odd_items": (pickle(b"}(Nu"), "ends early or is damaged"),
    "not_utf8": (pickle(b"X\x02\x00\x00\x00\xff\xfe"), "ends early or is damaged"),
    "text_of_2_31": (pickle(b"X" + struct.pack("<I", 2**31) + b"a"), "ends early or is damaged"),
    "bytes_of_2_63": (pickle(b"\x8e" + struct.pack("<Q", 2**63)), "ends early or is damaged"),
    "integer_of_2_31": (pickle(b"\x8b" + struct.pack("<I", 2**31)), "an integer of 2147483648 bytes"),
    "nested": (DEEP, "nests deeper than 64"),
    "doubled": (b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b".", "unfolds to more than"),
    "doubled_list": (b"\x80\x02(]q\x00" + b"(h\x00h\x00lq\x00" * 60 + b"t.", "as only a bomb does"),
    "doubled_as_key": (pickle(b"})" + b"q\x00h\x00\x86" * 40 + b"Ns"), "a dict with a tuple as key"),
    "itself": (b"\x80\x02]q\x00h\x00a.", "nests deeper than 64"),
    "copied_again_and_again": (
        b"\x80\x02](" + b"](K\x01Ne" * 2000 + b"eq\x00"
        + (asked("collections", "OrderedDict") + b"h\x00\x85R") * 2000 + b".",
        "as only a bomb has",
    ),
    "many_steps": (b"\x80\x02(" + b"N" * 1_100_000 + b"t.", "as only a bomb has"),
    "colliding_integers": (pickle(b"}" + integer(2**61 - 1 << 50) + b"Ns"), "a dict with a int as key"),
}  # fmt: skip
OTHER: dict[str, tuple[bytes, str]] = {
    "page": (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
    "gzip": (b"\x1f\x8b\x08\x00", "is compressed with gzip"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "is a tar archive"),
    "empty": (b"", "is empty"),
    "wrong_magic": (b"\x80\x02" + integer(0x1950A86A20F9469CFC6D) + b".", "is a pickle, but none of torch.save"),
    "plain_pickle": (pickle(called("os", "system", text("touch HARM"))), "asks for os.system"),
    "noise": (bytes(range(64)), "is no file of weights that segjax knows"),
    "cut_zip": (b"PK\x03\x04" + bytes(100), "is a zip archive that ends early or is damaged"),
}


def stream(path: Path, body: bytes) -> Path:
    return forge.stream(path, body, None if b"Storage" in body else {})


FORMATS = {"zip": forge.archive, "stream": stream}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    return sentence


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(tmp_path, name: str, write):
    body, found = HOSTILE[name]
    assert found in refusal(write(tmp_path / "weights.pth", body))


@pytest.mark.parametrize("name", OTHER)
def test_something_else_is_named(tmp_path, name: str):
    content, found = OTHER[name]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert found in refusal(path)


WATCH = """
import json, os, resource, sys, time
from segjax.errors import DataError
from segjax.weights import read
folder = sys.argv[1]
os.chdir(folder)
try:
    read("benign.pth")  # what codecs and zipfile import on their first use
    read("page.pth")
except DataError:
    pass
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
seen, watching = [], False
def hook(event, arguments):
    if watching and event not in ("builtins.id", "mmap.__new__", "sys._getframe"):
        seen.append([event, *(str(argument)[:200] for argument in arguments)])
sys.addaudithook(hook)
report = {}
for name in sorted(os.listdir(".")):
    start = time.process_time()
    watching = True
    try:
        read(name)
        said = ""
    except DataError as error:
        said = str(error)
    watching = False
    report[name] = said, time.process_time() - start, [event for event in seen]
    seen.clear()
print(json.dumps([report, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB on Linux alone")
def test_nothing_is_run_imported_or_written_and_all_is_quick_and_small(tmp_path):
    forge.archive(tmp_path / "benign.pth", pickle(tensor()))
    for name, (body, _) in HOSTILE.items():
        for kind, write in FORMATS.items():
            write(tmp_path / f"{kind}_{name}.pth", body)
    for name, (content, _) in OTHER.items():
        (tmp_path / f"{name}.pth").write_bytes(content)
    files = {path.name for path in tmp_path.iterdir()}
    done = subprocess.run([sys.executable, "-c", WATCH, str(tmp_path)], capture_output=True, text=True, check=True)
    report, kib = json.loads(done.stdout)
    assert report.keys() == files == {path.name for path in tmp_path.iterdir()}  # no HARM
    for name, (sentence, seconds, events) in report.items():
        assert bool(sentence) == (name != "benign.pth")
        # It opens the file to read it, and that is all that it does.
        assert [event[:3] for event in events] == [["open", name, "r"]]
        assert seconds < 10, name
    assert kib < 300_000


def test_the_watch_sees_what_torch_would_have_done(tmp_path):
    """The same file does harm where pickles are run: the files are hostile, not merely odd."""
    (tmp_path / "harm.pkl").write_bytes(HOSTILE["reduce_system"][0])
    code = "import pickle, sys; pickle.load(open('harm.pkl', 'rb'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "HARM").exists()


def test_a_pickle_is_data_and_calls_only_the_functions_of_its_table():
    body = b"\x80\x04" + asked("ours", "add") + b"K\x02K\x03\x86R" + b"."
    value, length = read_pickle(
        memoryview(body + b"more"), {("ours", "add"): Function(lambda numbers: sum(numbers))}, lambda key: key
    )
    assert (value, length) == (5, len(body))
    with pytest.raises(Refused, match=NOT_RUN):
        read_pickle(memoryview(body), {("ours", "add"): sum}, lambda key: key)
    with pytest.raises(Refused, match=NOT_RUN):
        read_pickle(memoryview(body), {}, lambda key: key)


def test_persistent_ids_are_asked_and_memos_kept():
    body = b"\x80\x02(" + text("a") + b"Qq\x01h\x01j\x01\x00\x00\x00t."
    assert read_pickle(memoryview(body), {}, str.upper)[0] == ("A", "A", "A")


def test_none_of_it_needs_pythons_pickle():
    folder = Path(__file__).parents[2] / "segjax" / "weights"
    for file in folder.glob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.strip().startswith(("import pickle", "from pickle", "import torch", "from torch")), file
