"""The encoders of segmentation_models.pytorch 0.6 that segjax has, by its names."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn

from segjax import encoders
from segjax.encoders.efficientnet import scaled, tf_batch_norm
from segjax.layers import batch_norm
from segjax.weights.names import MOBILENET_V2, Names, lite


class Taken(NamedTuple):
    """An encoder as it is there."""

    make: Callable[..., nn.Module]
    names: Names = ()
    """What brings its names to ours."""
    before_classifier: int = 0
    """Channels of a convolution to the classifier that is kept there and never run; 0 for none."""


_RESNETS = re.compile(r"resnet(18|34|50|101|152)|resnext(50_32x4d|101_32x8d)|mit_b[0-5]")
_SIZES = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600}
"""Of the images that its own EfficientNets pad for, whatever they are given."""
_BEFORE = {"b0": 1280, "b1": 1280, "b2": 1408, "b3": 1536, "b4": 1792, "b5": 2048, "b6": 2304, "b7": 2560}
_LARGER = {"b8": (scaled(2.2, 3.6), 2816), "l2": (scaled(4.3, 5.3), 5504)}
_TORCH: dict[str, Any] = {"padding": "symmetric", "norm": batch_norm}
_TIMM: dict[str, Any] = _TORCH | {"stem_level": True}
_MODEL = (r"^model\.", "")


def _static(size: str) -> Taken:
    """Its own EfficientNet, which is of efficientnet_pytorch."""
    make: Any = encoders.BY_NAME[f"efficientnet_{size}"]
    own = {"symmetric_at": tuple(stride for stride in (1, 2, 4, 8, 16) if -(-_SIZES[size] // stride) % 2)}
    own |= {"first_block_at": (16,)} if size == "b0" else {}
    blocks = tuple(len(stage) for stage in make.keywords["stages"])
    return Taken(partial(make, stem_level=True, **own), lite(blocks), _BEFORE[size])


def _all(pattern: str) -> dict[str, Callable[..., nn.Module]]:
    return {name: make for name, make in encoders.BY_NAME.items() if re.match(pattern, name)}


ENCODERS: dict[str, Taken] = {
    **{name: Taken(make) for name, make in encoders.BY_NAME.items() if _RESNETS.fullmatch(name)},
    **{
        f"resnext101_32x{width}d": Taken(partial(encoders.resnet101, groups=32, group_width=width))
        for width in (4, 16, 32, 48)
    },
    **{name: Taken(partial(make, full_resolution=False)) for name, make in _all("vgg").items()},
    **{name: Taken(partial(make, in_transitions=True)) for name, make in _all("densenet").items()},
    "mobilenet_v2": Taken(partial(encoders.mobilenet_v2, last_conv=True)),
    **{f"efficientnet-{size}": _static(size) for size in _SIZES},
    **{
        f"timm-efficientnet-{size}": Taken(
            partial(encoders.BY_NAME[f"efficientnet_{size}"], **_TIMM), before_classifier=width
        )
        for size, width in _BEFORE.items()
    },
    **{
        f"timm-efficientnet-{size}": Taken(partial(make, **_TIMM), (), width) for size, (make, width) in _LARGER.items()
    },
    **{
        f"timm-tf_efficientnet_lite{i}": Taken(
            partial(encoders.BY_NAME[f"efficientnet_lite{i}"], **_TIMM), before_classifier=1280
        )
        for i in range(5)
    },
    **{
        f"tu-{name}": Taken(make, (_MODEL, (r"^(stem|stages)_(\d)\.", r"\1.\2.")))
        for name, make in _all(r"resnet\d+d?$|wide_resnet|resnext|convnext|regnety").items()
    },
    **{f"tu-{name}": Taken(make, (_MODEL, (r"^features_", "features."))) for name, make in _all("densenet").items()},
    "tu-mobilenetv2_100": Taken(encoders.mobilenet_v2, (_MODEL, *MOBILENET_V2)),
    **{
        f"tu-{prefix}{name.replace('_v2', 'v2')}": Taken(partial(make, **own), (_MODEL,))
        for name, make in _all("efficientnet").items()
        for prefix, own in (("", _TORCH), ("tf_", {}))
    },
    **{
        f"tu-{prefix}mobilenetv3_{size}_100": Taken(
            partial(encoders.BY_NAME[f"mobilenet_v3_{size}"], norm=norm, padding=padding), (_MODEL,)
        )
        for size in ("large", "small")
        for prefix, norm, padding in (("", batch_norm, "symmetric"), ("tf_", tf_batch_norm, "SAME"))
    },
    **{
        f"tu-vit_{size}_patch16_224": Taken(encoders.BY_NAME[f"vit_{size}"], (_MODEL,))
        for size in ("tiny", "small", "base", "large")
    },
}
"""By its names: those of its own encoders, and of timm's ("tu-"), under which it has the same network."""


def made(name: str, fields: Mapping[str, Any]) -> nn.Module:
    """The encoder of that name as one of its networks has it: with a depth, or with an output stride.

    Raises:
        ValueError: it has no such field; the sentence names it.
    """
    fields, taken = dict(fields), ENCODERS[name]
    if name.startswith("tu-"):
        fields.pop("dilate_first", None)  # timm dilates, and does it as torchvision
    if "depth" in fields and begins_at_four(name):
        fields["depth"] -= 1
    plain = taken.make()
    if unknown := [field for field in fields if not hasattr(plain, field)]:
        raise ValueError(f"{name} has no {unknown[0]}")
    return taken.make(**fields)


def name_in(settings: Mapping[str, Any]) -> str:
    """Of the encoder that a config.json asks for, as it reads its own older names."""
    name = str(settings.get("encoder_name", "resnet34"))
    name = re.sub("^timm-(?=regnet)", "tu-", re.sub("^timm-(?=mobilenetv3)", "tu-tf_", name))
    return name.partition(".")[0] if name.startswith("tu-") else name  # a tag of weights may follow


def begins_at_four(name: str) -> bool:
    """Whether it has no level at stride 2."""
    return name.startswith(("mit_", "tu-convnext"))
