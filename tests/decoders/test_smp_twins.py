"""Each decoder beside that of segmentation_models.pytorch 0.6, from the same weights and features."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn
from smp import smp

from segjax import decoders
from segjax.layers import ConvBlock
from segjax.level import level_at
from segjax.upsampling import Bilinear, Nearest
from segjax.weights.convert import from_torch

# Compiled without optimisation: these programs run once.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

ALIGNED = partial(Bilinear, align_corners=True)
CONV = [(r"\.0\.(weight|bias)$", r".conv1.\1"), (r"\.1\.([a-z_]+)$", r".norm1.\1")]
"""Of a Sequential of convolution and norm."""
PAIR = [(r"\.0\.", ".conv1."), (r"\.1\.", ".norm1.")]
TWO = [(r"conv([12])\.0\.", r"conv\1."), (r"conv([12])\.1\.", r"norm\1.")]


def reference_decoder(room, name):
    return getattr(importlib.import_module(f"{smp.__name__}.decoders.{room}.decoder"), name)


def without_biases(state):
    """The same function where a normalisation follows: a bias before it only shifts the mean."""
    kept = dict(state)
    for name in state:
        if name.endswith(".conv.bias"):
            mean = name.replace(".conv.bias", ".bn.running_mean")
            kept[mean] = kept[mean] - kept.pop(name)
    return kept


def group_norm(use_running_average, dtype, name):
    return nn.GroupNorm(32, epsilon=1e-5, dtype=dtype, name=name)


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


def numbered(pattern, replacement, count):
    """Names of SMP's blocks, which count from the deepest, as ours, which count from the finest."""
    return [(pattern.format(i), replacement.format(count - i)) for i in range(count)]


def unet():
    reference = reference_decoder("unet", "UnetDecoder")(SMP, (40, 32, 24, 16, 8))
    names = [
        *numbered(r"^blocks\.{}\.", "stage{}.", 5),
        (r"conv([12])\.0\.", r"conv\1."),
        (r"conv([12])\.1\.", r"norm\1."),
    ]
    stages = tuple((w, w) for w in (8, 16, 24, 32, 40))
    return reference, decoders.UNetDecoder(stages, Nearest, up_first=True, narrowing=False), names, {}


def unetplusplus():
    reference = reference_decoder("unetplusplus", "UnetPlusPlusDecoder")(SMP, (40, 32, 24, 16, 8))
    grid = [(rf"^blocks\.x_{d}_{at}\.", f"node{5 - at}_{at - d + 1}.") for at in range(4) for d in range(at + 1)]
    names = [
        *grid,
        (r"^blocks\.x_0_4\.", "node1_1."),
        (r"conv([12])\.0\.", r"conv\1."),
        (r"conv([12])\.1\.", r"norm\1."),
    ]
    return reference, decoders.UNetPlusPlusDecoder((8, 16, 24, 32, 40)), names, {}


def manet():
    reference = reference_decoder("manet", "MAnetDecoder")(SMP, (40, 32, 24, 16, 8))
    names = [(rf"^center\.{part}_conv\.", f"attention.{part}.") for part in ("top", "center", "bottom", "out")]
    for i in range(5):
        names += [
            (rf"^blocks\.{i}\.hl_conv\.0\.", f"before{5 - i}."),
            (rf"^blocks\.{i}\.hl_conv\.1\.", f"narrow{5 - i}."),
        ]
        for part, to in (("ll", "gate_skip"), ("hl", "gate_up")):
            layers = (("1", "squeeze"), ("3", "excite"))
            names += [(rf"^blocks\.{i}\.SE_{part}\.{j}\.", f"{to}{5 - i}.{layer}.") for j, layer in layers]
        names += [(rf"^blocks\.{i}\.conv([12])\.", rf"stage{5 - i}.conv\1.")]
    joint = partial(decoders.PositionAttention, joint=True)
    names += [*TWO, *((rf"^((?:before|narrow)\d){pattern}", rf"\1{to}") for pattern, to in PAIR)]
    return reference, decoders.MANetDecoder((8, 16, 24, 32, 40), attention=joint), names, {}


