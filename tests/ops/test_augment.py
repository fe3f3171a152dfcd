"""Augmentation on the device beside the host's, which `tests/data/test_augment.py` holds to numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import AS_USERS
from scipy import stats

from segjax import ops
from segjax.data import Augment, Record
from segjax.data.augment import warp as host_warp
from segjax.ops.augment import _as_map, _copied, _draw  # what is drawn, and the two ways to move pixels by it

RNG = np.random.default_rng(0)
RECORD: Record = {
    "image": RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8),
    "mask": RNG.integers(0, 9, (37, 53), dtype=np.uint8),
    "boxes": np.array([[3, 4, 20, 11], [40, 2, 12, 30], [0, 0, 53, 37]], np.float32),
    "labels": np.arange(3, dtype=np.int32),
}
MANY = 1500
KEYS = jax.random.split(jax.random.key(0), MANY)


def arrays(record: Record):
    assert "mask" in record
    assert "boxes" in record
    return record["image"], record["mask"], record["boxes"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_map_moves_image_mask_and_boxes_as_the_hosts_does(dtype):
    turn, size = np.radians(20), (30, 41)
    linear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / 1.3
    to_source = np.column_stack([linear, [4.3, 9.1]])
    record = RECORD | {"image": RECORD["image"].astype(dtype)}
    expected = host_warp(record, to_source, size)
    image, mask, boxes = arrays(record)
    to_source = jnp.array(to_source, jnp.float32)
    warp = jax.jit(ops.warp, static_argnums=2, static_argnames=("method", "outside"))
    found = warp(image, to_source, size)
    assert found.dtype == dtype
    error = np.abs(np.asarray(found, np.float64) - expected["image"])
    assert error.max() <= 6, "OpenCV interpolates integers between 32 steps of a pixel"
    assert error.mean() < 0.7
    labels = warp(mask[..., None], to_source, size, method="nearest", outside=255)[..., 0]
    assert np.mean(np.asarray(labels) != expected["mask"]) < 0.01
    moved, stays = map(np.asarray, jax.jit(ops.warp_boxes, static_argnums=2)(boxes, to_source, size))
    np.testing.assert_allclose(moved[stays], expected["boxes"], atol=1e-4)
    assert not moved[~stays].any()


def test_elevations_below_the_sea_are_moved_and_brightened_like_floats():
    depths = np.random.default_rng(1).integers(-3000, 3000, (37, 53, 1)).astype(np.int16)
    half_a_pixel = jnp.array([[1, 0, 0.5], [0, 1, 0.25]])

    @jax.jit
    def changed(image):
        spoilt = ops.augment(KEYS[0], image, brightness=0.2, contrast=0.2, gamma=0.3, blur=2.0, noise=0.1).image
        return ops.warp(image, half_a_pixel, (37, 53)), spoilt

    (moved, spoilt), (expected, _) = changed(depths), changed(depths.astype(np.float32))
    np.testing.assert_array_equal(moved, np.rint(expected))
    assert np.corrcoef(spoilt.ravel(), depths.ravel())[0, 1] > 0.3
    assert np.asarray(spoilt).min() < -500
    greatest = ops.warp(jnp.full((2, 2, 1), -(2**31), jnp.int32), half_a_pixel, (2, 2))
    np.testing.assert_array_equal(greatest, -(2**31))


EVERYTHING = {
    "crop": (24, 24), "flip_vertical": True, "scale": (0.5, 2.0), "rotate": 10.0, "brightness": 0.1, "contrast": 0.1,
    "saturation": 0.1, "gamma": 0.2, "blur": 1.0, "noise": 0.1,
}  # fmt: skip


def test_nothing_lies_between_no_and_yes():
    seen = jnp.array([[[True], [False]]])
    half_a_pixel = jnp.array([[1, 0, 0.5], [0, 1, 0]])
    assert ops.warp(seen, half_a_pixel, (1, 2), "nearest")[..., 0].tolist() == [[False, False]]
    said = r"^nothing lies between False and True: convert .* to uint8 or floating point, or take .*nearest"
    with pytest.raises(ValueError, match=said):
        ops.warp(seen, half_a_pixel, (1, 2))
    with pytest.raises(ValueError, match=said):
        ops.augment(KEYS[0], seen, brightness=0.1)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bfloat16, jnp.float32])
def test_boxes_of_any_type_are_moved_as_real_numbers(dtype):
    """A map in whole numbers would be another, and bfloat16 has no half pixel beyond 256."""
    half_as_large = jnp.array([[2.0, 0, 0.5], [0, 2, 0]])
    moved, stays = ops.warp_boxes(jnp.array([[300, 2, 4, 2]], dtype), half_as_large, (8, 400))
    assert moved.tolist() == [[149.75, 1, 2, 1]]
    assert moved.dtype == jnp.float32
    assert stays.all()


def test_maps_methods_and_boxes_that_are_none_are_refused():
    image, whole = jnp.zeros((2, 3, 1)), jnp.array([[1.0, 0, 0], [0, 1, 0]])
    with pytest.raises(ValueError, match=r"^warp method must be one of bilinear, nearest, got 'cubic'\.$"):
        ops.warp(image, whole, (2, 2), "cubic")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^warp needs .* got shapes \(2, 3\) and \(2, 3\); for a batch use vmap\.$"):
        ops.warp(image[..., 0], whole, (2, 2))
    with pytest.raises(ValueError, match=r"^warp needs .* got shapes \(2, 3, 1\) and \(3, 3\)"):
        ops.warp(image, jnp.eye(3), (2, 2))
    with pytest.raises(ValueError, match=r"^boxes have shape \(2, 3\): expected"):
        ops.warp_boxes(jnp.zeros((2, 3)), whole, (2, 2))
    with pytest.raises(ValueError, match=r"^warp_boxes needs boxes \(m 4\) and a map \(2 3\), got shapes \(4,\)"):
        ops.warp_boxes(jnp.zeros(4), whole, (2, 2))


def test_whole_pixels_are_copied_to_the_last_bit_whichever_way_they_are_moved():
    """Crops, larger results, mirrors and quarter turns: by slices, by reading each pixel, and by the host."""
    image, mask, _ = arrays(RECORD)

    @partial(jax.jit, static_argnums=1, compiler_options=AS_USERS)  # not a bit may change
    def both(key, size):
        drawn = _draw(key, image.shape, size, (1.0, 1.0), 0.0)
        to_source = _as_map(drawn, size)
        sliced = _copied(jnp.array(image), drawn, size, True, None), _copied(jnp.array(mask), drawn, size, True, 255)
        read = ops.warp(jnp.array(image), to_source, size)
        labels = ops.warp(jnp.array(mask)[..., None], to_source, size, "nearest", outside=255)
        return sliced, (read, labels[..., 0]), to_source

    for size in ((24, 24), (45, 45), (64, 64)):
        for key in KEYS[:12]:
            sliced, read, to_source = both(key, size)
            expected = host_warp(RECORD, np.round(np.asarray(to_source, np.float64), 3), size)
            np.testing.assert_array_equal(sliced[0], expected["image"])
            np.testing.assert_array_equal(sliced[1], expected["mask"])
            np.testing.assert_array_equal(read[0], sliced[0])
            np.testing.assert_array_equal(read[1], sliced[1])


def features(record_or_found) -> np.ndarray:
    image = np.asarray(record_or_found, np.float64)
    half = image.shape[1] // 2
    return np.array([
        image.mean(), image.std(), image[:, :half].mean() - image[:, half:].mean(),
        image[:half].mean() - image[half:].mean(), image[..., 0].mean() - image[..., 2].mean(),
        np.abs(np.diff(image, axis=0)).mean(),
    ])  # fmt: skip


@pytest.mark.parametrize(
    "knobs",
    [
        {"flip_horizontal": True, "crop": (16, 16)},
        {"quarter_turns": True, "flip_vertical": True, "crop": (16, 16)},
        {"scale": (0.6, 1.7), "rotate": 35.0, "crop": (16, 16)},
        {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5},
        {"gamma": 0.6},
        {"blur": 1.5},
        {"noise": 0.4},
    ],
    ids=lambda knobs: "-".join(knobs),
)
def test_what_is_drawn_is_distributed_as_the_hosts(knobs):
    """Kolmogorov and Smirnov's test on six features of images with a gradient to the right and down."""
    across, down = np.meshgrid(np.arange(24), np.arange(20))
    texture = RNG.integers(0, 40, (20, 24, 3))
    image = (np.stack([6 * across, 4 * down, 2 * across + 3 * down], axis=2) + texture).astype(np.uint8)
    device = jax.jit(jax.vmap(partial(ops.augment, **knobs), (0, None)))
    found = np.array([features(one) for one in np.asarray(device(KEYS, image).image)])
    augment, rng = Augment(**knobs), np.random.default_rng(1)
    expected = np.array([features(augment({"image": image}, rng)["image"]) for _ in range(MANY)])
    likely = [float(np.asarray(stats.ks_2samp(a, b))[1]) for a, b in zip(found.T, expected.T, strict=True)]
    assert min(likely) > 1e-4, likely


