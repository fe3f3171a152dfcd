"""The names that segmentation_models.pytorch 0.6 gives to what decoders have, brought to those of `segjax.decoders`,
and back."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from segjax.weights.convert import Names, Variables, inverse, renamed, to_torch

_CONV = [(r"\.0\.(weight|bias)$", r".conv1.\1"), (r"\.1\.([a-z_]+)$", r".norm1.\1")]
"""A convolution and its norm in a row."""
_TWO = [(r"conv([12])\.0\.(weight|bias)$", r"conv\1.\2"), (r"conv([12])\.1\.", r"norm\1.")]
_BLOCKS = range(5)
"""Its blocks count from the deepest, ours from the finest."""
_CENTER = [(rf"^center\.{i}\.", f"bottleneck.conv{i + 1}.") for i in (0, 1)]
_SCSE = [(r"\.cSE\.1\.", ".channels.squeeze."), (r"\.cSE\.3\.", ".channels.excite."), (r"\.sSE\.0\.", ".places.")]
_ATTENTION = {"attention1": "joined", "attention2": "attended"}


def _unet() -> list[tuple[str, str]]:
    names = [
        (rf"^blocks\.{i}\.{part}\.attention\.", f"{to}{5 - i}.") for i in _BLOCKS for part, to in _ATTENTION.items()
    ]
    return [*_CENTER, *names, *((rf"^blocks\.{i}\.", f"stage{5 - i}.") for i in _BLOCKS), *_TWO, *_SCSE]


def _unetplusplus() -> list[tuple[str, str]]:
    grid = [(f"x_{d}_{at}", f"{5 - at}_{at - d + 1}") for at in range(4) for d in range(at + 1)] + [("x_0_4", "1_1")]
    names = [
        (rf"^blocks\.{node}\.{part}\.attention\.", f"{to}{place}.")
        for node, place in grid
        for part, to in _ATTENTION.items()
    ]
    return [*_CENTER, *names, *((rf"^blocks\.{node}\.", f"node{place}.") for node, place in grid), *_TWO, *_SCSE]


def _manet() -> list[tuple[str, str]]:
    names = [(rf"^center\.{part}_conv\.", f"attention.{part}.") for part in ("top", "center", "bottom", "out")]
    for i in _BLOCKS:
        names += [(rf"^blocks\.{i}\.hl_conv\.{j}\.", f"{to}{5 - i}.") for j, to in enumerate(("before", "narrow"))]
        for part, to in (("ll", "gate_skip"), ("hl", "gate_up")):
            layers = (("1", "squeeze"), ("3", "excite"))
            names += [(rf"^blocks\.{i}\.SE_{part}\.{j}\.", f"{to}{5 - i}.{layer}.") for j, layer in layers]
        names += [(rf"^blocks\.{i}\.conv([12])\.", rf"stage{5 - i}.conv\1.")]
    in_a_row = [(r"^(before\d|narrow\d)\.0\.", r"\1.conv1."), (r"^(before\d|narrow\d)\.1\.", r"\1.norm1.")]
    return [*names, *_TWO, *in_a_row]


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


def _in_a_row(name: str, to: str) -> list[tuple[str, str]]:
    """A convolution and its norm."""
    return [(rf"^{name}\.0\.", f"{to}.conv1."), (rf"^{name}\.1\.", f"{to}.norm1.")]


def _separable(name: str, to: str) -> list[tuple[str, str]]:
    parts = {r"0\.0": "depth", r"0\.1": "point.conv1", "1": "point.norm1"}
    return [(rf"^{name}\.{part}\.", f"{to}.{inside}.") for part, inside in parts.items()]


def _aspp(prefix: str, separable: bool) -> list[tuple[str, str]]:
    names = _in_a_row(rf"{prefix}\.convs\.0", "aspp.pixel")
    for i in (1, 2, 3):
        names += (_separable if separable else _in_a_row)(rf"{prefix}\.convs\.{i}", f"aspp.ring{i}")
    names += [(rf"^{prefix}\.convs\.4\.1\.", "aspp.whole.conv1."), (rf"^{prefix}\.convs\.4\.2\.", "aspp.whole.norm1.")]
    return [*names, *_in_a_row(rf"{prefix}\.project", "aspp.project")]


def _deeplabv3(separable: bool) -> list[tuple[str, str]]:
    return [*_aspp("aspp", separable), (r"^conv\.", "conv.conv1."), (r"^bn\.", "conv.norm1.")]


def _deeplabv3plus() -> list[tuple[str, str]]:
    deep = [
        (r"^aspp\.1\.0\.", "deep.depth."),
        (r"^aspp\.1\.1\.", "deep.point.conv1."),
        (r"^aspp\.2\.", "deep.point.norm1."),
    ]
    return [*_aspp(r"aspp\.0", True), *deep, *_in_a_row("block1", "fine"), *_separable("block2", "fuse")]


def _pan() -> list[tuple[str, str]]:
    names = [(r"\.conv\.(weight|bias)$", r".conv1.\1"), (r"\.bn\.", ".norm1.")]
    parts = {r"branch1\.1": "whole", r"mid\.0": "middle", r"down1\.1": "down1", r"down2\.1": "down2"}
    parts |= {"conv2": "level2", "conv1": "level1"}
    names += [(rf"^fpa\.{part}\.", f"pyramid.{to}.") for part, to in parts.items()]
    names += [
        (rf"^fpa\.down3\.{i}\.{part}1\.", f"pyramid.down3.{part}{i}.") for i in (1, 2) for part in ("conv", "norm")
    ]
    return [*names, (r"^gau(\d)\.conv1\.1\.", r"gate\1."), (r"^gau(\d)\.conv2\.", r"fine\1.")]


def _upernet() -> list[tuple[str, str]]:
    names = [(rf"^feature_norms\.{i}\.", f"norm{i + 1}.") for i in range(4)]
    names += [(rf"^psp\.blocks\.{i}\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)]
    names += [(rf"^fpn_lateral_blocks\.{i}\.conv_norm_relu\.", f"lateral{3 - i}.") for i in range(3)]
    names += [(rf"^fpn_conv_blocks\.{i}\.", f"conv{3 - i}.") for i in range(3)]
    return [*names, (r"^psp\.out_conv\.", "pooled."), (r"^fusion_block\.", "fuse."), *_CONV]


def _segformer(levels: int) -> list[tuple[str, str]]:
    names = [(rf"^mlp_stage\.{i}\.linear\.", f"linear{levels - i}.") for i in range(levels)]
    return [*names, (r"^fuse_stage\.", "fuse."), *_CONV]


def _dpt() -> list[tuple[str, str]]:
    names = []
    for i in range(4):
        names += [(rf"^projection_blocks\.{i}\.project\.0\.", f"read{i + 1}.")]
        moves = {"project_to_out_channel": "widen", "upsample": "shrink" if i == 3 else "grow"}
        for part, to in {**moves, "project_to_feature_dim": "narrow"}.items():
            names += [(rf"^reassemble_blocks\.{i}\.{part}\.", f"{to}{i + 1}.")]
        names += [(rf"^fusion_blocks\.{i}\.project\.", f"out{4 - i}.")]
        for part, to in (("residual_conv_block1", "own"), ("residual_conv_block2", "fused")):
            for j in (1, 2):
                names += [(rf"^fusion_blocks\.{i}\.{part}\.conv_{j}\.", f"{to}{4 - i}_{j}.conv1.")]
                names += [(rf"^fusion_blocks\.{i}\.{part}\.batch_norm_{j}\.", f"{to}{4 - i}_{j}.norm1.")]
    return names


DECODERS: dict[str, list[tuple[str, str]]] = {
    "unet": _unet(),
    "unetplusplus": _unetplusplus(),
    "manet": _manet(),
    "linknet": _linknet(),
    "fpn": _fpn(),
    "pspnet": [*((rf"^psp\.blocks\.{i}\.pool\.1\.", f"pyramid.pool{i + 1}.") for i in range(4)), *_CONV],
    "deeplabv3": _deeplabv3(False),
    "deeplabv3_separable": _deeplabv3(True),
    "deeplabv3plus": _deeplabv3plus(),
    "pan": _pan(),
    "upernet": _upernet(),
    "dpt": _dpt(),
    "segformer": _segformer(4),
    "segformer_of_five": _segformer(5),
}
"""Patterns by decoder, which `inverse` can turn round; `segformer_of_five` is that of an encoder with a level of
stride 2."""
TRANSPOSED = r"(decoder\.)?(up|grow)\d\.weight$"
"""Kernels of transposed convolutions, as brought: LinkNet's and DPT's."""


def without_biases(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same function without the biases that a normalisation follows, as PAN has them: they shift its mean."""
    kept = dict(state)
    for name in state:
        mean = name.replace(".conv.bias", ".bn.running_mean")
        if name.endswith(".conv.bias") and mean in kept:
            kept[mean] = kept[mean] - kept.pop(name)
    return kept


