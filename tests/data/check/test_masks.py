import io
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tiff_files import tiff_file

from segjax.data import folder
from segjax.data.check.masks import check_masks as check
from segjax.data.check.report import print_report
from segjax.data.checked import checked
from segjax.errors import DataError


def errors(report):
    return [problem.sentence for problem in report.errors]


def warnings(report):
    return [problem.sentence for problem in report.problems if problem.severity == "warning"]


def change(path, make):
    """Write what `make` makes of an image's pixels in its place."""
    Image.fromarray(make(np.asarray(Image.open(path)))).save(path)


def test_a_good_folder_has_no_problems_and_exact_counts(make_folder):
    root = make_folder("abcdefgh")
    report = check(root)
    assert report.problems == ()
    assert (len(report.train), len(report.val), len(report.test), report.splits.by_hash) == (5, 1, 2, True)
    assert "1 and 2 of 8 do, chosen by a hash" in report.notes[0]
    for split in (report.train, report.val, report.test):
        masks = np.concatenate([np.asarray(Image.open(one.pair.mask)).ravel() for one in split])
        expected = np.bincount(masks, minlength=3) / masks.size
        np.testing.assert_allclose(report.frequencies(split), expected, rtol=1e-12)
        for one in split:
            pixels = np.asarray(Image.open(one.pair.image)) / 255
            np.testing.assert_allclose(one.mean, pixels.mean((0, 1)), rtol=1e-9)
            np.testing.assert_allclose(one.std, pixels.std((0, 1)), rtol=1e-9)
            assert one.size == pixels.shape[:2]


def test_checking_writes_nothing(make_folder):
    root = make_folder()
    before = sorted(root.rglob("*"))
    check(root)
    assert sorted(root.rglob("*")) == before


def test_any_number_of_threads_reports_the_same(make_folder, save):
    root = make_folder([f"{i}" for i in range(30)])
    save(root / "images" / "7.png", b"no image")
    one, four = (check(root, workers=workers).to_json() for workers in (1, 4))
    assert one | {"seconds": 0} == four | {"seconds": 0}


