"""Selfie segmentation, beside LiteRT running the file that its weights are of."""

from functools import partial

import jax
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

import segjax
from segjax.errors import DataError
from segjax.models.selfie import RECORD


def test_equals_litert():
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    try:
        path = RECORD.fetch()
    except DataError as error:
        if "is not there: install Node.js" not in str(error) and "no connection to the package registry" not in str(
            error
        ):
            raise  # what was fetched is damaged, or another
        pytest.skip(str(error))
    model, variables = segjax.from_pretrained("selfie")
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == RECORD.parameters
    image = load_sample_image("flower.jpg")[None, 100:356, 200:456]
    logits = jax.jit(partial(model.apply, train=False))(variables, image)
    reference = litert.Interpreter(model_path=str(path))
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], image.astype(np.float32) / 255)
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])
    assert expected.std() > 0.1
    # Logits reach hundreds: LiteRT itself was 1e-4 from float64 on one photograph, where jax was 1e-5.
    np.testing.assert_allclose(jax.nn.sigmoid(logits), expected, rtol=0, atol=5e-4)


def test_sizes_that_16_does_not_divide_work():
    model = segjax.models.selfie()
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), np.uint8)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    assert jax.eval_shape(partial(model.apply, train=False), variables, image).shape == (1, 33, 47, 1)
