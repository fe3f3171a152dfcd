"""The room around images: few sizes, and the edge repeated in it."""

import numpy as np

from segjax.data.padding import padded, side_for


def test_sides_are_those_of_few_sizes():
    assert [side_for(n) for n in (1, 8, 9, 63, 64, 65, 96, 97, 427)] == [8, 8, 16, 64, 64, 96, 96, 128, 448]


def test_the_edge_is_repeated_and_an_image_that_fits_stays_itself():
    image = np.arange(3 * 2 * 1, dtype=np.uint8).reshape(3, 2, 1)
    room = padded(image)
    assert room.shape == (8, 8, 1)
    np.testing.assert_array_equal(room[:3, :2], image)
    np.testing.assert_array_equal(room[3:, 0], [image[2, 0]] * 5)
    np.testing.assert_array_equal(room[1, 2:], [image[1, 1]] * 6)
    assert padded(room) is room
