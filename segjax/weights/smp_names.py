"""The names that segmentation_models.pytorch 0.6 gives to what decoders have, brought to those of `segjax.decoders`."""

from collections.abc import Mapping

import numpy as np

from segjax.weights.convert import renamed

_CONV = [(r"\.0\.(weight|bias)$", r".conv1.\1"), (r"\.1\.([a-z_]+)$", r".norm1.\1")]
"""A convolution and its norm in a row."""
_TWO = [(r"conv([12])\.0\.", r"conv\1."), (r"conv([12])\.1\.", r"norm\1.")]
_BLOCKS = range(5)
"""Its blocks count from the deepest, ours from the finest."""


def _unetplusplus() -> list[tuple[str, str]]:
    grid = [(rf"^blocks\.x_{d}_{at}\.", f"node{5 - at}_{at - d + 1}.") for at in range(4) for d in range(at + 1)]
    return [*grid, (r"^blocks\.x_0_4\.", "node1_1."), *_TWO]


def _manet() -> list[tuple[str, str]]:
    names = [(rf"^center\.{part}_conv\.", f"attention.{part}.") for part in ("top", "center", "bottom", "out")]
    for i in _BLOCKS:
        names += [(rf"^blocks\.{i}\.hl_conv\.{j}\.", f"{to}{5 - i}.") for j, to in enumerate(("before", "narrow"))]
        for part, to in (("ll", "gate_skip"), ("hl", "gate_up")):
            layers = (("1", "squeeze"), ("3", "excite"))
            names += [(rf"^blocks\.{i}\.SE_{part}\.{j}\.", f"{to}{5 - i}.{layer}.") for j, layer in layers]
        names += [(rf"^blocks\.{i}\.conv([12])\.", rf"stage{5 - i}.conv\1.")]
    names += [(r"^((?:before|narrow)\d)\.0\.", r"\1.conv1."), (r"^((?:before|narrow)\d)\.1\.", r"\1.norm1.")]
    return [*names, *_TWO]


def _linknet() -> list[tuple[str, str]]:
    parts = [("0", "narrow"), ("2", "widen")]
    names = [(rf"^blocks\.{i}\.block\.{j}\.", f"{to}{5 - i}.") for i in _BLOCKS for j, to in parts]
    names += [(rf"^blocks\.{i}\.block\.1\.0\.", f"up{5 - i}.") for i in _BLOCKS]
    names += [(rf"^blocks\.{i}\.block\.1\.1\.", f"up_norm{5 - i}.") for i in _BLOCKS]
    return [*names, (r"^(narrow\d|widen\d)\.0\.", r"\1.conv1."), (r"^(narrow\d|widen\d)\.1\.", r"\1.norm1.")]


def _fpn() -> list[tuple[str, str]]:
    names = [(r"^p5\.", "lateral4.conv1."), *((rf"^p{i}\.skip_conv\.", f"lateral{i - 1}.conv1.") for i in (2, 3, 4))]
    names += [(rf"^seg_blocks\.{i}\.block\.{j}\.block\.", f"merge{4 - i}_{j + 1}.") for i in range(4) for j in range(3)]
    return [*names, (r"^(merge\d_\d)\.0\.", r"\1.conv1."), (r"^(merge\d_\d)\.1\.", r"\1.norm1.")]


