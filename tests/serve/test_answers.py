"""Masks of more classes than a byte holds, as the bytes of an answer."""

import base64
import io
import json

import numpy as np
from PIL import Image

from segjax.data.formats.classes import voc_palette
from segjax.inference import Found, Labels, Tells
from segjax.serve.answers import Asked, answer


def test_three_hundred_classes_are_answered_as_they_are_and_painted_for_the_page():
    palette = voc_palette(300)
    tells = Tells(Labels([f"kind {number}" for number in range(300)], palette))
    mask = np.array([[0, 255, 256], [299, 3, 65535]], np.uint16)
    of_mask = answer(Found(mask), Asked("mask"), tells, (2, 3))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(of_mask))), mask)
    (said,) = json.loads(answer(Found(mask), Asked("json"), tells, (2, 3)))["masks"]
    assert base64.b64decode(said["png"]) == of_mask
    painted = np.asarray(Image.open(io.BytesIO(base64.b64decode(said["painted"]))))
    assert [palette.index(tuple(one)) for one in painted.reshape(-1, 3)[:5].tolist()] == [0, 255, 256, 299, 3]
    few = Tells(Labels(("a", "b"), palette[:2]))
    (said,) = json.loads(answer(Found(np.zeros((2, 3), np.uint8)), Asked("json"), few, (2, 3)))["masks"]
    assert said.keys() == {"label", "png"}


def test_where_there_is_no_data_is_not_in_the_colour_of_a_class_by_which_the_page_tells_it():
    palette = ((0, 0, 0), (250, 250, 0))
    tells = Tells(Labels(("background", "tree"), palette))
    mask = np.array([[0, 1, 255]], np.uint8)
    with Image.open(io.BytesIO(answer(Found(mask), Asked("mask"), tells, (1, 3)))) as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        *classes, nothing = map(tuple, np.asarray(image.convert("RGB"))[0].tolist())
    assert tuple(classes) == palette
    assert nothing not in palette
