"""segmentation_models.pytorch beside a torch for CPUs, where torchvision lacks two operators that are not called."""

import torch

_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import segmentation_models_pytorch as smp  # noqa: E402

__all__ = ["smp"]
