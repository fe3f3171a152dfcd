"""Stages that dilate where they would stride beyond the output stride."""

from collections.abc import Sequence
from typing import NamedTuple


class Steps(NamedTuple):
    """How a stage moves over its input."""

    stride: int
    """Of its first block."""
    first_dilation: int
    """Of its first block."""
    dilation: int
    """Of the others."""
    output_stride: int
    """Pixels of the image in a cell of what it returns, along each axis."""


def dilated(strides: Sequence[int], before: int, output_stride: int, *, dilate_first: bool = False) -> list[Steps]:
    """The steps of stages that stride by `strides` as published, after what strides by `before`.

    A stage that would go beyond `output_stride` keeps its input's size; its windows, but those of its first block, are
    dilated to see what they would have seen (Yu and Koltun 2016; the first block as in torchvision and timm). With
    `dilate_first` those of the first block are, too (as in segmentation_models_pytorch).

    Raises:
        ValueError: an output stride other than 8, 16 and 32.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride is 8, 16 or 32, got {output_stride}.")
    steps, reached, dilation = [], before, 1
    for stride in strides:
        previous = dilation
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        steps.append(Steps(stride, dilation if dilate_first else previous, dilation, reached))
    return steps


def stages_for(strides: Sequence[int], depth: int) -> int:
    """How many stages make `depth` levels, where each level is the last stage's of its resolution.

    A first stage that strides leaves a level before it, the stem's.
    """
    ends = [i for i in range(1, len(strides) + 1) if strides[i : i + 1] != [1]]
    levels = ([0] if strides[0] > 1 else []) + ends
    return levels[:depth][-1]