# What is done to a good folder of a..e with labels 0 to 2, and what is said then.
def bad(root, save, name):
    image, mask = root / "images" / "b.png", root / "masks" / "b.png"
    data = image.read_bytes()
    header = data[:16] + (60000).to_bytes(4, "big") * 2 + data[24:29]
    bomb = header + zlib.crc32(header[12:29]).to_bytes(4, "big") + data[33:]
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (0, 9)]
    {
        "empty file": lambda: image.write_bytes(b""),
        "truncated image": lambda: image.write_bytes(data[: len(data) // 2]),
        "truncated mask": lambda: mask.write_bytes(mask.read_bytes()[:-30]),
        "text named .png": lambda: image.write_text("Dear reader"),
        "header bomb": lambda: image.write_bytes(bomb),
        "animation": lambda: frames[0].save(image, "GIF", save_all=True, append_images=frames[1:]),
        "stack": lambda: frames[0].save(image, "TIFF", save_all=True, append_images=frames[1:]),
        "link to itself": lambda: (image.unlink(), image.symlink_to("b.png")),
        "link to nothing": lambda: (mask.unlink(), mask.symlink_to("gone")),
        "folder named .png": lambda: (mask.unlink(), os.mkfifo(mask)),
        "other size": lambda: change(mask, lambda pixels: pixels[:-1]),
        "label 200 of 3": lambda: (change(mask, lambda pixels: np.where(pixels == 2, 200, pixels).astype(np.uint8)),
                                   save(root / "classes.txt", "a\nb\nc\n")),
        "label 3 of 3": lambda: (change(mask, lambda pixels: pixels + np.uint8(1)),
                                 save(root / "classes.txt", "a\nb\nc\n")),
        "labels with gaps": lambda: [change(m, lambda pixels: pixels * np.uint8(90))
                                     for m in (root / "masks").iterdir()],
        "one class": lambda: [change(m, lambda pixels: pixels * np.uint8(0)) for m in (root / "masks").iterdir()],
        "all ignored": lambda: [change(m, lambda pixels: pixels | np.uint8(255)) for m in (root / "masks").iterdir()],
        "coloured mask": lambda: save(mask, np.asarray(Image.open(image))),
        "colour not listed": lambda: (save(mask, np.asarray(Image.open(image))),
                                      save(root / "classes.txt", "a #010203\nb #040506\nc\n")),
        "missing mask": lambda: mask.unlink(),
        "missing image": lambda: image.unlink(),
        "same stem": lambda: save(root / "images" / "b.jpg", np.zeros((9, 9), np.uint8)),
        "leak": lambda: (Image.open(root / "images" / "a.png").save(root / "images" / "e.png"),
                         save(root / "splits" / "train.txt", "a\nb\nc\nd\n"),
                         save(root / "splits" / "test.txt", "e\n")),
        "name nobody sees": lambda: save(root / "classes.txt", "a\nb\x07\nc\n"),
        "bad class list": lambda: save(root / "classes.txt", "a\nb\nb\n"),
        "no masks folder": lambda: (root / "masks").rename(root / "other"),
        "no such folder": lambda: root.rename(root.parent / "elsewhere"),
        "float": lambda: (image.unlink(), Image.fromarray(np.ones((9, 9), np.float32)).save(image, "TIFF")),
    }[name]()  # fmt: skip


BAD = {
    "empty file": r"images/b\.png is empty \(0 bytes\): copy",
    "truncated image": r"images/b\.png is damaged or cut short",
    "truncated mask": r"masks/b\.png is damaged or cut short",
    "text named .png": r"images/b\.png is no image, or damaged \(it starts with b'Dear reader'\): save",
    "header bomb": r"images/b\.png has 3600 megapixels, over the limit of 400",
    "animation": r"images/b\.png holds 2 frames",
    "stack": r"images/b\.png holds 2 frames",
    "link to itself": r"images/b\.png cannot be opened \(Too many levels of symbolic links\)",
    "link to nothing": r"masks/b\.png is not there: .* the link that leads nowhere",
    "folder named .png": r"masks/b\.png is not a regular file",
    "other size": r"masks/b\.png is 20x17 pixels and its image .*images/b\.png 20x18: they must be the same size",
    "label 200 of 3": r"masks/b\.png has \d+ pixels of label 200, but there are 3 classes \(0 to 2\)",
    "label 3 of 3": r"masks/b\.png has \d+ pixels of label 3, but there are 3 classes",
    "labels with gaps": r"set has masks with the values 0, 90, 180 and few between: say in classes\.txt",
    "one class": "set has masks of a single class: there is nothing to tell apart",
    "all ignored": "set has masks of a single class",
    "coloured mask": r"masks/b\.png is a coloured mask \(\d+ colours: .*list the classes in classes\.txt",
    "colour not listed": r"masks/b\.png has 360 pixels of colours that classes\.txt does not list, the first #\w{6} at",
    "missing mask": r"images/b\.png has no mask in masks/",
    "missing image": r"masks/b\.png has no image of its name",
    "same stem": r"images/b\.png has the same name as b\.jpg: keep one",
    "leak": r"images/e\.png is for testing and is the same image as .*a\.png, which is for training",
    "name nobody sees": r"set has a class called 'b\\x07': write a name of letters that can be seen",
    "bad class list": r"classes\.txt has the class 'b' twice",
    "no masks folder": "set has images/ but no masks/",
    "no such folder": "set is not there",
    "float": r"images/b\.png has float32 where the images of the set have uint8: save it as they are",
}


@pytest.mark.parametrize("name", BAD)
def test_every_problem_gets_its_sentence(make_folder, save, name):
    root = make_folder()
    bad(root, save, name)
    report = check(root)
    listed = [sentence for sentence in errors(report) if re.search(BAD[name], sentence)]
    assert len(listed) == 1, errors(report)
    assert listed[0].endswith(".")
    assert "\n" not in listed[0]


def test_all_problems_are_listed_at_once(make_folder, save):
    root = make_folder("abcdefgh")
    save(root / "images" / "a.png", b"")
    save(root / "images" / "b.png", b"text")
    save(root / "masks" / "b.png", b"text")
    (root / "masks" / "c.png").unlink()
    (root / "images" / "d.png").unlink()
    change(root / "masks" / "e.png", lambda pixels: pixels[:, 1:])
    change(root / "masks" / "f.png", lambda pixels: np.where(pixels == 0, 77, pixels).astype(np.uint8))
    save(root / "classes.txt", "a\nb\nc\n")
    report = check(root)
    assert [(problem.kind, Path(problem.file).name) for problem in report.errors] == [
        ("missing image", "d.png"),
        ("missing mask", "c.png"),
        ("unreadable", "a.png"),
        ("size", "e.png"),
        ("unreadable", "b.png"),  # which validates, and is read later
        ("unreadable", "b.png"),
        ("label", "f.png"),
    ]
    facts = json.loads(json.dumps(report.to_json()))
    assert facts["errors"] == 7
    assert [problem["sentence"] for problem in facts["problems"]] == [problem.sentence for problem in report.problems]


def test_doubtful_things_are_warnings(make_folder, save):
    root = make_folder("abcdefgh")
    save(root / "splits" / "train.txt", "a\nb\nc\nd\ne\n")
    save(root / "splits" / "val.txt", "f\n")
    save(root / "splits" / "test.txt", "g\nh\n")
    save(root / "images" / "a.png", np.zeros((1, 1, 3), np.uint8))
    save(root / "masks" / "a.png", np.zeros((1, 1), np.uint8))
    change(root / "masks" / "b.png", lambda pixels: np.full_like(pixels, 255))
    Image.open(root / "images" / "c.png").save(root / "images" / "e.bmp")
    (root / "images" / "e.png").unlink()
    (root / "masks" / "g.png").unlink()
    save(root / "masks" / "g.jpg", np.zeros(np.asarray(Image.open(root / "images" / "g.png")).shape[:2], np.uint8))
    save(root / "classes.txt", "a\nb\nc\nrare\n")
    report = check(root)
    assert errors(report) == []
    for sentence in (
        "images/a.png is only 1x1 pixels: is it right?",
        "masks/b.png has 255 in every pixel: nothing of it trains or scores.",
        "images/e.bmp is the same image as",
        "masks/g.jpg is a JPEG, whose compression changes labels near edges: save masks as PNG.",
        "has class 3 ('rare') in no training and no validation and no test mask.",
    ):
        assert sum(sentence in warning for warning in warnings(report)) == 1, sentence
    assert len(warnings(report)) == 5


def test_tiles_of_one_colour_may_be_equal(make_folder, save):
    root = make_folder()
    for name in "abcde":
        change(root / "images" / f"{name}.png", lambda pixels: pixels * np.uint8(0))
    assert check(root).problems == ()


def test_white_is_foreground_where_masks_are_black_and_white(make_folder, save):
    root = make_folder()
    for mask in (root / "masks").iterdir():
        change(mask, lambda pixels: np.where(pixels == 1, 255, 0).astype(np.uint8))
    for names in (None, "soil\nroot\n"):
        if names:
            save(root / "classes.txt", names)
        report = check(root)
        assert report.notes[0] == (
            "The masks hold only 0 and 255: 255 is taken for class 1 and not for pixels to ignore."
        )
        assert report.classes.names == (("soil", "root") if names else ("background", "foreground"))
        assert errors(report) == []
        total = np.sum([one.counts.dense(256) for one in report.train + report.val + report.test], axis=0)
        expected = sum((np.asarray(Image.open(mask)) == 255).sum() for mask in (root / "masks").iterdir())
        assert (total[1], total[255]) == (expected, 0)


def test_masks_of_0_and_255_among_masks_of_0_and_1_are_doubtful(make_folder):
    root = make_folder()
    for number, mask in enumerate(sorted((root / "masks").iterdir())):
        change(mask, lambda pixels, white=255 if number == 1 else 1: np.where(pixels == 1, white, 0).astype(np.uint8))
    assert any("has 1 mask of 0 and 255 alone, such as" in one and "b.png" in one for one in warnings(check(root)))
    change(root / "masks" / "c.png", lambda pixels: np.where(np.arange(pixels.shape[1]) == 0, 255, pixels))
    assert not any("0 and 255 alone" in one for one in warnings(check(root)))  # 255 is known to be ignored


def test_soft_edges_of_black_and_white_masks_are_cut_in_the_middle_and_named_once(make_folder, save):
    root = make_folder()
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 30:] = 255
    mask[:, 28:32] = (20, 100, 140, 240)
    for path in (root / "masks").iterdir():
        save(path, np.random.default_rng(len(path.name)).permutation(mask, axis=0))
        size = np.random.default_rng(hash(path.name) % 2**32).integers(0, 256, (64, 64, 3))
        save(root / "images" / path.name, size.astype(np.uint8))
    report = check(root)
    assert errors(report) == []
    (said,) = [sentence for sentence in warnings(report) if "128 and above is taken for class 1" in sentence]
    assert "with other values in 6.2% of the pixels" in said
    one = report.train[0]
    assert one.counts.dense(2).tolist() == [64 * 30, 64 * 34]


def test_black_and_white_is_ignored_where_three_classes_are_named(make_folder, save):
    root = make_folder()
    for mask in (root / "masks").iterdir():
        change(mask, lambda pixels: np.where(pixels == 1, 255, 0).astype(np.uint8))
    save(root / "classes.txt", "a\nb\nc\n")
    report = check(root)
    assert report.levels is None
    assert "has masks of a single class" in errors(report)[0]


def test_grey_levels_may_be_listed_as_colours(make_folder, save):
    root = make_folder()
    for mask in (root / "masks").iterdir():
        change(mask, lambda pixels: pixels * np.uint8(120))
    save(root / "classes.txt", "a 240 240 240\nb 0 0 0\nignore 120 120 120\n")
    report = check(root)
    assert errors(report) == []
    total = np.sum([one.counts.dense(256) for one in report.train + report.val + report.test], axis=0)
    raw = np.concatenate([np.asarray(Image.open(mask)).ravel() for mask in (root / "masks").iterdir()])
    assert total[[0, 1, 255]].tolist() == [(raw == 240).sum(), (raw == 0).sum(), (raw == 120).sum()]


def test_a_palette_in_another_order_than_the_classes_is_named(make_folder, save):
    """As programs make a palette for each file, of the colours that it has."""
    root = make_folder()
    save(root / "classes.txt", "soil #000000\nroot #ff0000\nstone #00ff00\nignore #ffffff\n")
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], *[[255] * 3] * 253], np.uint8)
    for mask in (root / "masks").iterdir():
        palette = Image.fromarray(np.minimum(np.asarray(Image.open(mask)), 2))
        palette.putpalette(table.tobytes())
        palette.save(mask)
    assert errors(check(root)) == []
    mask = Image.open(root / "masks" / "b.png")
    Image.fromarray(table[np.asarray(mask)]).quantize(3).save(root / "masks" / "b.png")
    assert not (np.asarray(Image.open(root / "masks" / "b.png")) == np.asarray(mask)).all()
    (sentence,) = errors(check(root))
    assert re.search(r"b\.png has a palette that draws number \d in #[0f]{6}, which classes\.txt gives to", sentence)


