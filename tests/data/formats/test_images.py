import io
import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from segjax.data.formats import opened
from segjax.data.formats.images import SUFFIXES, extent, read_image
from segjax.data.formats.mask_files import read_mask
from segjax.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 4, (6, 9)).astype(np.uint8)


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, bits, color_type, rows, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png16(pixels, extra=b""):
    """16-bit PNG of grey (h, w), or of 2, 3 or 4 channels."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows, extra)


def tiff16(pixels, orientation):
    """16-bit RGB TIFF whose pixels stand at its end."""
    height, width, _ = pixels.shape
    tags = {256: width, 257: height, 258: 0, 259: 1, 262: 2, 273: 0, 274: orientation, 277: 3, 278: height}
    tags[279] = pixels.nbytes
    start = 8 + 2 + 12 * len(tags) + 4
    tags |= {258: start, 273: start + 6}
    entries = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 3 if tag == 258 else 1, value)
        for tag, value in tags.items()
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + struct.pack("<3H", 16, 16, 16)
    return head + pixels.astype("<u2").tobytes()


def cv_encoded(suffix, pixels):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def turned(pixels, orientation):
    """What EXIF says: which side of the stored image is the top and which the left of the upright one."""
    height, width = pixels.shape[:2]
    place = {
        1: lambda y, x: (y, x),
        2: lambda y, x: (y, width - 1 - x),
        3: lambda y, x: (height - 1 - y, width - 1 - x),
        4: lambda y, x: (height - 1 - y, x),
        5: lambda y, x: (x, y),
        6: lambda y, x: (height - 1 - x, y),
        7: lambda y, x: (height - 1 - x, width - 1 - y),
        8: lambda y, x: (x, width - 1 - y),
    }[orientation]
    size = (width, height) if orientation >= 5 else (height, width)
    return np.array([[pixels[place(y, x)] for x in range(size[1])] for y in range(size[0])])


GREY = RGB[..., 0]
DEEP = RNG.integers(0, 65536, (6, 9, 3)).astype(np.uint16)
PICTURES = {
    "RGB PNG": (encoded(Image.fromarray(RGB), "PNG"), RGB),
    "RGB TIFF": (encoded(Image.fromarray(RGB), "TIFF"), RGB),
    "RGB WebP": (encoded(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
    "RGB BMP": (encoded(Image.fromarray(RGB), "BMP"), RGB),
    "grey": (encoded(Image.fromarray(GREY), "PNG"), np.stack([GREY] * 3, 2)),
    "1 bit": (encoded(Image.fromarray(GREY > 99), "PNG"), np.stack([(GREY > 99) * 255] * 3, 2)),
    "grey, one-frame GIF": (encoded(Image.fromarray(GREY), "GIF"), np.stack([GREY] * 3, 2)),
    "alpha is dropped": (encoded(Image.fromarray(np.dstack([RGB, GREY // 2])), "PNG"), RGB),
    "grey and alpha": (encoded(Image.fromarray(np.dstack([GREY, GREY // 2]), "LA"), "PNG"), np.stack([GREY] * 3, 2)),
    "16-bit RGB": (png16(DEEP), DEEP),
    "16-bit RGB TIFF": (cv_encoded(".tif", DEEP[..., ::-1]), DEEP),
    "16-bit RGBA": (png16(np.dstack([DEEP, DEEP[..., 0]])), DEEP),
    "16-bit RGBA that is clear somewhere": (png16(np.dstack([DEEP, DEEP[..., 0] % 2])), DEEP),
    "16-bit RGB with a clear colour": (png16(DEEP, png_chunk(b"tRNS", DEEP[2, 3].astype(">u2").tobytes())), DEEP),
    "16-bit grey and alpha": (png16(DEEP[..., :2]), np.stack([DEEP[..., 0]] * 3, 2)),
    "16-bit grey": (png16(DEEP[..., 0]), np.stack([DEEP[..., 0]] * 3, 2)),
    "16-bit grey TIFF": (cv_encoded(".tif", DEEP[..., 0]), np.stack([DEEP[..., 0]] * 3, 2)),
    "32-bit whole numbers": (
        encoded(Image.fromarray(GREY.astype(np.int32) * 999 - 7), "TIFF"),
        np.stack([GREY * np.float32(999) - 7] * 3, 2),
    ),
    "float": (
        encoded(Image.fromarray(GREY / np.float32(255)), "TIFF"),
        np.stack([GREY / np.float32(255)] * 3, 2),
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_every_mode_keep_their_depth_and_become_rgb(name):
    data, expected = PICTURES[name]
    image = read_image("x.png", data=data)
    assert image.dtype == (np.uint8 if expected.dtype == np.int64 else expected.dtype)
    np.testing.assert_array_equal(image, expected)
    image[0, 0] = 0  # records are augmented in place


def test_a_hot_pixel_does_not_change_how_the_others_are_read():
    grey = np.full((6, 9), 1800, np.uint16)
    hot = grey.copy()
    hot[0, 0] = 4200
    for data in (encoded(Image.fromarray(grey), "TIFF"), encoded(Image.fromarray(hot), "TIFF"), png16(hot)):
        assert (read_image("x", data=data)[1:] == 1800).all()


def test_palette_pictures_give_their_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 128, 255])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read_image("x", data=encoded(image, "PNG")), [[[255, 0, 0], [0, 128, 255]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transparent = read_image("x", data=encoded(image, "PNG", transparency=b"\x00\x80"))
    np.testing.assert_array_equal(transparent, [[[255, 0, 0], [0, 128, 255]]])


def test_cmyk_jpeg_is_converted():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = read_image("x.jpg", data=encoded(red, "JPEG", quality=95))
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_pictures_and_masks_upright(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    expected = turned(RGB, orientation)
    np.testing.assert_array_equal(read_image("x", data=encoded(Image.fromarray(RGB), "PNG", exif=exif)), expected)
    np.testing.assert_array_equal(
        read_mask("x", data=encoded(Image.fromarray(LABELS), "PNG", exif=exif)), turned(LABELS, orientation)
    )
    tag = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 274, 3, 1, orientation, 0, 0)
    deep = png16(RGB.astype(np.uint16) * 256, png_chunk(b"eXIf", tag))
    np.testing.assert_array_equal(read_image("x", data=deep), expected.astype(np.uint16) * 256)
    tiff = encoded(Image.fromarray(RGB), "TIFF", tiffinfo={274: orientation})
    np.testing.assert_array_equal(read_image("x", data=tiff), expected)


def test_16_bit_tiff_is_turned_once():
    np.testing.assert_array_equal(read_image("x", data=tiff16(DEEP, 6)), turned(DEEP, 6))


def test_tiff_with_overviews_is_one_picture_and_a_stack_is_not():
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::2, ::2])]

    def tiff(subfile_type):
        frames[1].encoderinfo = {"tiffinfo": {254: subfile_type}}
        return encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])

    np.testing.assert_array_equal(read_image("x", data=tiff(1)), RGB)
    with pytest.raises(DataError, match=r"x\.tif holds 2 frames"):
        read_image("x.tif", data=tiff(0))


def packed(labels, bits):
    """Rows of a PNG with several pixels in a byte."""
    rows = b""
    for row in labels:
        digits = "".join(f"{label:0{bits}b}" for label in row)
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    return rows


def palette_mask(format):
    image = Image.new("P", LABELS.shape[::-1])
    image.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata(LABELS.ravel().tolist())
    return encoded(image, format)


MASKS = {
    "grey PNG": encoded(Image.fromarray(LABELS), "PNG"),
    "grey TIFF": encoded(Image.fromarray(LABELS), "TIFF"),
    "grey and alpha": encoded(Image.fromarray(np.dstack([LABELS, LABELS]), "LA"), "PNG"),
    "grey saved as RGB": encoded(Image.fromarray(np.stack([LABELS] * 3, 2)), "PNG"),
    "lossless WebP": encoded(Image.fromarray(LABELS), "WEBP", lossless=True),
    "palette PNG": palette_mask("PNG"),
    "palette TIFF": palette_mask("TIFF"),
    "palette BMP": palette_mask("BMP"),
    "2-bit grey PNG": png(9, 6, 2, 0, packed(LABELS, 2)),
    "4-bit grey PNG": png(9, 6, 4, 0, packed(LABELS, 4)),
    "16-bit PNG": png16(LABELS.astype(np.uint16)),
    "16-bit TIFF": cv_encoded(".tif", LABELS.astype(np.uint16)),
    "32-bit TIFF": encoded(Image.fromarray(LABELS.astype(np.int32)), "TIFF"),
    "float TIFF": encoded(Image.fromarray(LABELS.astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_every_mode_give_their_labels(name):
    mask = read_mask("x.png", data=MASKS[name])
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, LABELS)


def test_one_bit_masks_have_labels_0_and_1():
    np.testing.assert_array_equal(
        read_mask("x", data=encoded(Image.fromarray(LABELS > 1), "PNG")), (LABELS > 1).astype(np.uint8)
    )


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_mask_is_what_is_stored_where_white_is_0(bits):
    """As ImageJ saves masks with its inverted table of colours: 255 is the object."""
    stored = (LABELS % 4)[..., None].astype(np.uint16 if bits == 16 else np.uint8)
    mask = read_mask("x.tif", data=tiff_file(stored, photometric=0, bits=bits))
    np.testing.assert_array_equal(mask, stored[..., 0])


def test_white_of_16_bits_is_255():
    mask = np.where(LABELS > 1, 65535, 0).astype(np.uint16)
    np.testing.assert_array_equal(read_mask("x", data=png16(mask)), np.where(LABELS > 1, 255, 0))


def test_coloured_masks_go_through_the_table():
    colours = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2, (0, 0, 255): 3, (255, 255, 255): 255}
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    numbers = RNG.integers(0, 5, (7, 5))
    expected = np.where(numbers == 4, 255, numbers)
    for pixels in (table[numbers], np.dstack([table[numbers], np.full((7, 5), 9, np.uint8)])):
        mask = read_mask("x", colours=colours, data=encoded(Image.fromarray(pixels), "PNG"))
        np.testing.assert_array_equal(mask, expected)


def test_levels_give_grey_values_another_class():
    levels = np.arange(256, dtype=np.uint8)
    levels[[0, 1, 2, 3]] = [255, 0, 1, 2]
    np.testing.assert_array_equal(
        read_mask("x", levels=levels, data=MASKS["palette PNG"]), np.where(LABELS == 0, 255, LABELS - 1.0)
    )


COLOURED = encoded(Image.fromarray(RGB), "PNG")
LARGE = np.tile(RGB, (9, 9, 1))


def half(data):
    return data[: len(data) // 2]


ANIMATED = encoded(Image.fromarray(GREY), "GIF", save_all=True, append_images=[Image.fromarray(GREY.T)])
BAD_IMAGES = {
    "text": (b"this is no image at all", r"is no image, or damaged \(it starts with b'this is no i'\)"),
    "truncated PNG": (half(encoded(Image.fromarray(LARGE), "PNG")), "is damaged or cut short"),
    "truncated JPEG": (half(encoded(Image.fromarray(LARGE), "JPEG")), "is damaged or cut short"),
    "truncated WebP": (half(encoded(Image.fromarray(LARGE), "WEBP")), "damaged"),
    "truncated TIFF": (half(encoded(Image.fromarray(LARGE), "TIFF")), "is damaged or cut short"),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "is no image, or damaged"),
    "TIFF without its directory": (half(cv_encoded(".tif", LARGE.astype(np.uint16))), "is no image, or damaged"),
    "truncated 16-bit TIFF": (half(tiff16(LARGE.astype(np.uint16) * 99, 1)), "is damaged or cut short"),
    "truncated 16-bit": (half(png16(LARGE.astype(np.uint16) * 99)), "is damaged or cut short"),
    "header bomb": (png(60000, 60000, 8, 2, b""), "has 3600 megapixels, over the limit of 400: cut it up"),
    "header bomb, 1 bit": (png(60000, 60000, 1, 0, b""), "has 3600 megapixels"),
    "animated GIF": (ANIMATED, r"holds 2 frames \(animation or stack\)"),
    "over 24 bits": (encoded(Image.fromarray(GREY.astype(np.int32) * 99999), "TIFF"), "more than float32 tells apart"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image, or damaged"),
}
BAD_MASKS = {
    "beyond 16 bits": (encoded(Image.fromarray(LABELS.astype(np.int32) * 99999), "TIFF"), {}, "the first (99|199)99"),
    "coloured without table": (COLOURED, {}, r"is a coloured mask \(\d+ colours: #.*classes.txt"),
    "colour not in table": (COLOURED, {(1, 2, 3): 0}, r"has 54 pixels of colours .* the first #\w{6} at x=0, y=0"),
    "label 300": (png16(LABELS.astype(np.uint16) * 100), {}, "whose value is no class number, the first [23]00 at"),
    "fractions": (encoded(Image.fromarray(LABELS / np.float32(2)), "TIFF"), {}, "no class number, the first [01].5 at"),
    "negative": (encoded(Image.fromarray(LABELS.astype(np.int32) - 1), "TIFF"), {}, "no class number, the first -1 at"),
    "not a number": (encoded(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "TIFF"), {}, "the first nan at"),
}


@pytest.mark.parametrize("greatest", [4, 255, 999, 65535])
def test_labels_of_a_pgm_are_not_stretched_to_white(greatest, tmp_path):
    labels = np.arange(12).reshape(3, 4) % 5 * (greatest // 4 if greatest > 255 else 1)
    (tmp_path / "a.pgm").write_bytes(
        b"P5 4 3 %d\n" % greatest + labels.astype(">u2" if greatest > 255 else np.uint8).tobytes()
    )
    np.testing.assert_array_equal(read_mask(tmp_path / "a.pgm", num_classes=65535), labels)
    (tmp_path / "b.pgm").write_text(f"P2 4 3 {greatest}\n" + " ".join(map(str, labels.ravel())))
    np.testing.assert_array_equal(read_mask(tmp_path / "b.pgm", num_classes=65535), labels)


@pytest.mark.parametrize("alpha", [False, True])
def test_a_grey_mask_that_was_saved_in_colours_of_16_bits_keeps_its_numbers(alpha, tmp_path):
    labels = (np.arange(12).reshape(3, 4) * 100).astype(np.uint16)
    pixels = np.dstack([labels] * 3 + [np.full_like(labels, 65535)] * alpha)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", num_classes=2000), labels)
    pixels[0, 0, 0] = 7
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with pytest.raises(DataError, match="is a coloured mask of 16 bits: save it in colours of 8 bits, or the classes"):
        read_mask(tmp_path / "a.png", num_classes=2000)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_pictures_get_one_sentence(name, tmp_path):
    data, sentence = BAD_IMAGES[name]
    path = tmp_path / "bad one.png"
    path.write_bytes(data)
    for read in (read_image, read_mask):
        if name == "over 24 bits" and read is read_mask:
            continue  # masks of such values have sentences of their own
        with pytest.raises(DataError, match=sentence) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_masks_get_one_sentence(name):
    data, colours, sentence = BAD_MASKS[name]
    with pytest.raises(DataError, match=sentence):
        read_mask("mask.png", colours=colours, data=data)


@pytest.mark.filterwarnings("ignore")
def test_any_damage_gives_an_array_or_one_sentence(monkeypatch):
    monkeypatch.setattr(opened, "MAX_PIXELS", 10_000)  # damage to a header asks for images that take seconds
    rng = np.random.default_rng(0)
    files = [data for data, _ in PICTURES.values()] + list(MASKS.values()) + [tiff16(LARGE.astype(np.uint16), 3)]
    sentences = []
    for _ in range(300):
        damaged = bytearray(files[rng.integers(len(files))])
        for _ in range(rng.integers(1, 8)):
            damaged[rng.integers(min(len(damaged), 200))] = rng.integers(256)
        for read, dimensions in ((read_image, 3), (read_mask, 2)):
            try:
                assert read("some file", data=bytes(damaged)).ndim == dimensions
            except DataError as error:
                sentences.append(str(error))
    assert 300 < len(sentences) < 600
    assert all(re.fullmatch(r"some file .*\.", sentence) for sentence in sentences)


def test_files_that_cannot_be_opened_get_one_sentence(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, sentence in {
        "empty": r"is empty \(0 bytes\)",
        "loop": "Too many levels of symbolic links",
        "nowhere": "is not there",
        "missing": "is not there",
        "folder": "is not a regular file",
        "pipe": "is not a regular file",
    }.items():
        with pytest.raises(DataError, match=f"{name}.png.*{sentence}"):
            read_image(tmp_path / f"{name}.png")


def test_permission_is_asked_for(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(MASKS["grey PNG"])
    path.chmod(0)
    tmp_path.chmod(0o755)
    # Root may read everything, so another user tries.
    code = """
