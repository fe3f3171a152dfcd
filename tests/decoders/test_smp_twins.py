"""Each network of segmentation_models.pytorch 0.6 beyond its encoder, beside it: logits and gradients in float64."""

import importlib
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from smp import randomise_statistics, smp

from benchmarks.beside_torch import cast
from segjax import models
from segjax.level import level_at
from segjax.ops.geometry import Pair
from segjax.weights import smp_names
from segjax.weights.convert import from_torch

WIDTHS, STRIDES = (8, 16, 24, 32, 40), (2, 4, 8, 16, 32)
SMP = (3, *WIDTHS)
STAGES = (40, 32, 24, 16, 8)


class Given(nn.Module):
    """An encoder whose parameters are its features, which so have gradients."""

    strides: tuple[int, ...]
    widths: tuple[int, ...]
    output_stride: int = 32
    tokens: int = 0
    """Of every level."""

    @nn.compact
    def __call__(self, image, *, train):
        levels = []
        for i, (stride, width) in enumerate(zip(self.strides, self.widths, strict=True)):
            place = level_at(image, stride)
            features = self.param(f"level{i}", nn.initializers.normal(), (len(image), *place.size, width))
            tokens = None
            if self.tokens:
                tokens = self.param(f"tokens{i}", nn.initializers.normal(), (len(image), self.tokens, width))
            levels.append(place.replace(features=features, tokens=tokens))
        return tuple(levels)


class Case(NamedTuple):
    """A network: the arguments of its decoder there, and of its head; the settings of ours."""

    decoder: str
    arguments: tuple[Any, ...]
    channels: int
    """Of what the head sees."""
    window: int = 1
    """Of the head's convolution."""
    upsampling: int = 1
    settings: Mapping[str, Any] = MappingProxyType({})
    strides: tuple[int, ...] = STRIDES
    size: Pair = (64, 96)
    room: str | None = None
    tokens: int = 0


