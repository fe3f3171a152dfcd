# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import AS_USERS

from segjax import losses, models
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.upsampling import Bilinear

KEY = jax.random.key(0)
STAGES = ((4,), (6,), (8,))


def perfect(boxes, labels, attributes=None, stride=2) -> models.Centers:
    """The maps of a model that knows the truth."""
    blank = models.Centers(
        heatmap=jnp.zeros((len(boxes), 16, 16, 3)),
        size=jnp.zeros((len(boxes), 16, 16, 2)),
        offset=jnp.zeros((len(boxes), 16, 16, 2)),
        attributes=None,
        stride=stride,
    )
    targets = blank.targets(boxes, labels)
    return blank.replace(
        heatmap=jnp.where(targets.heatmap == 1, 6.0, -12 + 8 * targets.heatmap),
        size=targets.size,
        offset=targets.offset,
        attributes=None if attributes is None else jnp.nan_to_num(targets.attributes(attributes)),
    )


BOXES = np.array([[[2, 3, 9, 7], [15, 14, 6, 12.5], [0, 0, 0, 0]], [[20.5, 1, 8, 8], [0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = np.array([[2, 0, -1], [1, -1, -1]])


def test_what_the_targets_say_is_what_is_detected():
    logits = np.linspace(-3, 3, 12).reshape(2, 3, 2)
    found = jax.jit(lambda maps: maps.detections(4))(perfect(BOXES, LABELS, logits))
    assert found.boxes.shape == (2, 4, 4)
    for image in range(2):
        sure = np.asarray(found.scores[image]) > 0.9
        order = np.argsort(found.boxes[image][sure][:, 0])
        real = LABELS[image] >= 0
        np.testing.assert_allclose(found.boxes[image][sure][order], BOXES[image][real], rtol=1e-5)
        np.testing.assert_array_equal(found.labels[image][sure][order], LABELS[image][real])
        expected = 1 / (1 + np.exp(-logits[image][real]))
        np.testing.assert_allclose(found.attributes[image][sure][order], expected, rtol=1e-5)
        scores = np.take_along_axis(np.asarray(found.class_scores[image]), np.asarray(found.labels[image])[:, None], 1)
        np.testing.assert_allclose(scores[sure, 0], found.scores[image][sure], rtol=1e-6)


def test_the_loss_is_nothing_for_the_truth_and_its_terms_add_up():
    truth = perfect(BOXES, LABELS)
    targets = truth.targets(BOXES, LABELS)
    sure = truth.replace(heatmap=jnp.where(targets.heatmap == 1, 40.0, -40.0))
    loss = jax.jit(partial(losses.center_loss, targets=targets), compiler_options=AS_USERS)
    assert loss(sure.heatmap, sure.size, sure.offset) == pytest.approx(0, abs=1e-6)
    # Three objects; the paper sums over x and y and divides by the objects.
    assert loss(sure.heatmap, sure.size + 1, sure.offset) == pytest.approx(0.1 * 2, rel=1e-5)
    assert loss(sure.heatmap, sure.size, sure.offset - 0.25) == pytest.approx(0.5, rel=1e-5)
    flat = jnp.zeros_like(sure.heatmap)
    y = np.asarray(targets.heatmap, np.float64)
    focal = np.where(y == 1, 0.25 * np.log(2), (1 - y) ** 4 * 0.25 * np.log(2)).sum() / 3
    assert loss(flat, sure.size, sure.offset) == pytest.approx(focal, rel=1e-5)


@pytest.mark.parametrize(("climbed", "stride"), [(STAGES[:-1], 1), (STAGES[1:-1], 2), ((), 4)])
@pytest.mark.parametrize(("rows", "columns"), [(17, 30), (2, 2), (1, 1)])
def test_a_decoder_of_fewer_stages_has_larger_cells(climbed, stride, rows, columns):
    decoder = UNetDecoder(climbed, Bilinear, finest_stride=stride)
    model = models.CenterNet(3, ConvEncoder(STAGES), decoder, num_attributes=2, hidden=4)
    image = jax.ShapeDtypeStruct((2, rows, columns, 3), jnp.float32)
    found, _ = jax.eval_shape(partial(model.init_with_output, train=False), KEY, image)
    cells = (2, -(-rows // stride), -(-columns // stride))
    assert found.stride == stride
    assert found.heatmap.shape == (*cells, 3)
    assert found.size.shape == found.offset.shape == (*cells, 2)
    assert found.attributes.shape == (*cells, 2)
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype("float32")}


def test_a_new_heatmap_says_that_objects_are_rare_and_all_heads_learn():
    model = models.CenterNet(
        3, ConvEncoder(STAGES), UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2), num_attributes=2, hidden=4
    )
    image = jax.random.normal(KEY, (2, 16, 16, 3))
    found, variables = jax.jit(partial(model.init_with_output, train=False))(KEY, 0 * image)
    np.testing.assert_allclose(jax.nn.sigmoid(found.heatmap), 0.1, rtol=1e-5)

    def loss(params):
        found, _ = model.apply({**variables, "params": params}, image, train=True, mutable=["batch_stats"])
        targets = found.targets(BOXES / 2, LABELS)
        scores = targets.attributes(jnp.full((2, 3, 2), 0.7))
        of_attributes = losses.attribute_cross_entropy(found.attributes, scores)
        return losses.center_loss(found.heatmap, found.size, found.offset, targets) + of_attributes

    for path, leaf in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)
