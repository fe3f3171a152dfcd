"""Models: an image in, logits of its size or boxes out."""

from collections.abc import Callable

import flax.linen as nn

from segjax.models.card import About
from segjax.models.centernet import CenterNet, Centers
from segjax.models.classifier import Classifier
from segjax.models.edges import hed
from segjax.models.full_resolution import FullResolutionCNN
from segjax.models.heads import AuxiliaryHead, ImageHead, OfScores, TwoClasses
from segjax.models.localizer import ExtremePointBox, Localizer, Located, MaskBox, RegressedBox
from segjax.models.multihead import MultiHead, MultiHeadOutputs
from segjax.models.pretrained import from_pretrained
from segjax.models.published import (
    deconvnet,
    fcn,
    fcn8s,
    fcn16s,
    fcn32s,
    mirrored,
    plain_block,
    segnet,
    segnet_basic,
    unet,
)
from segjax.models.saved import save_pretrained
from segjax.models.segmenter import DeeplySupervised, Segmented, Segmenter
from segjax.models.selfie import selfie
from segjax.models.smp_pyramids import (
    smp_deeplabv3,
    smp_deeplabv3plus,
    smp_dpt,
    smp_fpn,
    smp_pan,
    smp_pspnet,
    smp_segformer,
    smp_upernet,
)
from segjax.models.smp_unets import smp_linknet, smp_manet, smp_unet, smp_unetplusplus
from segjax.models.text_regions import CRAFT, craft

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
    "CRAFT",
    "PUBLISHED",
    "About",
    "AuxiliaryHead",
    "CenterNet",
    "Centers",
    "Classifier",
    "DeeplySupervised",
    "ExtremePointBox",
    "FullResolutionCNN",
    "ImageHead",
    "Localizer",
    "Located",
    "MaskBox",
    "MultiHead",
    "MultiHeadOutputs",
    "OfScores",
    "RegressedBox",
    "Segmented",
    "Segmenter",
    "TwoClasses",
    "craft",
    "deconvnet",
    "fcn",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "from_pretrained",
    "hed",
    "mirrored",
    "plain_block",
    "save_pretrained",
    "segnet",
    "segnet_basic",
    "selfie",
    "smp_deeplabv3",
    "smp_deeplabv3plus",
    "smp_dpt",
    "smp_fpn",
    "smp_linknet",
    "smp_manet",
    "smp_pan",
    "smp_pspnet",
    "smp_segformer",
    "smp_unet",
    "smp_unetplusplus",
    "smp_upernet",
    "unet",
]
