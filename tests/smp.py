"""segmentation_models.pytorch, and weights for it that make a difference."""

import torch

from benchmarks.torch_zoo import smp

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