import os, sys
from segjax.data.formats.images import read_image
from segjax.errors import DataError
if os.getuid() == 0:
    os.chdir(sys.argv[1])
    os.setgroups([])
    os.setuid(65534)
try:
    read_image(sys.argv[2])
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "secret.png" if os.getuid() == 0 else str(path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip().endswith("secret.png may not be read by this user: give permission with `chmod u+r`.")
    assert done.stderr == ""


def test_names_that_are_no_text_are_shown_with_escapes():
    with pytest.raises(DataError, match=r"a\\udcff\.png is not there") as caught:
        read_image(os.fsdecode(b"a\xff.png"))
    str(caught.value).encode()


def test_a_large_header_takes_no_memory():
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(DataError, match="megapixels"):
        read_image("x", data=png(60000, 60000, 8, 2, b""))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_large_tiles_of_a_small_tiff_take_no_memory(monkeypatch: pytest.MonkeyPatch):
    data = tiff_file(RGB, tile=(16, 16), compression=8, photometric=2)
    assert extent("x", data=data) == (256, 768)
    monkeypatch.setattr(opened, "MAX_PIXELS", 200)
    with pytest.raises(DataError, match="megapixels"):
        read_image("x", data=data)


def test_the_extent_of_a_file_is_known_by_its_header():
    assert extent("x", data=png(60, 50, 8, 2, b"")) == (3000, 9000)
    assert extent("x", data=encoded(Image.new("L", (9, 6)), "JPEG")) == (54, 54)
    with pytest.raises(DataError, match="is no image, or damaged"):
        extent("x", data=b"<svg/>")


def test_suffixes_are_lower_case():
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)
