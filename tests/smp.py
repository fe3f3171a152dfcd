"""segmentation_models.pytorch beside a torch for CPUs, where torchvision lacks two operators that are not called."""

import torch

_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import segmentation_models_pytorch as smp  # noqa: E402

__all__ = ["randomise_statistics", "smp"]


def randomise_statistics(module: torch.nn.Module) -> None:
    """Give every batch normalisation running statistics that make a difference."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
