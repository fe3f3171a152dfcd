from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest
import torch

from benchmarks.torch_zoo import timm, torchvision
from segjax import encoders, models, weights
from segjax.weights import convert


def whole(name: str) -> tuple[models.Classifier, torch.nn.Module]:
    """A classifier and torch's, of ten classes."""
    if name == "resnet18":
        return models.Classifier(encoders.resnet18(), 10), torchvision.models.resnet18(num_classes=10)
    if name == "mobilenet_v2":
        conv = ("features_18_0", "features_18_1")
        ours = models.Classifier(encoders.mobilenet_v2(), 10, "classifier_1", conv)
        return ours, torchvision.models.mobilenet_v2(num_classes=10)
    if name == "mobilenet_v3_small":
        hidden = (("classifier_0", 1024),)
        ours = models.Classifier(
            encoders.mobilenet_v3_small(), 10, "classifier_3", hidden=hidden, activation=nn.hard_swish
        )
        return ours, torchvision.models.mobilenet_v3_small(num_classes=10)
    if name == "vgg11":
        hidden = (("classifier_0", 16), ("classifier_3", 12))
        ours = models.Classifier(encoders.vgg11(), 10, "classifier_6", hidden=hidden, grid=7, activation=nn.relu)
        reference = torchvision.models.vgg11(num_classes=10, init_weights=False)
        for place, (before, after) in {0: (512 * 49, 16), 3: (16, 12), 6: (12, 10)}.items():  # VGG's are of 4096
            reference.classifier[place] = torch.nn.Linear(before, after)
        return ours, reference
    ours = models.Classifier(encoders.efficientnet_lite0(), 10, "classifier", ("conv_head", "bn2"))
    return ours, timm.create_model("tf_efficientnet_lite0", num_classes=10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0", "mobilenet_v3_small", "vgg11"])
def test_a_whole_file_of_torch_fits_and_gives_its_logits(name: str):
    ours, reference = whole(name)
    image = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    state = {key: value.numpy() for key, value in reference.state_dict().items()}
    like = jax.eval_shape(partial(ours.init, train=False), jax.random.key(0), image)
    run = jax.jit(partial(ours.apply, train=False))
    names = weights.named("mobilenet_v3_small.imagenet").names if name == "mobilenet_v3_small" else ()
    logits = run(convert.from_torch(state, like, names=names), image)
    with torch.no_grad():
        expected = reference.eval()(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
