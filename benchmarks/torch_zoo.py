"""timm, torchvision and segmentation_models.pytorch, also where torchvision's compiled operators are made for another
torch."""

import torch

try:
    import torchvision
except RuntimeError:  # its Python part declares shapes of operators that its library did not bring
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

import segmentation_models_pytorch as smp
import timm
import torchvision.models.feature_extraction

__all__ = ["smp", "timm", "torchvision"]