@pytest.mark.parametrize("knobs", [{"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}, {"gamma": 0.6}])
def test_bands_of_floating_point_in_units_of_their_own_are_changed_as_the_host_changes_them(knobs):
    image = RNG.normal((300, 0, 5), (8, 0.4, 50), (20, 24, 3)).astype(np.float32)
    device = jax.jit(jax.vmap(partial(ops.augment, **knobs), (0, None)))
    augment, rng = Augment(**knobs), np.random.default_rng(1)
    both = (
        np.asarray(device(KEYS, image).image),
        np.stack([augment({"image": image}, rng)["image"] for _ in range(MANY)]),
    )
    found, expected = (
        np.concatenate([some.mean(axis=(1, 2)), some.std(axis=(1, 2)), some.max(axis=(1, 2))], axis=1) for some in both
    )
    varies = expected.std(axis=0) > 1e-4 * np.abs(expected).max(axis=0)
    np.testing.assert_allclose(found[:, ~varies], expected[:, ~varies], rtol=1e-4)
    pairs = zip(found.T[varies], expected.T[varies], strict=True)
    likely = [float(np.asarray(stats.ks_2samp(a, b))[1]) for a, b in pairs]
    assert min(likely) > 1e-4, likely


def test_places_are_computed_of_all_bits():
    drawn = _draw(KEYS[0], (37, 53), (20, 20), (0.5, 2.0), 30.0)
    with jax.default_matmul_precision("default"):  # as users have it
        said = str(jax.make_jaxpr(partial(_as_map, size=(20, 20)))(drawn))
    assert said.count("dot_general[") == said.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == 2


def test_one_knob_leaves_what_others_draw():
    image = jnp.array(RECORD["image"])
    flipped = partial(ops.augment, crop=(16, 16), flip_horizontal=True)
    plain = jax.jit(flipped)(KEYS[0], image).image
    brighter = jax.jit(partial(flipped, brightness=0.5))(KEYS[0], image).image
    ratio = np.asarray(brighter, float) / np.maximum(np.asarray(plain, float), 1)
    inside = (np.asarray(brighter) < 255) & (np.asarray(plain) > 40)
    assert ratio[inside].std() < 0.02


def test_bands_of_labels_and_wide_masks_move_and_end_in_what_is_ignored():
    bands = jnp.array(RNG.integers(0, 2, (20, 20, 3), dtype=np.uint8))
    wide = bands[..., 0].astype(jnp.uint16) * 300
    image = jnp.zeros((20, 20, 1), jnp.float32)
    for rotate in (0.0, 10.0):
        augment = jax.jit(partial(ops.augment, crop=(32, 32), rotate=rotate))
        found = augment(KEYS[1], image, bands)
        assert found.mask is not None
        assert found.mask.shape == (32, 32, 3)
        assert set(np.unique(found.mask)) == {0, 1, 255}
        found = augment(KEYS[1], image, wide)
        assert found.mask is not None
        assert found.mask.dtype == jnp.uint16
        assert set(np.unique(found.mask)) == {0, 300, 65535}


def test_quarter_turns_of_what_is_not_square_are_refused():
    with pytest.raises(ValueError, match="square result, not 37x53"):
        ops.augment(KEYS[0], jnp.array(RECORD["image"]), quarter_turns=True)


@pytest.mark.parametrize("knobs", [{"crop": (20, 20), "flip_horizontal": True, "quarter_turns": True}, EVERYTHING])
def test_a_key_draws_the_same_where_jax_has_64_bits(knobs):
    image = jnp.asarray(np.random.default_rng(7).integers(0, 255, (32, 34, 3)), jnp.uint8)
    changed = jax.jit(lambda image: ops.augment(KEYS[0], image, **knobs).image)
    expected = np.asarray(changed(image))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(changed(image), expected)
        assert jax.eval_shape(changed, image.astype(jnp.float64)).dtype == np.float64