_OF_DPT = (
    ("segmentation_head.head.0.", "decoder.last.conv1."),
    ("segmentation_head.head.1.", "decoder.last.norm1."),
    ("segmentation_head.head.4.", "head."),
)
"""Its head, of which all but the last convolution are the decoder's here."""
_IMAGE_HEAD = ("classification_head.3.", "image_head.logits.")


def of_model(state: Mapping[str, np.ndarray], decoder: str, encoder: Names = ()) -> dict[str, np.ndarray]:
    """The state dict of a whole model under the names of a `Segmenter`: encoder, decoder, heads.

    `encoder` is what brings the encoder's names to those of `segjax.encoders`.
    """
    brought = {}
    for name, value in without_biases(state).items():
        part, _, inside = name.partition(".")
        if decoder == "dpt" and part == "segmentation_head":
            for there, here in _OF_DPT:
                name = name.replace(there, here)
        elif part == "segmentation_head":
            name = "head." + inside.removeprefix("0.")
        elif part in ("encoder", "decoder"):
            name = f"{part}.{renamed(inside, encoder if part == 'encoder' else DECODERS[decoder])}"
        brought[name.replace(*_IMAGE_HEAD)] = value
    return brought


def to_model(variables: Variables, decoder: str, encoder: Names = ()) -> dict[str, np.ndarray]:
    """The inverse of `of_model`, in torch's layouts: the variables of a `Segmenter` as it saves and loads them."""
    state: dict[str, np.ndarray] = {}
    for part in variables["params"]:
        inside: dict[str, Any] = {kind: tree[part] for kind, tree in variables.items() if part in tree}
        transposed = TRANSPOSED.replace(r"(decoder\.)?", "") if part == "decoder" else None
        for name, value in to_torch(inside, transposed=transposed).items():
            match part:
                case "encoder":
                    state[f"encoder.{renamed(name, inverse(encoder))}"] = value
                case "decoder":
                    # A number after a letter is of the name here, and no place in a list as in torch's modules.
                    joined = re.sub(r"([a-z]\d)\.(\d)\.", r"\1_\2.", name)
                    state[f"decoder.{renamed(joined, inverse(DECODERS[decoder]))}"] = value
                case "head":
                    state[f"segmentation_head.0.{name}"] = value
                case _:
                    state[f"{part}.{name}".replace(_IMAGE_HEAD[1], _IMAGE_HEAD[0])] = value
    if decoder == "dpt":
        own = [("decoder.last.conv1.", _OF_DPT[0][0]), ("decoder.last.norm1.", _OF_DPT[1][0])]
        own += [("segmentation_head.0.", _OF_DPT[2][0])]
        for here, there in own:
            state = {name.replace(here, there): value for name, value in state.items()}
    if decoder == "pan":
        biases = {name.replace(".bn.running_mean", ".conv.bias"): value for name, value in state.items()}
        state |= {name: np.zeros_like(value) for name, value in biases.items() if name.endswith(".conv.bias")}
    counters = [name.replace("running_mean", "num_batches_tracked") for name in state if name.endswith("running_mean")]
    return state | {name: np.zeros((), np.int64) for name in counters}
