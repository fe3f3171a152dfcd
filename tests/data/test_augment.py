import numpy as np
import pytest

from segjax.data import Augment, Record
from segjax.data.augment import recolor, warp


def picture(height=37, width=53, channels=3, seed=0) -> Record:
    rng = np.random.default_rng(seed)
    return Record(
        image=rng.integers(0, 256, (height, width, channels), dtype=np.uint8),
        mask=rng.integers(0, 9, (height, width), dtype=np.uint8),
    )


def marked(height, width, row, column) -> Record:
    """Black but for one white pixel, which is class 1 and has a box just around it with label 7."""
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    image[row, column], mask[row, column] = 255, 1
    return Record(image=image, mask=mask, boxes=np.array([[column, row, 1, 1]], np.float32), labels=np.array([7]))


def assert_marked_at(record: Record, row, column):
    assert np.argwhere(record["image"][..., 0] == 255).tolist() == [[row, column]]
    assert np.argwhere(record["mask"] == 1).tolist() == [[row, column]]
    np.testing.assert_allclose(boxes_of(record), [[column, row, 1, 1]], atol=1e-5)
    assert labels_of(record).tolist() == [7]


def boxes_of(record: Record) -> np.ndarray:
    assert "boxes" in record
    return record["boxes"]


def labels_of(record: Record) -> np.ndarray:
    assert "labels" in record
    return record["labels"]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_defaults_change_no_bit():
    record = picture()
    result = Augment()(record, rng())
    np.testing.assert_array_equal(result["image"], record["image"])
    np.testing.assert_array_equal(result["mask"], record["mask"])
    assert result["image"].dtype == result["mask"].dtype == np.uint8


def test_a_flip_is_exactly_numpys_flip():
    record = picture()
    augment = Augment(flip_horizontal=True, flip_vertical=True)
    seen = set()
    for seed in range(20):
        result = augment(record, rng(seed))
        axes = [
            axes
            for axes in ((), (0,), (1,), (0, 1))
            if np.array_equal(result["image"], np.flip(record["image"], axes))
            and np.array_equal(result["mask"], np.flip(record["mask"], axes))
        ]
        assert len(axes) == 1
        seen.add(axes[0])
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("to_source", "size", "place"),
    [
        ([[-1, 0, 8], [0, 1, 0]], (5, 8), (1, 5)),  # left and right swapped
        ([[1, 0, 0], [0, -1, 5]], (5, 8), (3, 2)),  # top and bottom swapped
        ([[0, -1, 8], [1, 0, 0]], (8, 5), (5, 1)),  # a quarter turn to the left
        ([[0, 1, 0], [-1, 0, 5]], (8, 5), (2, 3)),  # and to the right
        ([[1, 0, 2], [0, 1, 1]], (4, 3), (0, 0)),  # a crop with the mark in its corner
        ([[1, 0, -3], [0, 1, -4]], (12, 14), (5, 5)),  # a larger result
    ],
)
def test_a_marked_pixel_its_mask_and_its_box_move_to_the_same_computed_place(to_source, size, place):
    result = warp(marked(5, 8, 1, 2), np.array(to_source, float), size)
    assert result["mask"].shape == size
    assert_marked_at(result, *place)


def test_a_quarter_turn_is_exactly_numpys():
    record = picture()
    angle = np.pi / 2  # with the rounding errors of sine and cosine
    turn = np.array([[np.cos(angle), -np.sin(angle), 53], [np.sin(angle), np.cos(angle), 0]])
    result = warp(record, turn, (53, 37))
    np.testing.assert_array_equal(result["image"], np.rot90(record["image"]))
    np.testing.assert_array_equal(result["mask"], np.rot90(record["mask"]))