def _aspp(prefix: str, rings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    parts = {"0": "pixel", **{str(i): f"ring{i}" for i in (1, 2, 3)}, "4": "whole"}
    names = [(rf"^{prefix}\.convs\.{i}\.", f"aspp.{to}.") for i, to in parts.items()]
    whole = [(r"^aspp\.whole\.1\.", "aspp.whole.0."), (r"^aspp\.whole\.2\.", "aspp.whole.1.")]
    return [*names, (rf"^{prefix}\.project\.", "aspp.project."), *rings, *whole]


def _separable(name: str) -> list[tuple[str, str]]:
    return [
        (rf"^{name}\.0\.0\.", f"{name}.depth."),
        (rf"^{name}\.0\.1\.", f"{name}.point.conv1."),
        (rf"^{name}\.1\.", f"{name}.point.norm1."),
    ]


def _deeplabv3() -> list[tuple[str, str]]:
    return [*_aspp("aspp", []), *_CONV, (r"^conv\.", "conv.conv1."), (r"^bn\.", "conv.norm1.")]


def _deeplabv3plus() -> list[tuple[str, str]]:
    each = [pair for i in (1, 2, 3) for pair in _separable(f"ring{i}")]
    rings = [(pattern.replace("^", r"^aspp\."), f"aspp.{to}") for pattern, to in each]
    names = [*_aspp(r"aspp\.0", rings), (r"^aspp\.1\.0\.", "deep.depth."), (r"^aspp\.1\.1\.", "deep.point.conv1.")]
    names += [(r"^aspp\.2\.", "deep.point.norm1."), (r"^block1\.", "fine."), (r"^block2\.", "fuse.")]
    return [*names, *_separable("fuse"), *_CONV]


def _pan() -> list[tuple[str, str]]:
    parts = {r"branch1\.1": "whole", r"mid\.0": "middle", r"down1\.1": "down1", r"down2\.1": "down2"}
    parts |= {"conv2": "level2", "conv1": "level1"}
    names = [(rf"^fpa\.{part}\.", f"pyramid.{to}.") for part, to in parts.items()]
    names += [(rf"^fpa\.down3\.{i}\.conv\.", f"pyramid.down3.conv{i}.") for i in (1, 2)]
    names += [(rf"^fpa\.down3\.{i}\.bn\.", f"pyramid.down3.norm{i}.") for i in (1, 2)]
    names += [(r"^gau(\d)\.conv1\.1\.", r"gate\1."), (r"^gau(\d)\.conv2\.", r"fine\1.")]
    return [*names, (r"\.conv\.(weight|bias)$", r".conv1.\1"), (r"\.bn\.", ".norm1.")]


def _upernet() -> list[tuple[str, str]]:
    names = [(rf"^feature_norms\.{i}\.", f"norm{i + 1}.") for i in range(4)]
    names += [(rf"^psp\.blocks\.{i}\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)]
    names += [(rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral{3 - i}.") for i in range(3)]
    names += [(rf"^fpn_conv_blocks\.{i}\.", f"conv{3 - i}.") for i in range(3)]
    return [*names, (r"^psp\.out_conv\.", "pooled."), (r"^fusion_block\.", "fuse."), *_CONV]


def _segformer(levels: int) -> list[tuple[str, str]]:
    names = [(rf"^mlp_stage\.{i}\.linear\.", f"linear{levels - i}.") for i in range(levels)]
    return [*names, (r"^fuse_stage\.", "fuse."), *_CONV]


DECODERS: dict[str, list[tuple[str, str]]] = {
    "unet": [*((rf"^blocks\.{i}\.", f"stage{5 - i}.") for i in _BLOCKS), *_TWO],
    "unetplusplus": _unetplusplus(),
    "manet": _manet(),
    "linknet": _linknet(),
    "fpn": _fpn(),
    "pspnet": [*((rf"^psp\.blocks\.{i}\.pool\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)), *_CONV],
    "deeplabv3": _deeplabv3(),
    "deeplabv3plus": _deeplabv3plus(),
    "pan": _pan(),
    "upernet": _upernet(),
    "segformer": _segformer(4),
    "segformer_of_five": _segformer(5),
}
"""Patterns by decoder; `segformer_of_five` is that of an encoder with a level of stride 2."""
TRANSPOSED = r"(decoder\.)?up\d\.weight$"
"""Kernels of transposed convolutions, as brought: LinkNet's."""


def without_biases(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same function without the biases that a normalisation follows, as PAN has them: they shift its mean."""
    kept = dict(state)
    for name in state:
        mean = name.replace(".conv.bias", ".bn.running_mean")
        if name.endswith(".conv.bias") and mean in kept:
            kept[mean] = kept[mean] - kept.pop(name)
    return kept


def of_model(state: Mapping[str, np.ndarray], decoder: str) -> dict[str, np.ndarray]:
    """The state dict of a whole model under the names of a `Segmenter`: encoder, decoder, head."""
    brought = {}
    for name, value in without_biases(state).items():
        part, _, inside = name.partition(".")
        if part == "decoder":
            inside = renamed(inside, DECODERS[decoder])
        brought["head." + inside.removeprefix("0.") if part == "segmentation_head" else f"{part}.{inside}"] = value
    return brought
