"""The climb of decoders that read one level: from there to a finer one, with nothing but an upsampler."""

from collections.abc import Callable

import flax.linen as nn

from segjax.level import Level


def climb(
    x: Level, levels: tuple[Level, ...], finest_stride: int, upsample: Callable[..., nn.Module]
) -> tuple[Level, ...]:
    """`x` and what the upsampler makes of it at each finer level, finest first; called inside a compact module."""
    passed = [x]
    goals = {to.stride: (i, to) for i, to in enumerate(levels, start=1) if finest_stride <= to.stride < x.stride}
    for i, to in sorted(goals.values(), key=lambda goal: -goal[1].stride):
        grown = upsample(features=x.width, factor=x.stride // to.stride, name=f"up{i}")(x.features, to)
        x = to.replace(features=grown, indices=None, tokens=None)
        passed.insert(0, x)
    return tuple(passed)
