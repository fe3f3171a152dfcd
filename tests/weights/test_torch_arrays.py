import gc
import io
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from saving import FORMATS, bits, torch_bits

from segjax.weights import torch_file

torch = pytest.importorskip("torch")

DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32"),
    *("uint64", "bool", "complex64", "complex128", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2"),
    *("float8_e5m2fnuz", "float8_e8m0fnu"),
)


@FORMATS
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_is_read_bit_for_bit(saved, zipped: bool, name: str):
    dtype = getattr(torch, name)
    numbers = torch.arange(24).remainder(2 if name == "bool" else 7).to(dtype).reshape(2, 3, 4)
    array = torch_file.read(saved({"a": numbers}, zipped))["a"]
    assert array.dtype == np.dtype(getattr(ml_dtypes, name, None) or name)
    assert array.shape == (2, 3, 4)
    assert bits(array) == torch_bits(numbers)
    assert not array.flags.writeable


@FORMATS
def test_views_are_views_and_share_their_numbers(saved, zipped: bool):
    base = torch.arange(60.0).reshape(3, 4, 5)
    views = {
        "base": base,
        "transposed": base.transpose(0, 2),
        "part": base[1:, ::2, 3],
        "channels_last": base[None].to(memory_format=torch.channels_last),
        "expanded": base[0, 0, :1].expand(7, 5),
        "diagonal": base.diagonal(dim1=0, dim2=1),
        "scalar": base[2, 3, 4],
        "empty": base[:, :0],
        "never": torch.zeros(0),
    }
    read = torch_file.read(saved(views, zipped))
    for name, view in views.items():
        np.testing.assert_array_equal(read[name], view.numpy())
        assert read[name].shape == tuple(view.shape)
    assert np.shares_memory(read["base"], read["part"])
    assert np.shares_memory(read["base"], read["scalar"])
    assert read["expanded"].strides == (0, 0)


def test_conjugates_and_negatives(saved):
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    # One by one: torch writes no numbers that are of two types.
    assert torch_file.read(saved([numbers.conj()]))[0].tolist() == [1 - 2j, 3 + 4j]
    assert torch_file.read(saved([numbers.conj().imag]))[0].tolist() == [-2, 4]
    assert torch_file.read(saved([numbers.imag]))[0].tolist() == [2, -4]


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int64", "complex64", "bool", "uint8"])
def test_a_file_of_a_big_endian_machine(tmp_path, name: str):
    numbers = torch.arange(6).remainder(2 if name == "bool" else 7).to(getattr(torch, name))
    buffer = io.BytesIO()
    torch.save({"a": numbers, "b": numbers[2:4]}, buffer)
    path = tmp_path / "big.pt"
    with zipfile.ZipFile(buffer) as little, zipfile.ZipFile(path, "w") as big:
        for member in little.namelist():
            content = little.read(member)
            if member.endswith("byteorder"):
                content = b"big"
            if "/data/" in member:
                unit = numbers.element_size() // (2 if numbers.is_complex() else 1)
                content = np.frombuffer(content, f"u{unit}").byteswap().tobytes()
            big.writestr(member, content)
    read = torch_file.read(path)
    assert bits(read["a"]) == torch_bits(numbers)
    assert bits(read["b"]) == torch_bits(numbers[2:4])
    if name != "bool":
        assert np.shares_memory(read["a"], read["b"])


@FORMATS
def test_a_large_file_is_only_mapped(saved, zipped: bool):
    resource = pytest.importorskip("resource")
    path = saved({f"w{i}": torch.full((1 << 20,), float(i)) for i in range(50)}, zipped)  # 200 MB
    gc.collect()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    before = resident()
    read = torch_file.read(path)
    assert resident() - before < 10 << 20
    assert float(read["w49"][-1]) == 49
    assert resident() - before < 10 << 20


def test_arrays_go_into_jax_and_outlive_the_reader(saved):
    jnp = pytest.importorskip("jax.numpy")
    numbers = torch.arange(12.0).reshape(3, 4)
    for zipped in (True, False):  # in a stream numbers lie at odd bytes
        array = torch_file.read(saved({"a": numbers.t()}, zipped))["a"]
        gc.collect()
        np.testing.assert_array_equal(jnp.asarray(array), numbers.t().numpy())
