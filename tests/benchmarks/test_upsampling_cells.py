from functools import partial

import jax
import numpy as np
import pytest

from benchmarks.upsampling import cells, costs
from benchmarks.upsampling.cells import CONTROL, TWIN, UPSAMPLERS, Cell, Family, Place, published
from segjax import upsampling
from segjax.errors import DataError


def shapes(cell: Cell, size: int = 13) -> tuple[dict, tuple[int, ...]]:
    """The shapes of the variables, and of the logits of an image."""
    model = cells.network(cell, 5)
    image = jax.ShapeDtypeStruct((2, size, size + 3, 3), np.float32)
    init = partial(model.init_with_output, train=False)
    logits, variables = jax.eval_shape(init, jax.random.key(0), image)
    return jax.tree.map(lambda x: x.shape, variables["params"]), logits.shape


@pytest.mark.parametrize("family", ["fcn", "unet"])
def test_every_upsampler_fits_every_family_behind_the_same_encoder(family):
    encoders = []
    for name in cells.LABELS:
        params, logits = shapes(published("data", family, name, 4))
        assert logits == (2, 13, 16, 5)
        encoders.append(params["encoder"])
    assert all(encoder == shapes(published("data", "unet", CONTROL, 4))[0]["encoder"] for encoder in encoders)


def test_the_twin_is_the_control_and_names_are_those_of_the_library():
    assert shapes(published("data", "unet", TWIN, 4)) == shapes(published("data", "unet", CONTROL, 4))
    assert UPSAMPLERS.keys() - upsampling.BY_NAME.keys() == {"conv_transpose_3x3_bilinear"}


def test_matched_decoders_have_the_parameters_of_the_control():
    family = "segnet"
    names = ("nearest", "max_unpool", "conv_transpose_3x3", "resize_conv", "pixel_shuffle_icnr", "dysample")
    places = cells.grid("data", 4, 8, families=[family], upsamplers=names)
    assert len(places) == 2 * (len(names) + 2)
    sizes = {}
    for place, cell in places.items():
        model, params = cells.network(cell, 4), cells.parameters(cell, 4)
        init = partial(model.init, train=False)
        tree = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, 16, 16, 3), np.float32))["params"]
        counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in tree.items()}
        assert params == (sum(counts.values()), sum(counts.values()) - counts["encoder"])
        sizes[place.size, place.upsampler] = params[1]
    for name in (*names, TWIN):
        assert abs(sizes["matched", name] / sizes["published", CONTROL] - 1) <= cells.TOLERANCE
        same = sizes["published", name] == sizes["published", CONTROL]
        assert (
            places[Place("data", "matched", family, name)] == places[Place("data", "published", family, name)]
        ) >= same
    assert sizes["published", "pixel_shuffle_icnr"] > 3 * sizes["published", CONTROL]


def test_carafe_is_squeezed_where_it_alone_has_too_many_parameters():
    cell = cells.matched(published("data", "fcn", "carafe", 8), 4)
    goal = cells.parameters(published("data", "fcn", CONTROL, 8), 4)[1]
    assert cell.squeeze > 1
    assert abs(cells.parameters(cell, 4)[1] / goal - 1) <= cells.TOLERANCE


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(DataError, match=r"No width of data-fcn-pixel_shuffle-w1-d4's decoder .* take a larger width"):
        cells.matched(published("data", "fcn", "pixel_shuffle", 1), 4)


def test_names_differ_and_only_some_families_are_matched():
    places = cells.grid("data", 3, 8, families=["fcn", "unet"], upsamplers=["nearest"], match=["fcn"])
    assert [place.upsampler for place in places if place.family == "unet"] == [CONTROL, TWIN, "nearest"]
    assert {place.family for place in places if place.size == "matched"} == {"fcn"}
    assert len({cell.name for cell in places.values()}) == len(set(places.values()))


def test_kept_bytes_are_those_of_skips_and_of_two_bits_a_window():
    image = (32, 32, 3)
    pixels = 32 * 32 * 8 + 16 * 16 * 16 + 8 * 8 * 32
    cases: list[tuple[Family, str, int]] = [
        ("unet", "bilinear", 4 * pixels),
        ("unet", "max_unpool", 4 * pixels + pixels // 16),
        ("segnet", "max_unpool", pixels // 16),
        ("fcn", "carafe", 0),
    ]
    for family, name, kept in cases:
        assert costs.kept_bytes(published("data", family, name, 8), image) == (kept, pixels // 16)
