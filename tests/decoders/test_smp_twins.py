"""Each decoder beside that of segmentation_models.pytorch 0.6, from the same weights and features."""

import importlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn
from smp import randomise_statistics, smp

from segjax import decoders
from segjax.layers import ConvBlock, group_norm
from segjax.level import level_at
from segjax.upsampling import Bilinear, Nearest
from segjax.weights import smp_names
from segjax.weights.convert import from_torch

# Compiled without optimisation: these programs run once.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

ALIGNED = partial(Bilinear, align_corners=True)


def reference_decoder(room, name):
    return getattr(importlib.import_module(f"{smp.__name__}.decoders.{room}.decoder"), name)


def levels_from(strides, widths, rows=64, columns=96):
    """Features of an image: SMP's list, the image first, and the same as levels."""
    rng, shapes = np.random.default_rng(0), list(zip(strides, widths, strict=False))
    image = rng.standard_normal((2, rows, columns, 3), np.float32)
    place = partial(level_at, jnp.asarray(image))
    arrays = [rng.standard_normal((2, rows // s, columns // s, w)).astype(np.float32) for s, w in shapes]
    levels = tuple(place(s, jnp.asarray(a)) for s, a in zip(strides, arrays, strict=True))
    return [torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (image, *arrays)], (place(1), *levels)


WIDTHS, STRIDES = (8, 16, 24, 32, 40), (2, 4, 8, 16, 32)
SMP = (3, *WIDTHS)


STAGES = (8, 16, 24, 32, 40)

CASES: dict[str, tuple[str, tuple[Any, ...], nn.Module, dict[str, Any]]] = {
    "unet": (
        "UnetDecoder",
        (SMP, STAGES[::-1]),
        decoders.UNetDecoder(tuple((w, w) for w in STAGES), Nearest, up_first=True, narrowing=False),
        {},
    ),
    "unetplusplus": ("UnetPlusPlusDecoder", (SMP, STAGES[::-1]), decoders.UNetPlusPlusDecoder(STAGES), {}),
    "manet": (
        "MAnetDecoder",
        (SMP, STAGES[::-1]),
        decoders.MANetDecoder(STAGES, attention=partial(decoders.PositionAttention, joint=True)),
        {},
    ),
    "linknet": ("LinknetDecoder", (SMP,), decoders.LinkNetDecoder(), {}),
    "fpn": ("FPNDecoder", (SMP,), decoders.FPNDecoder(merge=ALIGNED, block=partial(ConvBlock, norm=group_norm)), {}),
    "pspnet": ("PSPDecoder", (SMP[:4],), decoders.PSPNetDecoder(align_corners=True), {"depth": 3}),
    "deeplabv3": (
        "DeepLabV3Decoder",
        (40, 64, (12, 24, 36), False, 0.5),
        decoders.DeepLabV3Decoder(64),
        {"strides": (2, 4, 8, 8, 8)},
    ),
    "deeplabv3plus": (
        "DeepLabV3PlusDecoder",
        (SMP, 5, 64, (12, 24, 36), 16, True, 0.5),
        decoders.DeepLabV3PlusDecoder(64, upsample=ALIGNED),
        {"strides": (2, 4, 8, 16, 16), "room": "deeplabv3"},
    ),
    "pan": (
        "PANDecoder",
        (SMP, 5, 32),
        decoders.PANDecoder(32, align_corners=True, upsample=ALIGNED),
        {"strides": (2, 4, 8, 16, 16), "size": (128, 256)},
    ),
    "upernet": ("UPerNetDecoder", (SMP, 5, 64), decoders.UPerNetDecoder(64), {}),
    "segformer": ("SegformerDecoder", ([3, 0, *WIDTHS[1:]], 5, 64), decoders.SegFormerDecoder(64), {"no_half": True}),
    "segformer_of_five": (
        "SegformerDecoder",
        (SMP, 5, 64),
        decoders.SegFormerDecoder(64, finer=True),
        {"room": "segformer"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_smp(name):
    torch.manual_seed(0)
    kind, arguments, decoder, how = CASES[name]
    reference = reference_decoder(how.get("room", name), kind)(*arguments)
    randomise_statistics(reference)
    features, levels = levels_from(how.get("strides", STRIDES), WIDTHS, *how.get("size", (64, 96)))
    if "depth" in how:
        features, levels = features[: how["depth"] + 1], levels[: how["depth"] + 1]
    if "no_half" in how:
        features[1], levels = features[1][:, :0], (levels[0], *levels[2:])
    state = {f"decoder.{key}": value.numpy() for key, value in reference.state_dict().items()}
    brought = {key.removeprefix("decoder."): value for key, value in smp_names.of_model(state, name).items()}
    like = jax.eval_shape(partial(decoder.init, train=False), jax.random.key(0), levels)
    variables = from_torch(brought, like, transposed=smp_names.TRANSPOSED)
    expected = reference.eval()(features).detach().numpy().transpose(0, 2, 3, 1)
    found = jit(partial(decoder.apply, train=False))(variables, levels)[0].features
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())
