"""Images and masks in NumPy's files."""

import io
import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from segjax.data.formats.images import extent, read_image
from segjax.data.formats.mask_files import read_mask
from segjax.errors import DataError

RNG = np.random.default_rng(0)


def npy(array, **how) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_are_read_as_they_are(dtype: type):
    array = (RNG.random((20, 30, 13)) * 200).astype(dtype)
    for data in (npy(array), npy(np.asfortranarray(array)), npz(any=array), npz(image=array, other=array[..., :2])):
        found = read_image("x.npy", data=data)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array)
        assert found.flags.c_contiguous
    np.testing.assert_array_equal(read_image("x.npy", data=npy(array[..., 0])), np.stack([array[..., 0]] * 3, 2))
    np.testing.assert_array_equal(read_image("x.npy", data=npy(array), bands=(13, 1)), array[..., [12, 0]])


def test_masks_too():
    labels = RNG.integers(0, 4, (20, 30))
    for array in (labels, labels.astype(np.uint16), labels[..., None], labels.astype(np.float64)):
        np.testing.assert_array_equal(read_mask("x.npy", data=npy(array)), labels)
    np.testing.assert_array_equal(read_mask("x.npy", data=npy(labels > 1)), labels > 1)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was run",)


BAD = {
    "objects": (npy(np.zeros((2, 2), object)), "Python's objects, which reading could run"),
    "several": (npz(a=np.zeros((2, 2)), b=np.zeros((2, 2))), r"holds 2 arrays \(a, b\): save one"),
    "bands first": (npy(np.zeros((13, 40, 50), np.uint16)), r"shape \(13, 40, 50\), whose bands seem to come first"),
    "four axes": (npy(np.zeros((2, 9, 9, 3))), r"an array of shape \(2, 9, 9, 3\)"),
    "complex": (npy(np.zeros((9, 9), complex)), "an array of complex128: save numbers"),
    "text": (npy(np.array([["a"]])), "an array of <U1: save numbers"),
    "cut short": (npy(np.zeros((9, 9)))[:-9], "is damaged or cut short"),
    "no archive": (b"PK\x03\x04 and nothing", "is damaged or cut short"),
    "a pickle": (pickle.dumps(Trap()), "is no image, or damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_gets_one_sentence(name: str):
    data, sentence = BAD[name]
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=sentence):
            read("x.npy", data=data)


def test_objects_are_not_run():
    header = npy(np.zeros((1, 1), object), allow_pickle=True)
    data = header[: header.index(b"\n") + 1] + pickle.dumps([Trap()])
    with pytest.raises(DataError, match="Python's objects"):
        read_image("x.npy", data=data)


def unpacked(header: bytes, zeros: int) -> bytes:
    """An archive of an array that begins like this."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", header + bytes(zeros))
    return file.getvalue()


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """Fails where more bytes of memory are taken."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most


def test_an_archive_is_unpacked_only_as_far_as_its_header_says():
    data = unpacked(npy(np.ones((4, 5, 3), np.uint8)), 10**7)
    assert extent("x.npz", data=data) == (20, 60)
    with at_most(10**6):
        assert read_image("x.npz", data=data).shape == (4, 5, 3)


def test_nor_is_a_header_as_long_as_it_says():
    data = unpacked(b"\x93NUMPY\x02\x00" + (10**7).to_bytes(4, "little"), 10**7)
    for read in (extent, read_image, read_mask):
        with at_most(10**6), pytest.raises(DataError, match=r"cut short \(its header has 10000000 bytes\)"):
            read("x.npz", data=data)