def test_quarter_turns_are_exactly_numpys_with_boxes_as_tight_as_they_were():
    record = picture(31, 31)
    record["mask"][:] = 0
    record["mask"][4:9, 10:25] = 1
    record["boxes"] = np.array([[10, 4, 15, 5]], np.float32)
    seen = set()
    for seed in range(20):
        result = Augment(quarter_turns=True)(record, rng(seed))
        turns = [k for k in range(4) if np.array_equal(result["image"], np.rot90(record["image"], k))]
        assert len(turns) == 1
        np.testing.assert_array_equal(result["mask"], np.rot90(record["mask"], turns[0]))
        rows, columns = np.nonzero(result["mask"] == 1)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        np.testing.assert_allclose(boxes_of(result), [box], atol=1e-5)
        seen.add(turns[0])
    assert seen == {0, 1, 2, 3}


def test_magnification_interpolates_between_pixel_centres():
    record = Record(
        image=np.array([[[0], [100]]], np.uint8),
        mask=np.array([[3, 4]], np.uint8),
        boxes=np.array([[1, 0, 1, 1]], np.float32),
    )
    result = warp(record, np.array([[0.5, 0, 0], [0, 0.5, 0]]), (2, 4))
    np.testing.assert_array_equal(result["image"][..., 0], [[0, 25, 75, 100]] * 2)
    np.testing.assert_array_equal(result["mask"], [[3, 3, 4, 4]] * 2)
    np.testing.assert_array_equal(boxes_of(result), [[2, 0, 2, 2]])


def test_interpolation_of_any_affine_map_agrees_with_it_written_out():
    record = picture(9, 11)
    to_source = np.array([[0.8, 0.3, -0.7], [-0.2, 0.9, 1.1]])
    result = warp(record, to_source, (10, 12))
    for row in range(10):
        for column in range(12):
            x, y = to_source @ (column + 0.5, row + 0.5, 1)
            inside = 0 <= x < 11 and 0 <= y < 9
            assert result["mask"][row, column] == (record["mask"][int(y), int(x)] if inside else 255)
            x, y = np.clip(x - 0.5, 0, 10), np.clip(y - 0.5, 0, 8)
            x0, y0 = min(int(x), 9), min(int(y), 7)
            corners = record["image"][y0 : y0 + 2, x0 : x0 + 2].astype(float)
            top, bottom = corners[:, 0] * (x0 + 1 - x) + corners[:, 1] * (x - x0)
            # OpenCV 4 counts in steps of 1/32 pixel, so x and y are off by 1/64 at most.
            expected = top * (y0 + 1 - y) + bottom * (y - y0)
            np.testing.assert_allclose(result["image"][row, column], expected, atol=0.5 + 2 * 255 / 64)


def test_the_box_of_a_scaled_and_flipped_region_is_around_its_mask():
    record = marked(40, 60, 10, 20)
    record["mask"][8:14, 18:30] = 1
    record["boxes"] = np.array([[18, 8, 12, 6]], np.float32)
    for seed in range(10):
        result = Augment(crop=(90, 130), scale=(0.5, 2.0), flip_horizontal=True, flip_vertical=True)(record, rng(seed))
        (x, y, w, h), (rows, columns) = boxes_of(result)[0], np.nonzero(result["mask"] == 1)
        # A pixel belongs to the region where its centre is in the box.
        np.testing.assert_allclose([x, x + w], [columns.min(), columns.max() + 1], atol=0.501)
        np.testing.assert_allclose([y, y + h], [rows.min(), rows.max() + 1], atol=0.501)


def test_the_box_of_a_rotated_region_is_around_it():
    record = Record(
        image=np.zeros((60, 60, 3), np.uint8),
        mask=np.zeros((60, 60), np.uint8),
        boxes=np.array([[20, 25, 20, 10]], np.float32),
        labels=np.array([7]),
    )
    record["mask"][25:35, 20:40] = 1
    for seed in range(10):
        result = Augment(rotate=180)(record, rng(seed))
        (x, y, w, h), (rows, columns) = boxes_of(result)[0], np.nonzero(result["mask"] == 1)
        # Its pointed corners hold no centre of a pixel.
        np.testing.assert_allclose([x, y], [columns.min(), rows.min()], atol=1.5)
        np.testing.assert_allclose([x + w, y + h], [columns.max() + 1, rows.max() + 1], atol=1.5)