CASES = {
    "unet": Case("UnetDecoder", (SMP, STAGES), 8, 3, 1, {"decoder_channels": STAGES}, size=(33, 47)),
    "unetplusplus": Case("UnetPlusPlusDecoder", (SMP, STAGES), 8, 3, 1, {"decoder_channels": STAGES}),
    "manet": Case("MAnetDecoder", (SMP, STAGES), 8, 3, 1, {"decoder_channels": STAGES}),
    "linknet": Case("LinknetDecoder", (SMP,), 32),
    "fpn": Case(
        "FPNDecoder",
        (SMP, 5, 64, 32),
        32,
        1,
        4,
        {"decoder_pyramid_channels": 64, "decoder_segmentation_channels": 32},
    ),
    "pspnet": Case("PSPDecoder", (SMP[:4], True, 64), 64, 3, 8, {"psp_out_channels": 64}, STRIDES[:3]),
    "deeplabv3": Case(
        "DeepLabV3Decoder",
        (40, 32, (12, 24, 36), False, 0.5),
        32,
        1,
        8,
        {"decoder_channels": 32},
        (2, 4, 8, 8, 8),
    ),
    "deeplabv3plus": Case(
        "DeepLabV3PlusDecoder",
        (SMP, 5, 32, (12, 24, 36), 16, True, 0.5),
        32,
        1,
        4,
        {"decoder_channels": 32},
        (2, 4, 8, 16, 16),
        room="deeplabv3",
    ),
    "pan": Case("PANDecoder", (SMP, 5, 32), 32, 3, 4, {}, (2, 4, 8, 16, 16), (128, 160)),
    "upernet": Case("UPerNetDecoder", (SMP, 5, 32), 32, 1, 4, {"decoder_channels": 32}),
    "segformer": Case(
        "SegformerDecoder", ([3, 0, *WIDTHS[1:]], 5, 32), 32, 1, 4, {"decoder_segmentation_channels": 32}, STRIDES[1:]
    ),
    "segformer_of_five": Case(
        "SegformerDecoder", (SMP, 5, 32), 32, 1, 4, {"decoder_segmentation_channels": 32}, room="segformer"
    ),
    "dpt": Case(
        "DPTDecoder",
        ((24,) * 4, (16,) * 4, True, "cat", (8, 16, 24, 32), 16),
        16,
        settings={"decoder_intermediate_channels": (8, 16, 24, 32), "decoder_fusion_channels": 16},
        strides=(16,) * 4,
        tokens=3,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_are_those_of_smp(name: str):
    case = CASES[name]
    widths = WIDTHS[-len(case.strides) :] if case.strides[0] == 4 else WIDTHS[: len(case.strides)]
    widths = (24,) * 4 if case.tokens else widths
    rng, image = np.random.default_rng(0), np.zeros((2, *case.size, 3), np.float32)

    torch.manual_seed(0)
    room = case.room or name
    of_smp = importlib.import_module(f"{smp.__name__}.decoders.{room}.decoder")
    heads = importlib.import_module(f"{smp.__name__}.base")
    if case.tokens:
        head = of_smp.DPTSegmentationHead(case.channels, 3, upsampling=2)
    else:
        head = heads.SegmentationHead(case.channels, 3, kernel_size=case.window, upsampling=case.upsampling)
    decoder = getattr(of_smp, case.decoder)(*case.arguments)
    reference = torch.nn.ModuleDict({"decoder": decoder, "segmentation_head": head})
    randomise_statistics(reference)
    with torch.no_grad():
        for value in reference.state_dict().values():
            if value.ndim == 1:  # so that a mean less a bias, which PAN has before it, is a float32 as well
                value.copy_((value * 1024).round() / 1024)
    reference.eval().double()
    state = {key: value.numpy() for key, value in reference.state_dict().items()}

    make = getattr(models, "smp_" + name.removesuffix("_of_five"))
    encoder = Given(case.strides, widths, output_stride=case.strides[-1], tokens=case.tokens)
    model = make(encoder, 3, **case.settings)
    model = model.clone(decoder=model.decoder.clone(block=partial(model.decoder.block, dtype=jnp.float64)))
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)
    features = like["params"].pop("encoder")
    variables = from_torch(smp_names.of_model(state, name), like, transposed=smp_names.TRANSPOSED)
    variables["params"]["encoder"] = jax.tree.map(lambda x: rng.standard_normal(x.shape), features)
    weights = rng.standard_normal((2, *case.size, 3))

    def loss(params, image, weights):
        logits = model.apply({**variables, "params": params}, image, train=False)
        return jnp.vdot(logits, weights), logits

    with jax.enable_x64(True):
        variables = cast(variables, np.float64)
        ours = jax.jit(jax.grad(loss, has_aux=True))
        gradients, logits = jax.tree.map(np.asarray, ours(variables["params"], cast(image, np.float64), weights))

    given = {
        name: torch.from_numpy((leaf.transpose(0, 3, 1, 2) if leaf.ndim == 4 else leaf).copy()).requires_grad_()
        for name, leaf in variables["params"]["encoder"].items()
    }
    levels, tokens = ([one for name, one in given.items() if name.startswith(part)] for part in ("level", "tokens"))
    none = [levels[0][:, :0]] if case.strides[0] == 4 else []
    pixels = torch.zeros((2, 3, *case.size), dtype=torch.float64)
    seen = (levels, tokens) if tokens else ([pixels, *none, *levels],)
    theirs = reference["segmentation_head"](reference["decoder"](*seen)).permute(0, 2, 3, 1)
    (theirs * torch.from_numpy(weights)).sum().backward()

    expected = theirs.detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    for part, found in gradients.pop("encoder").items():
        one = given[part].grad
        pull = np.zeros(found.shape) if one is None else (one.permute(0, 2, 3, 1) if one.ndim == 4 else one).numpy()
        np.testing.assert_allclose(found, pull, rtol=0, atol=1e-10 * np.abs(pull).max(), err_msg=part)
    pulls = {key: np.zeros_like(state[key]) for key in state} | {
        key: value.grad.numpy() for key, value in reference.named_parameters() if value.grad is not None
    }
    like = {**variables, "params": gradients}
    expected = from_torch(smp_names.of_model(pulls, name), like, transposed=smp_names.TRANSPOSED)
    for path, found in jax.tree.leaves_with_path(gradients):
        pull = expected["params"]
        for key in path:
            pull = pull[key.key]
        np.testing.assert_allclose(
            found, pull, rtol=0, atol=1e-10 * np.abs(pull).max(), err_msg=jax.tree_util.keystr(path)
        )