def test_numbers_that_pillow_does_not_know_have_no_palette(make_folder, save):
    root = make_folder("abcdefgh")
    save(root / "classes.txt", "soil #000000\nroot #ff0000\nstone #00ff00\n")
    for path in sorted((root / "masks").iterdir()):
        labels = np.asarray(Image.open(path))[..., None]
        path.unlink()
        kinds = {
            "a": tiff_file(labels.astype("f8")),
            "b": tiff_file(labels, bits=3),
            "c": tiff_file(labels, order=">", big=True),
        }
        save(path.with_suffix(".tif"), kinds.get(path.stem, kinds["a"]))
    assert check(root).problems == ()


def test_masks_that_are_saved_grey_and_in_colours_are_read_alike(make_folder, save):
    root = make_folder()
    raw = {}
    for number, mask in enumerate(sorted((root / "masks").iterdir())):
        raw[mask.stem] = np.asarray(Image.open(mask)) > 0
        Image.fromarray(raw[mask.stem].astype(np.uint8) * 255).convert("RGB" if number % 2 else "L").save(mask)
    save(root / "classes.txt", "building #ffffff\nbackground #000000\n")
    for split in ("train", "val", "test"):
        source = folder(root).open(split)
        for index in range(len(source)):
            np.testing.assert_array_equal(source[index]["mask"], np.where(raw[checked(source).name_of(index)], 0, 1))