def pan():
    reference = reference_decoder("pan", "PANDecoder")(SMP, 5, 32)
    parts = {"branch1.1": "whole", "mid.0": "middle", "down1.1": "down1", "down2.1": "down2", "conv2": "level2"}
    parts |= {"conv1": "level1"}
    names = [(rf"^fpa\.{part.replace('.', chr(92) + '.')}\.", f"pyramid.{to}.") for part, to in parts.items()]
    names += [(rf"^fpa\.down3\.{i}\.conv\.", f"pyramid.down3.conv{i}.") for i in (1, 2)]
    names += [(rf"^fpa\.down3\.{i}\.bn\.", f"pyramid.down3.norm{i}.") for i in (1, 2)]
    names += [(r"^gau(\d)\.conv1\.1\.", r"gate\1."), (r"^gau(\d)\.conv2\.", r"fine\1.")]
    names += [(r"\.conv\.(weight|bias)$", r".conv1.\1"), (r"\.bn\.", ".norm1.")]
    decoder = decoders.PANDecoder(32, align_corners=True, upsample=ALIGNED)
    return reference, decoder, names, {"strides": (2, 4, 8, 16, 16), "rows": 128, "columns": 256, "bias": True}


def linknet():
    reference = reference_decoder("linknet", "LinknetDecoder")(SMP)
    parts = [("0", "narrow"), ("2", "widen")]
    names = [(rf"^blocks\.{i}\.block\.{j}\.", f"{to}{5 - i}.") for i in range(5) for j, to in parts]
    names += [(rf"^blocks\.{i}\.block\.1\.0\.", f"up{5 - i}.") for i in range(5)]
    names += [(rf"^blocks\.{i}\.block\.1\.1\.", f"up_norm{5 - i}.") for i in range(5)]
    names += [(r"^(narrow\d|widen\d)\.0\.", r"\1.conv1."), (r"^(narrow\d|widen\d)\.1\.", r"\1.norm1.")]
    return reference, decoders.LinkNetDecoder(), names, {"transposed": r"up\d\.weight"}


def fpn():
    reference = reference_decoder("fpn", "FPNDecoder")(SMP)
    names = [(r"^p5\.", "lateral4.conv1."), *((rf"^p{i}\.skip_conv\.", f"lateral{i - 1}.conv1.") for i in (2, 3, 4))]
    names += [(rf"^seg_blocks\.{i}\.block\.{j}\.block\.", f"merge{4 - i}_{j + 1}.") for i in range(4) for j in range(3)]
    names += [(r"^(merge\d_\d)\.0\.", r"\1.conv1."), (r"^(merge\d_\d)\.1\.", r"\1.norm1.")]
    # The laterals have neither norm nor activation, whatever the block has.
    block = partial(ConvBlock, norm=group_norm)
    return reference, decoders.FPNDecoder(merge=ALIGNED, block=block), names, {}


