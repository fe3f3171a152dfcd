"""Models: an image in, logits of its size or boxes out; one family a file."""

from collections.abc import Callable

import flax.linen as nn

from segjax.models.centernet import CenterNet, Centers
from segjax.models.decoder import Decoder
from segjax.models.deconvnet import DeconvNet, deconvnet
from segjax.models.fcn import FCN, ScoreFCN, fcn8s, fcn16s, fcn32s
from segjax.models.full_resolution import FullResolutionCNN
from segjax.models.localizer import ExtremePointBox, Localizer, Located, MaskBox, RegressedBox
from segjax.models.multitask import Found, MultiTask
from segjax.models.segnet import SegNet, segnet, segnet_basic
from segjax.models.unet import UNet, unet

PUBLISHED: dict[str, Callable[..., nn.Module]] = {
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "segnet": segnet,
    "segnet_basic": segnet_basic,
    "deconvnet": deconvnet,
    "unet": unet,
}
"""The published configurations by name, each a function of `num_classes`."""

__all__ = [
    "FCN",
    "PUBLISHED",
    "CenterNet",
    "Centers",
    "Decoder",
    "DeconvNet",
    "ExtremePointBox",
    "Found",
    "FullResolutionCNN",
    "Localizer",
    "Located",
    "MaskBox",
    "MultiTask",
    "RegressedBox",
    "ScoreFCN",
    "SegNet",
    "UNet",
    "deconvnet",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "segnet",
    "segnet_basic",
    "unet",
]