def drawn(shape, box) -> np.ndarray:
    """The box as a filled mask, of the pixels whose centres it holds."""
    x, y, w, h = box
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    return ((x <= columns) & (columns < x + w) & (y <= rows) & (rows < y + h)).astype(np.uint8)


@pytest.mark.parametrize("rotate", [0, 90])
def test_boxes_move_as_masks_drawn_of_them_do(rotate):
    """Each box is drawn as a mask of its own, which is moved by the same draw of the generator."""
    generator = rng(3)
    image = picture(41, 57)["image"]
    low = generator.integers(0, (50, 34), (12, 2))
    boxes = np.concatenate([low, generator.integers(3, ((57, 41) - low + 1).clip(4), (12, 2))], axis=1)
    record = Record(
        image=image,
        boxes=boxes.astype(np.float32),
        labels=np.arange(12, dtype=np.int32),
        crowd=np.arange(12) % 3 == 0,
        attributes=np.stack([np.arange(12), np.full(12, np.nan)], axis=1).astype(np.float32),
    )
    augment = Augment(
        crop=(36, 36), flip_horizontal=True, flip_vertical=True, scale=(0.7, 1.6), rotate=rotate, brightness=0.2
    )
    dropped = clipped = 0
    for seed in range(12):
        result = augment(record, rng(seed))
        np.testing.assert_array_equal(result["crowd"], result["labels"] % 3 == 0)
        np.testing.assert_array_equal(result["attributes"][:, 0], result["labels"])
        found = dict(zip(result["labels"].tolist(), result["boxes"], strict=True))
        for label, box in enumerate(boxes):
            # The same draw with room around it shows the whole of the moved box, and the middle of it is the crop.
            mask = np.pad(drawn(image.shape, box), 60)
            alone = augment(Record(image=image, mask=drawn(image.shape, box)), rng(seed))["mask"] == 1
            whole = moved_with_room(augment, image.shape, mask, rng(seed), 60)
            rows, columns = (np.nonzero(whole.any(axis=axis))[0] for axis in (1, 0))
            full = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - 60.0
            inside = full.clip(0, 36)
            area = np.prod(inside[2:] - inside[:2]) / np.prod(full[2:] - full[:2])
            slack = 1.5 if rotate else 0.51  # the pointed corners of a turned box hold no centre of a pixel
            if label not in found:
                assert area < 0.65
                dropped += 1
                continue
            assert area > 0.35
            clipped += area < 1
            x, y, w, h = found[label]
            np.testing.assert_allclose([x, y, x + w, y + h], inside, atol=slack)
            if not rotate:
                assert (drawn((36, 36), found[label]) != alone).mean() < 0.01 + 0.51 * 2 * (w + h) / 36**2
    assert dropped > 10
    assert clipped > 10


def moved_with_room(augment: Augment, shape, mask, generator, room) -> np.ndarray:
    """The moved mask with `room` pixels around the crop, of a source with as many around it."""
    to_source = augment._draw_map(shape[:2], (36, 36), generator)
    to_source = to_source + np.column_stack([np.zeros((2, 2)), room - to_source[:, :2] @ (room, room)])
    image = np.zeros((*mask.shape, 1), np.uint8)
    return warp(Record(image=image, mask=mask), to_source, (36 + 2 * room, 36 + 2 * room))["mask"] == 1


def test_a_record_may_have_no_mask():
    record = Record(image=picture()["image"], boxes=np.array([[1, 2, 3, 4]], np.float32))
    result = Augment(crop=(20, 20), rotate=3)(record, rng())
    assert result.keys() == {"image", "boxes"}
    both = Augment(crop=(20, 20), rotate=3)(picture(), rng())
    np.testing.assert_array_equal(result["image"], both["image"])