def pspnet():
    reference = reference_decoder("pspnet", "PSPDecoder")(SMP[:4])
    names = [(rf"^psp\.blocks\.{i}\.pool\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)] + CONV
    names = [(r"^conv\.", "conv."), *names]
    return reference, decoders.PSPNetDecoder(align_corners=True), names, {"depth": 3}


def aspp(prefix, rings):
    parts = {"0": "pixel", **{str(i): f"ring{i}" for i in (1, 2, 3)}, "4": "whole"}
    names = [(rf"^{prefix}\.convs\.{i}\.", f"aspp.{to}.") for i, to in parts.items()]
    return [
        *names,
        (rf"^{prefix}\.project\.", "aspp.project."),
        *rings,
        (r"^aspp\.whole\.1\.", "aspp.whole.0."),
        (r"^aspp\.whole\.2\.", "aspp.whole.1."),
    ]


def deeplabv3():
    reference = reference_decoder("deeplabv3", "DeepLabV3Decoder")(40, 64, (12, 24, 36), False, 0.5)
    names = [*aspp("aspp", []), *CONV, (r"^conv\.", "conv.conv1."), (r"^bn\.", "conv.norm1.")]
    return reference, decoders.DeepLabV3Decoder(64), names, {"strides": (2, 4, 8, 8, 8)}


def separable(name):
    return [
        (rf"^{name}\.0\.0\.", f"{name}.depth."),
        (rf"^{name}\.0\.1\.", f"{name}.point.conv1."),
        (rf"^{name}\.1\.", f"{name}.point.norm1."),
    ]


def deeplabv3plus():
    reference = reference_decoder("deeplabv3", "DeepLabV3PlusDecoder")(SMP, 5, 64, (12, 24, 36), 16, True, 0.5)
    rings = [
        (pattern.replace("^", r"^aspp\."), "aspp." + to) for i in (1, 2, 3) for pattern, to in separable(f"ring{i}")
    ]
    names = [*aspp(r"aspp\.0", rings), (r"^aspp\.1\.0\.", "deep.depth."), (r"^aspp\.1\.1\.", "deep.point.conv1.")]
    names += [(r"^aspp\.2\.", "deep.point.norm1."), (r"^block1\.", "fine."), (r"^block2\.", "fuse.")]
    return (
        reference,
        decoders.DeepLabV3PlusDecoder(64, upsample=ALIGNED),
        [*names, *separable("fuse"), *CONV],
        {"strides": (2, 4, 8, 16, 16)},
    )


def upernet():
    reference = reference_decoder("upernet", "UPerNetDecoder")(SMP, decoder_channels=64)
    names = [(rf"^feature_norms\.{i}\.", f"norm{i + 1}.") for i in range(4)]
    names += [(rf"^psp\.blocks\.{i}\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)]
    names += [(rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral{3 - i}.") for i in range(3)]
    names += [(rf"^fpn_conv_blocks\.{i}\.", f"conv{3 - i}.") for i in range(3)]
    names += [(r"^psp\.out_conv\.", "pooled."), (r"^fusion_block\.", "fuse.")]
    return reference, decoders.UPerNetDecoder(64), [*names, *CONV], {}


def segformer():
    reference = reference_decoder("segformer", "SegformerDecoder")([3, 0, *WIDTHS[1:]], segmentation_channels=64)
    names = [(rf"^mlp_stage\.{i}\.linear\.", f"linear{4 - i}.") for i in range(4)] + [(r"^fuse_stage\.", "fuse.")]
    return reference, decoders.SegFormerDecoder(64), [*names, *CONV], {"no_half": True}


TWINS = [unet, unetplusplus, linknet, fpn, pspnet, deeplabv3, deeplabv3plus, upernet, segformer, manet, pan]


@pytest.mark.parametrize("make", TWINS, ids=lambda make: make.__name__)
def test_equals_smp(make):
    torch.manual_seed(0)
    reference, decoder, names, how = make()
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    features, levels = levels_from(how.get("strides", STRIDES), WIDTHS, how.get("rows", 64), how.get("columns", 96))
    if "depth" in how:
        features, levels = features[: how["depth"] + 1], levels[: how["depth"] + 1]
    if how.get("no_half"):
        features[1], levels = features[1][:, :0], (levels[0], *levels[2:])
    state = {name: value.numpy() for name, value in reference.state_dict().items()}
    if how.get("bias"):
        state = without_biases(state)
    like = jax.eval_shape(partial(decoder.init, train=False), jax.random.key(0), levels)
    variables = from_torch(state, like, names=names, transposed=how.get("transposed"))
    expected = reference.eval()(features).detach().numpy().transpose(0, 2, 3, 1)
    found = jit(partial(decoder.apply, train=False))(variables, levels)[0].features
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())
