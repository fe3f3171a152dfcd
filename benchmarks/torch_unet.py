"""`segjax.models.unet`, with batch normalisation, in PyTorch, from the same variables."""

from typing import Any

import jax
import numpy as np
import torch
from torch import nn


class Stage(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (n c h w)."""
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))


class TorchUNet(nn.Module):
    """Five stages of widths `base` to `16 * base`, 2x2 transposed convolutions, skip connections."""

    def __init__(self, num_classes: int, base: int) -> None:
        super().__init__()
        widths = [base * 2**i for i in range(5)]
        self.encoder = nn.ModuleList([Stage(i, w) for i, w in zip([3, *widths], widths, strict=False)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1]])
        self.decoder = nn.ModuleList([Stage(2 * w, w) for w in widths[:-1]])
        self.head = nn.Conv2d(base, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n k h w)."""
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            if len(skips) < len(self.encoder):
                x = nn.functional.max_pool2d(x, 2)
        for up, stage, skip in zip(reversed(self.up), reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = stage(torch.cat([skip, up(x)], 1))
        return self.head(x)


def load_variables(network: Any, variables: Any) -> Any:
    """The network with the parameters that flax made; batch statistics start at 0 and 1 in both."""
    params = jax.device_get(variables["params"])
    with torch.no_grad():
        for i in range(5):
            _stage(network.encoder[i], params["encoder"][f"stage{i + 1}"])
        for i in range(4):
            up = params["decoder"][f"up{i + 1}"]
            # Ours is not flipped and has (rows, columns, in, out); torch's is (in, out, rows, columns).
            network.up[i].weight.copy_(torch.from_numpy(np.transpose(up["kernel"], (2, 3, 0, 1)).copy()))
            network.up[i].bias.copy_(torch.from_numpy(up["bias"].copy()))
            _stage(network.decoder[i], params["decoder"][f"stage{i + 1}"])
        _conv(network.head, params["head"])
    return network


def _stage(stage: Any, params: Any) -> None:
    for i in (1, 2):
        _conv(getattr(stage, f"conv{i}"), params[f"conv{i}"])
        norm = getattr(stage, f"norm{i}")
        norm.weight.copy_(torch.from_numpy(params[f"norm{i}"]["scale"].copy()))
        norm.bias.copy_(torch.from_numpy(params[f"norm{i}"]["bias"].copy()))


def _conv(conv: Any, params: Any) -> None:
    conv.weight.copy_(torch.from_numpy(np.transpose(params["kernel"], (3, 2, 0, 1)).copy()))
    if "bias" in params:
        conv.bias.copy_(torch.from_numpy(params["bias"].copy()))
