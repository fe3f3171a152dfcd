"""Networks that are published with their weights, beside the same in torch with random ones in the files' layout."""

from functools import partial

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import segjax
from segjax.weights.record import Record

WIDTHS = (64, 128, 256, 512, 512)


def conv_of(state, name, features, channels, window):
    rng = np.random.default_rng(len(state))
    scale = np.float32((2 / (channels * window**2)) ** 0.5)
    state[f"{name}.weight"] = rng.standard_normal((features, channels, window, window), np.float32) * scale
    state[f"{name}.bias"] = rng.standard_normal(features, np.float32) / 4


def norm_of(state, name, features):
    rng = np.random.default_rng(len(state))
    for leaf in ("weight", "running_var"):
        state[f"{name}.{leaf}"] = rng.uniform(0.5, 1.5, features).astype(np.float32)
    for leaf in ("bias", "running_mean"):
        state[f"{name}.{leaf}"] = rng.standard_normal(features, np.float32) / 4


def normed(x, state, name):
    leaves = (state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *leaves, eps=1e-5)


def convolved(x, state, name, padding=0, dilation=1):
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding, dilation=dilation)


def hed_state():
    state, before = {}, 3
    for i, (width, count) in enumerate(zip(WIDTHS, (2, 2, 3, 3, 3), strict=True)):
        for j in range(count):
            conv_of(state, f"block{i + 1}_conv{j + 1}", width, before, 3)
            before = width
        conv_of(state, f"conv2d_{i}" if i else "conv2d", 1, width, 1)
    conv_of(state, "conv2d_5", 1, 5, 1)
    return state


def hed_of_torch(image, state):
    x = torch.from_numpy(image[..., ::-1] - np.array([104.00699, 116.66877, 122.67892])).float().permute(0, 3, 1, 2)
    sides, size = [], x.shape[2:]
    for i, count in enumerate((2, 2, 3, 3, 3)):
        x = F.max_pool2d(x, 2, ceil_mode=True) if i else x
        for j in range(count):
            x = F.relu(convolved(x, state, f"block{i + 1}_conv{j + 1}", 1))
        side = convolved(x, state, f"conv2d_{i}" if i else "conv2d")
        cells = [-(-length // 2**i) * 2**i for length in size]
        sides.append(F.interpolate(side, size=cells, mode="bilinear")[:, :, : size[0], : size[1]])
    return convolved(torch.cat(sides, 1), state, "conv2d_5")


PLACES = ((0, 3), (7, 10), (14, 17, 20), (24, 27, 30), (34, 37))
SLICES = {place: 1 + sum(place > last for last in (10, 17, 27)) for stage in PLACES for place in stage}


def craft_state():
    state, before = {}, 3
    for places, width in zip(PLACES, WIDTHS, strict=True):
        for place in places:
            conv_of(state, f"basenet.slice{SLICES[place]}.{place}", width, before, 3)
            norm_of(state, f"basenet.slice{SLICES[place]}.{place + 1}", width)
            before = width
    conv_of(state, "basenet.slice5.1", 1024, 512, 3)
    conv_of(state, "basenet.slice5.2", 1024, 1024, 1)
    for i, (joined, width) in enumerate(((1536, 256), (768, 128), (384, 64), (192, 32)), start=1):
        conv_of(state, f"upconv{i}.conv.0", 2 * width, joined, 1)
        norm_of(state, f"upconv{i}.conv.1", 2 * width)
        conv_of(state, f"upconv{i}.conv.3", width, 2 * width, 3)
        norm_of(state, f"upconv{i}.conv.4", width)
    for place, (width, channels, window) in zip(
        (0, 2, 4, 6, 8), ((32, 32, 3), (32, 32, 3), (16, 32, 3), (16, 16, 1), (2, 16, 1)), strict=True
    ):
        conv_of(state, f"conv_cls.{place}", width, channels, window)
    return state


def craft_of_torch(image, state):
    x = (image / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    x, seen = torch.from_numpy(x).float().permute(0, 3, 1, 2), {}
    for i, places in enumerate(PLACES):
        x = F.max_pool2d(x, 2) if i else x
        for place in places:
            name = f"basenet.slice{SLICES[place]}."
            x = normed(convolved(x, state, f"{name}{place}", 1), state, f"{name}{place + 1}")
            x = seen[place] = x if place == 37 else F.relu(x)
    y = convolved(F.max_pool2d(x, 3, 1, 1), state, "basenet.slice5.1", 6, 6)
    y = convolved(y, state, "basenet.slice5.2")
    for i, place in enumerate((37, 27, 17, 10), start=1):
        y = F.interpolate(y, size=seen[place].shape[2:], mode="bilinear", align_corners=False)
        for conv, padding in ((0, 0), (3, 1)):
            y = torch.cat([y, seen[place]], 1) if conv == 0 else y
            y = F.relu(
                normed(convolved(y, state, f"upconv{i}.conv.{conv}", padding), state, f"upconv{i}.conv.{conv + 1}")
            )
    for place, padding in ((0, 1), (2, 1), (4, 1), (6, 0), (8, 0)):
        y = convolved(y if place == 0 else F.relu(y), state, f"conv_cls.{place}", padding)
    return y


@pytest.mark.parametrize(
    ("name", "state", "theirs", "size", "parameters"),
    [
        ("hed", hed_state, hed_of_torch, (33, 47), 14_716_171),
        ("craft", craft_state, craft_of_torch, (32, 48), 20_770_466 - 1_440),  # biases that a normalisation cancels
    ],
)
def test_equals_torch(name, state, theirs, size, parameters, monkeypatch):
    arrays = state()
    monkeypatch.setattr(Record, "read", lambda record: dict(arrays))
    model, variables = segjax.from_pretrained(name)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == parameters
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    with torch.no_grad():
        expected = theirs(image, {key: torch.from_numpy(value) for key, value in arrays.items()})
    expected = expected.permute(0, 2, 3, 1).numpy()
    found = jax.jit(partial(model.apply, train=False))(variables, image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
