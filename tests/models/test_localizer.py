from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import AS_USERS

from segjax import losses, models
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.level import from_image, level_at
from segjax.models.localizer import main_part
from segjax.upsampling import Bilinear

KEY = jax.random.key(0)
STAGES = ((4,), (6,), (8,))
HEADS = {
    "regress": models.RegressedBox(grid=2, width=8),
    "extreme_points": models.ExtremePointBox(UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2)),
    "mask": models.MaskBox(3, UNetDecoder(STAGES[:-1], Bilinear)),
}


def localizer(head: str) -> models.Localizer:
    return models.Localizer(2, ConvEncoder(STAGES), HEADS[head])


def flood(probability: np.ndarray) -> np.ndarray:
    """The main part of one image, grown from its seed pixel by pixel."""
    height, width = probability.shape
    inside = probability >= probability.max() / 2
    padded = np.pad(probability.astype(np.float64), 2)
    mean = np.array([[padded[y : y + 5, x : x + 5].sum() for x in range(width)] for y in range(height)])
    seed = np.unravel_index(np.where(inside, mean, -1).argmax(), mean.shape)
    part, queue = {seed}, [seed]
    while queue:
        y, x = queue.pop()
        for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
            if 0 <= near[0] < height and 0 <= near[1] < width and inside[near] and near not in part:
                part.add(near)
                queue.append(near)
    mask = np.zeros(probability.shape, bool)
    mask[tuple(zip(*part, strict=True))] = True
    return mask


def test_the_main_part_is_what_a_flood_reaches():
    rng = np.random.default_rng(0)
    probability = rng.random((12, 9, 13)).astype(np.float32) ** 2
    probability[0, :, :] = 0.02  # a faint image has a main part too
    probability[1] = 0
    probability[1, 8, 12] = 1  # one pixel in a corner
    probability[2] = 0.1
    probability[2, 0, 0] = 0.9  # one bright pixel, and a larger object that is a little less so
    probability[2, 4:8, 4:9] = 0.6
    probability[3] = 0  # two objects of which the model is certain
    probability[3, :5, :5] = probability[3, 3:, 7:] = 1
    found = np.asarray(jax.jit(main_part)(probability))
    for one, mask in zip(probability, found, strict=True):
        np.testing.assert_array_equal(mask, flood(one))
    assert found[0].all()
    assert found[1].sum() == 1
    assert found[2].sum() == 20
    assert found[3].sum() == 25
    assert 0 < found[4:].sum() < found[4:].size


@pytest.mark.parametrize("head", HEADS)
def test_images_of_any_size_get_a_box_inside_and_float32(head):
    model = localizer(head)

    @jax.jit
    def run(image):
        found, variables = model.init_with_output(KEY, image, train=False)
        return found, variables, found.detections()

    for rows, columns in ((1, 1), (17, 30)):
        image = np.random.default_rng(0).standard_normal((2, rows, columns, 3), np.float32)
        found, variables, detections = run(image)
        assert found.box.shape == (2, 4)
        assert found.logits.shape == (2, 2)
        assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype("float32")}
        assert (found.mask is None) == (head != "mask")
        if found.mask is not None:
            assert found.mask.shape == (2, rows, columns, 3)
        x, y, w, h = np.asarray(found.box).T
        assert min(*w, *h) >= 0
        centre = np.array([x + w / 2, y + h / 2])
        assert (centre >= 0).all()
        assert (centre <= [[columns], [rows]]).all()
        assert detections.boxes.shape == (2, 1, 4)
        np.testing.assert_allclose(np.asarray(detections.class_scores).sum(-1), 1, rtol=1e-6)
        assert "classes" in variables["params"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1)])
def test_extreme_points_lie_where_their_maps_peak(order):
    """With maps that peak at one cell each, the box runs through the middles of these cells, whichever comes first."""
    head = models.ExtremePointBox(UNetDecoder(((4,),), Bilinear, finest_stride=2))
    image = jnp.zeros((1, 16, 24, 3))
    levels = from_image(tuple(level_at(image, s, jnp.zeros((1, 16 // s, 24 // s, 4))) for s in (2, 4)), image)
    cells = {"left": (5, 2), "top": (1, 6), "right": (3, 9), "bottom": (6, 4)}  # row, column
    maps = np.full((1, 8, 12, 4), -50, np.float32)
    for channel, (row, column) in zip(order, cells.values(), strict=True):
        maps[0, row, column, channel] = 50

    def peaked(call, arguments, keywords, context):
        return jnp.asarray(maps) if context.module.name == "extremes" else call(*arguments, **keywords)

    import flax.linen as nn

    with nn.intercept_methods(peaked):
        ((box,), mask), _ = jax.jit(partial(head.init_with_output, train=False))(KEY, levels)
    assert mask is None
    np.testing.assert_allclose(box, [5, 3, 19 - 5, 13 - 3], rtol=1e-5)  # cells of two pixels


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_learns(head):
    model = localizer(head)
    image = jax.random.normal(KEY, (2, 12, 12, 3))
    box, label = jnp.array([[2.0, 3, 5, 4], [1, 1, 8, 9]]), jnp.array([0, 1])
    variables = jax.jit(partial(model.init, train=False))(KEY, image)

    def loss(params):
        found, _ = model.apply({**variables, "params": params}, image, train=True, mutable=["batch_stats"])
        total = losses.localization_loss(found.box, found.logits, box, label)
        mask = jnp.zeros((2, 12, 12), jnp.int32).at[:, 3:6, 3:6].set(1)
        return total if found.mask is None else total + losses.cross_entropy(found.mask, mask)

    # As tests compile, the features are computed twice and not to the same bit, so that none of them is their maximum.
    gradients = jax.jit(jax.grad(loss), compiler_options=AS_USERS)(variables["params"])
    for path, leaf in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_multihead_has_the_outputs_of_both_and_weights_of_all():
    model = models.MultiHead(2, ConvEncoder(STAGES), mask=HEADS["mask"], box=HEADS["extreme_points"])
    found, variables = jax.jit(partial(model.init_with_output, train=False))(KEY, jnp.ones((2, 9, 10, 3)))
    assert found.mask.shape == (2, 9, 10, 3)
    assert found.box.shape == (2, 4)
    assert {task: values.tolist() for task, values in found.log_variances.items()} == {
        "mask": [0, 0], "box": [0, 0], "class": [0, 0],
    }  # fmt: skip
    assert variables["params"]["log_variances"].shape == (3,)
    assert found.detections().labels.shape == (2, 1)
