import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.level import Level, check_levels, from_image, level_at

IMAGE = jnp.zeros((2, 33, 47, 3))


def test_a_level_knows_its_stride_and_a_size_rounded_up():
    level = level_at(IMAGE, 4, jnp.zeros((2, 9, 12, 5)))
    assert (level.size, level.stride, level.width) == ((9, 12), 4, 5)
    assert (level_at(IMAGE, 32).size, level_at(IMAGE, 32).width) == ((2, 2), 0)


def test_an_encoder_that_rounds_down_is_told_so():
    with pytest.raises(ValueError, match=r"stride 4 in an image of 33x47 has 9x12 cells, but got .*\(2, 8, 11, 5\)"):
        level_at(IMAGE, 4, jnp.zeros((2, 8, 11, 5)))


def test_what_a_place_holds_leaves_the_encoders_own_behind():
    level = level_at(IMAGE, 4, jnp.zeros((2, 9, 12, 5)), tokens=jnp.zeros((2, 1, 5)))
    made = level.holding(jnp.ones((2, 9, 12, 3)))
    assert (made.size, made.stride, made.width, made.indices, made.tokens) == ((9, 12), 4, 3, None, None)


def test_size_and_stride_are_static_under_jit():
    doubled = jax.jit(lambda level: jax.tree.map(lambda x: 2 * x, level))(level_at(IMAGE, 4, jnp.ones((2, 9, 12, 5))))
    assert isinstance(doubled, Level)
    assert (doubled.size, doubled.stride) == ((9, 12), 4)
    np.testing.assert_array_equal(doubled.features, 2)


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((), "levels are `Level`s, but got none: make each by level_at"),
        ([np.zeros((2, 9, 12, 5))], "levels are `Level`s, but got ndarray: make each by level_at"),
        ([level_at(IMAGE, 4, jnp.zeros((2, 9, 12, 5))), level_at(IMAGE, 1, IMAGE)], r"finest first, .* \[4, 1\]: give"),
        ([level_at(IMAGE, 1, IMAGE), level_at(IMAGE, 4)], "The deepest level, of stride 4, has no features"),
    ],
    ids=["none", "arrays", "coarsest first", "a place"],
)
def test_what_no_encoder_returns_is_one_sentence(levels, said):
    for refuse in (check_levels, lambda levels: from_image(levels, IMAGE)):
        with pytest.raises(ValueError, match=said):
            refuse(levels)


def test_the_images_own_place_comes_first_where_no_level_has_it():
    strided = (level_at(IMAGE, 2, jnp.zeros((2, 17, 24, 4))), level_at(IMAGE, 4, jnp.zeros((2, 9, 12, 8))))
    first, *rest = from_image(strided, IMAGE)
    assert (first.features, first.size, first.stride) == (None, (33, 47), 1)
    assert rest == list(strided)
    full = (level_at(IMAGE, 1, IMAGE), *strided)
    assert from_image([*full], IMAGE) == full  # whatever sequence an encoder of one's own returns
