from functools import partial

import jax
import numpy as np
import pytest
import torch

from benchmarks.torch_zoo import timm, torchvision
from segjax import encoders, models
from segjax.weights import convert


def whole(name: str) -> tuple[models.Classifier, torch.nn.Module]:
    """A classifier and torch's, of ten classes."""
    if name == "resnet18":
        return models.Classifier(encoders.resnet18(), 10), torchvision.models.resnet18(num_classes=10)
    if name == "mobilenet_v2":
        conv = ("features_18_0", "features_18_1")
        ours = models.Classifier(encoders.mobilenet_v2(), 10, "classifier_1", conv)
        return ours, torchvision.models.mobilenet_v2(num_classes=10)
    ours = models.Classifier(encoders.efficientnet_lite0(), 10, "classifier", ("conv_head", "bn2"))
    return ours, timm.create_model("tf_efficientnet_lite0", num_classes=10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0"])
def test_a_whole_file_of_torch_fits_and_gives_its_logits(name: str):
    ours, reference = whole(name)
    image = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    state = {key: value.numpy() for key, value in reference.state_dict().items()}
    like = jax.eval_shape(partial(ours.init, train=False), jax.random.key(0), image)
    run = jax.jit(partial(ours.apply, train=False))
    logits = run(convert.from_torch(state, like), image)
    with torch.no_grad():
        expected = reference.eval()(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