def test_boxes_are_clipped_and_dropped_with_their_labels_where_most_is_outside():
    record = picture(10, 10)
    record["boxes"] = np.array([[0, 0, 4, 4], [1, 2, 4, 4], [6, 6, 4, 4], [3, 3, 0, 0], [5, 5, 2, 2]], np.float32)
    record["labels"] = np.arange(5)
    result = warp(record, np.array([[1.0, 0, 3], [0, 1, 3]]), (5, 5))
    # 1/16 of box 0 is inside, 6/16 of box 1, 4/16 of box 2, box 3 is empty, box 4 is whole.
    assert labels_of(result).tolist() == [4]
    np.testing.assert_array_equal(boxes_of(result), [[2, 2, 2, 2]])
    result = warp(record, np.array([[1.0, 0, 2], [0, 1, 2]]), (6, 6))
    assert labels_of(result).tolist() == [1, 4]  # 3/4 of box 1, 4/16 of boxes 0 and 2
    np.testing.assert_array_equal(boxes_of(result), [[0, 0, 3, 4], [3, 3, 2, 2]])
    record["boxes"], record["labels"] = np.zeros((0, 4), np.float32), np.zeros(0, int)
    assert boxes_of(warp(record, np.array([[1.0, 0, 3], [0, 1, 3]]), (5, 5))).shape == (0, 4)


def test_a_crop_copies_pixels_from_every_place():
    record = Record(
        image=np.arange(20, dtype=np.uint8).reshape(4, 5, 1), mask=np.arange(20, dtype=np.uint8).reshape(4, 5)
    )
    corners = set()
    for seed in range(60):
        result = Augment(crop=(3, 3))(record, rng(seed))
        row, column = divmod(int(result["mask"][0, 0]), 5)
        np.testing.assert_array_equal(result["mask"], record["mask"][row : row + 3, column : column + 3])
        np.testing.assert_array_equal(result["image"][..., 0], result["mask"])
        corners.add((row, column))
    assert corners == {(row, column) for row in range(2) for column in range(3)}


def test_a_crop_of_a_smaller_image_is_ignored_outside():
    record = picture(3, 4)
    for seed in range(20):
        result = Augment(crop=(8, 8))(record, rng(seed))
        rows, columns = np.nonzero(result["mask"] != 255)
        inside = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        np.testing.assert_array_equal(result["mask"][inside], record["mask"])
        np.testing.assert_array_equal(result["image"][inside], record["image"])
        assert (result["mask"] != 255).sum() == 12


def test_rotation_keeps_the_middle_and_loses_the_corners():
    record = Record(image=np.full((41, 41, 3), 90, np.uint8), mask=np.zeros((41, 41), np.uint8))
    result = Augment(rotate=45)(record, rng(1))
    assert result["mask"][20, 20] == 0
    assert 0 < (result["mask"] == 255).sum() < 41 * 41 * 0.2
    assert (result["image"] == 90).all()  # the repeated edge, no dark seam


def test_colour_leaves_the_mask_and_the_boxes():
    record = marked(30, 40, 3, 4)
    record["image"] = picture(30, 40)["image"]
    result = Augment(brightness=0.5, contrast=0.5, saturation=0.5)(record, rng())
    assert (result["image"] != record["image"]).mean() > 0.5
    assert result["image"].dtype == np.uint8
    np.testing.assert_array_equal(result["mask"], record["mask"])
    np.testing.assert_array_equal(boxes_of(result), boxes_of(record))
    np.testing.assert_array_equal(labels_of(result), labels_of(record))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colour_is_its_formula(channels):
    image = picture(channels=channels)["image"]
    brightness, contrast, saturation = 1.1, 0.7, 0.6
    weights = np.array([0.299, 0.587, 0.114]) if channels == 3 else np.full(channels, 1 / channels)
    grey = (image @ weights)[..., None]
    colored = grey + saturation * (image - grey) if channels == 3 else image
    expected = brightness * (grey.mean() + contrast * (colored - grey.mean()))
    result = recolor(image, brightness, contrast, saturation)
    # Rounding to whole numbers, and OpenCV's factors to 1/1024.
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.5 + channels * 255 / 2048)
    np.testing.assert_array_equal(recolor(image, 1, 1, 1), image)