def test_coloured_masks_are_counted_by_class(make_folder, save):
    root = make_folder()
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    raw = [np.asarray(Image.open(mask)) for mask in sorted((root / "masks").iterdir())]
    for mask in (root / "masks").iterdir():
        change(mask, lambda pixels: table[pixels])
    save(root / "classes.txt", "red #ff0000\ngreen #00ff00\nignore #000000\n")
    report = check(root)
    assert errors(report) == []
    total = np.sum([one.counts.dense(256) for one in report.train + report.val + report.test], axis=0)
    counts = np.bincount(np.concatenate([one.ravel() for one in raw]))
    assert total[[255, 0, 1]].tolist() == counts.tolist()


def test_what_a_user_may_not_read_is_listed(make_folder):
    root = make_folder()
    (root / "images" / "a.png").chmod(0)
    (root / "masks" / "hidden").mkdir()
    (root / "masks" / "hidden").chmod(0)
    for above in (root.parent, *root.parents[1:3]):
        above.chmod(0o755)
    # Root may read everything, so another user checks.
    code = """
import os, sys
from segjax.data.check.masks import check_masks as check
if os.getuid() == 0:
    os.chdir(sys.argv[1])
    os.setgroups([])
    os.setuid(65534)
for problem in check("set", workers=1).errors:
    print(problem.sentence)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root.parent)], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.splitlines() == [
        "set/masks/hidden cannot be listed (Permission denied): give permission with `chmod u+rx`.",
        "set/images/a.png may not be read by this user: give permission with `chmod u+r`.",
    ], done.stderr


def test_the_report_is_printed_with_names_as_they_are(make_folder, save):
    root = make_folder(["[red]x[/red]", "日本", "c", "d"])
    save(root / "images" / "[red]x[/red].png", b"")
    report = check(root)
    console = Console(width=60, record=True, file=io.StringIO())
    print_report(report, console)
    text = console.export_text()
    assert "images/[red]x[/red].png is empty (0 bytes): copy or save it again." in text
    assert "segjax layout, 2 pairs to train, 1 to validate and 1 to test" in text
    assert "1 error, 0 warnings" in text
    assert "They have 3 bands of uint8" in text
    for path in (root / "images").rglob("*.png"):
        path.write_bytes(b"")
    print_report(check(root), console)
    assert "Images are" not in (text := console.export_text())  # of no size that is known
    assert "They have" not in text


def test_many_problems_of_a_kind_are_counted(make_folder, save):
    root = make_folder([f"{i:02}" for i in range(30)])
    for image in (root / "images").iterdir():
        image.write_bytes(b"")
    console = Console(width=60, record=True, file=io.StringIO())
    print_report(check(root), console)
    text = console.export_text()
    assert text.count("is empty (0 bytes)") == 20
    assert "... and 10 more of the kind 'unreadable'" in text


def test_examples_are_drawn_of_what_can_be_read(make_folder, save, tmp_path):
    root = make_folder(["日本 $x$ [b]", *"bcdefgh"])
    save(root / "images" / "b.png", b"")
    change(root / "masks" / "c.png", lambda pixels: pixels[1:])
    check(root, picture=tmp_path / "check.png")
    assert np.asarray(Image.open(tmp_path / "check.png")).std() > 20
    for image in (root / "images").iterdir():
        image.write_bytes(b"")
    check(root, picture=tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_examples_are_drawn_of_images_that_are_as_most_are(make_folder, save, tmp_path):
    root = make_folder("abcdefghijklmnop")
    for number, name in enumerate("bdfhj"):
        image = root / "images" / f"{name}.png"
        pixels = np.array(Image.open(image))
        image.unlink()
        deep = tiff_file(pixels.astype(np.uint16) * 257) if number % 2 else tiff_file(np.dstack([pixels, pixels]))
        save(image.with_suffix(".tif"), deep)
    report = check(root, picture=tmp_path / "check.png")
    assert [problem.kind for problem in report.errors] == ["bands"] * 5
    assert np.asarray(Image.open(tmp_path / "check.png")).std() > 20


@pytest.mark.parametrize("name", ["no such folder/check.png", "check.xyz"])
def test_a_picture_that_cannot_be_written(make_folder, tmp_path, name):
    with pytest.raises(DataError, match=r"check\.\w+ cannot be written \(.*: name another file"):
        check(make_folder("ab"), picture=tmp_path / name)
