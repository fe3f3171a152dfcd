"""Each family against the same network written in torch, with the same weights: logits and every gradient."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segjax.decoders import FCNDecoder, FullyConnected, UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.models import Segmenter, plain_block
from segjax.upsampling import MaxUnpool, bilinear_conv_transpose

IMAGE = np.random.default_rng(0).standard_normal((2, 13, 10, 3), np.float32)


def variables_for(model):
    """Variables of the model's shapes, drawn by NumPy: nothing to compile. Variances and scales are positive."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        if leaf.ndim == 1:
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return rng.standard_normal(leaf.shape, np.float32) * np.sqrt(2 / np.prod(leaf.shape[:3]), dtype=np.float32)

    return jax.tree.map(draw, jax.eval_shape(partial(model.init, train=False), jax.random.key(0), IMAGE))


def conv(x, p, padding="same"):
    return F.conv2d(x, p["kernel"].permute(3, 2, 0, 1), p.get("bias"), padding=padding)


def conv_transpose(x, p, stride, padding, size):
    y = F.conv_transpose2d(x, p["kernel"].permute(2, 3, 0, 1), p.get("bias"), stride, padding)
    return y[:, :, : size[0], : size[1]]


def block(x, p, s, padding="same"):
    for i in range(1, 1 + sum(name.startswith("conv") for name in p)):
        x = conv(x, p[f"conv{i}"], padding)
        if f"norm{i}" in p:
            norm, stats = p[f"norm{i}"], s[f"norm{i}"]
            x = F.batch_norm(x, stats["mean"], stats["var"], norm["scale"], norm["bias"], eps=1e-5)
        x = F.relu(x)
    return x


def pool(x):
    return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)


def encode(x, p, s, stages):
    """The features of every stage, and the pooled values and indices below each."""
    features, pooled, indices = [], [], []
    for i in range(1, stages + 1):
        x = block(x, p[f"stage{i}"], s.get(f"stage{i}"))
        features.append(x)
        x, index = pool(x)
        pooled.append(x)
        indices.append(index)
    return features, pooled, indices


def unpool_decode(x, p, s, features, indices):
    for i in range(len(features), 0, -1):
        x = F.max_unpool2d(x, indices[i - 1], [2, 2], output_size=list(features[i - 1].shape[2:]))
        x = block(x, p[f"stage{i}"], s[f"stage{i}"])
    return x


def unet(x, p, s, skips=True):
    features, _, _ = encode(x, p["encoder"], s["encoder"], 3)
    x = features[-1]
    for i in (2, 1):
        skip = features[i - 1]
        x = conv_transpose(x, p["decoder"][f"up{i}"], 2, 0, skip.shape[2:])
        x = torch.cat([skip, x], dim=1) if skips else x
        x = block(x, p["decoder"][f"stage{i}"], s["decoder"][f"stage{i}"])
    return conv(x, p["head"])


def segnet(x, p, s):
    features, pooled, indices = encode(x, p["encoder"], s["encoder"], 2)
    return conv(unpool_decode(pooled[-1], p["decoder"], s["decoder"], features, indices), p["head"])


def deconvnet(x, p, s):
    features, pooled, indices = encode(x, p["encoder"], s["encoder"], 2)
    rows, columns = pooled[-1].shape[2:]
    x = F.pad(pooled[-1], (0, max(0, 4 - columns), 0, max(0, 4 - rows)))
    fc, stats = p["decoder"]["bottleneck"], s["decoder"]["bottleneck"]
    x = block(x, fc["fc6"], stats["fc6"], padding="valid")
    x = block(x, fc["fc7"], stats["fc7"])
    # The paper's deconvolution, with the kernel flipped that is stored for a convolution.
    weight = fc["fc6_deconv"]["conv1"]["kernel"].flip(0, 1).permute(2, 3, 0, 1)
    stats, norm = stats["fc6_deconv"]["norm1"], fc["fc6_deconv"]["norm1"]
    x = F.conv_transpose2d(x, weight)
    x = F.relu(F.batch_norm(x, stats["mean"], stats["var"], norm["scale"], norm["bias"], eps=1e-5))
    x = unpool_decode(x[:, :, :rows, :columns], p["decoder"], s["decoder"], features, indices)
    return conv(x, p["head"])


def fcn8s(x, p, s):
    """Three poolings where VGG has five: scores at strides 8 and 4 are fused, the last jump is by 4."""
    _, pooled, _ = encode(x, p["encoder"], {}, 3)
    decoder = p["decoder"]
    y = F.relu(conv(F.relu(conv(pooled[2], decoder["fc6"]["conv1"])), decoder["fc7"]["conv1"]))
    scores = conv_transpose(conv(y, decoder["score"]), decoder["up3"], 2, 1, pooled[1].shape[2:])
    scores = scores + conv(pooled[1], decoder["score_pool2"])
    return conv_transpose(scores, p["to_image"], 4, 2, x.shape[2:])


climb = partial(UNetDecoder, ((4,), (6, 4)), MaxUnpool, skips=False)
CASES = {
    "unet": (unet, Segmenter(3, ConvEncoder(((4, 4), (6, 6), (8, 8))), UNetDecoder(((4, 4), (6, 6))))),
    "unet_without_skips": (
        partial(unet, skips=False),
        Segmenter(3, ConvEncoder(((4,), (6,), (8,))), UNetDecoder(((4,), (6,)), skips=False)),
    ),
    "segnet": (
        segnet,
        Segmenter(3, ConvEncoder(((4, 4), (6,), ())), climb(), partial(nn.Conv, kernel_size=(3, 3))),
    ),
    "deconvnet": (
        deconvnet,
        Segmenter(3, ConvEncoder(((4,), (6,), ())), climb(bottleneck=FullyConnected(8, 4))),
    ),
    "fcn8s": (
        fcn8s,
        Segmenter(
            3,
            ConvEncoder(((4,), (6,), (8,), ()), plain_block),
            FCNDecoder(3, skips=1, hidden=8, window=3),
            head=None,
            to_image=bilinear_conv_transpose,
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_are_torchs(name):
    twin, model = CASES[name]
    variables = variables_for(model)
    weights = np.random.default_rng(2).standard_normal((*IMAGE.shape[:3], 3), np.float32)

    @jax.jit
    def ours(params):
        def loss(params):
            logits = model.apply({**variables, "params": params}, IMAGE, train=False)
            return jnp.vdot(logits, weights), logits

        return jax.grad(loss, has_aux=True)(params)

    gradients, logits = ours(variables["params"])
    params = jax.tree.map(lambda leaf: torch.from_numpy(leaf).requires_grad_(), variables["params"])
    stats = jax.tree.map(torch.from_numpy, variables.get("batch_stats", {}))
    theirs = twin(torch.from_numpy(IMAGE).permute(0, 3, 1, 2), params, stats).permute(0, 2, 3, 1)
    (theirs * torch.from_numpy(weights)).sum().backward()

    scale = float(theirs.detach().abs().max())
    np.testing.assert_allclose(logits, theirs.detach(), rtol=1e-5, atol=1e-5 * scale)
    for path, gradient in jax.tree.leaves_with_path(gradients):
        expected = params
        for key in path:
            expected = expected[key.key]
        expected = expected.grad.numpy()
        size = np.abs(expected).max()
        assert size > 0, path
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * size, err_msg=jax.tree_util.keystr(path))