def test_the_result_depends_on_the_generator_alone_and_the_record_is_left_alone():
    record = picture()
    before = record["image"].copy()
    record["image"].flags.writeable = record["mask"].flags.writeable = False
    augment = Augment(
        crop=(32, 32), flip_horizontal=True, scale=(0.5, 2), rotate=20, brightness=0.2, contrast=0.2, saturation=0.2
    )
    first, again, other = augment(record, rng(5)), augment(record, rng(5)), augment(record, rng(6))
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["mask"], again["mask"])
    assert not np.array_equal(first["image"], other["image"])
    np.testing.assert_array_equal(record["image"], before)


def test_one_channel_and_one_pixel():
    assert Augment(scale=(2, 2), brightness=0.1)(picture(channels=1), rng())["image"].shape == (37, 53, 1)
    result = Augment(crop=(2, 2), rotate=10)(picture(1, 1), rng())
    assert result["image"].shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"crop": (0, 4)}, "crop is a height and a width"),
        ({"scale": (2.0, 1.0)}, "scale is the least and the greatest"),
        ({"scale": (0.0, 1.0)}, "scale is the least and the greatest"),
        ({"quarter_turns": True, "crop": (4, 5)}, "quarter_turns need a square crop"),
        ({"contrast": 1.5}, "contrast is between 0 and 1, not 1.5"),
    ],
)
def test_knobs_that_cannot_be_meant_are_refused(knobs, said):
    with pytest.raises(ValueError, match=said):
        Augment(**knobs)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 4, 5, 13])
def test_every_depth_and_number_of_bands_is_moved_and_kept(dtype, channels):
    generator = rng()
    image = (generator.random((24, 30, channels)) * 60000).astype(dtype)
    record = Record(image=image, mask=generator.integers(0, 9, (24, 30), dtype=np.uint8))
    augment = Augment((20, 20), True, True, (0.8, 1.2), False, 10, 0.2, 0.2, 0.2)
    result = augment(record, rng(3))["image"]
    assert result.dtype == dtype
    assert result.shape == (20, 20, channels)
    geometry = Augment((20, 20), True, True, (0.8, 1.2), False, 10)
    moved = geometry(record, rng(3))["image"]
    for band in range(channels):
        np.testing.assert_array_equal(
            moved[..., band], geometry(Record(image=image[..., band : band + 1]), rng(3))["image"][..., 0]
        )
    brighter = recolor(image, 1.5, 1, 1)
    limit = {"uint8": 255, "uint16": 65535}.get(image.dtype.name, np.inf)
    np.testing.assert_allclose(brighter, np.minimum(image * 1.5, limit), atol=0.6, rtol=1e-6)


def test_bands_of_labels_move_as_masks_do():
    """More bands than OpenCV moves at once, each as a mask by itself."""
    rng = np.random.default_rng(0)
    image, bands = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8), rng.integers(0, 2, (20, 24, 6)).astype(np.uint8)
    augment = Augment(crop=(28, 16), flip_horizontal=True, scale=(0.7, 1.4), rotate=20)
    moved = augment(Record(image=image, mask=bands), np.random.default_rng(1))
    for band in range(6):
        alone = augment(Record(image=image, mask=bands[..., band]), np.random.default_rng(1))
        np.testing.assert_array_equal(moved["mask"][..., band], alone["mask"])  # pyright: ignore
    assert moved["mask"].shape == (28, 16, 6)  # pyright: ignore
    assert set(np.unique(moved["mask"])) == {0, 1, 255}  # pyright: ignore


def test_contrast_keeps_bands_of_floating_point_in_their_own_units():
    """Kelvin beside an index of -1 to 1: each is changed about its own mean, and light is nothing of theirs."""
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(300, 5, (32, 32)), rng.uniform(-1, 1, (32, 32))], axis=-1).astype(np.float32)
    changed = recolor(image, 1.0, 1.5, 1.0)
    np.testing.assert_allclose(changed.mean(axis=(0, 1)), image.mean(axis=(0, 1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(changed.std(axis=(0, 1)), 1.5 * image.std(axis=(0, 1)), rtol=1e-4)
    augment = Augment(brightness=0.2, contrast=0.2, saturation=0.2)
    assert augment.of_depth("float32") == Augment(contrast=0.2)
    assert augment.of_depth("uint16") == augment
