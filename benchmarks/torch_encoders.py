"""The torch modules that encoders are compared with, by the encoder's name, and what each family needs for it.

Where torch's rounds sizes down or demands a multiple, it is made to round up or to pad as segjax does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch.nn import functional as F

from benchmarks.beside_torch import Pairing, Reference, randomized
from benchmarks.torch_zoo import smp, timm, torchvision
from segjax import encoders, weights
from segjax.encoders import convnext, densenet, hrnet, mit, regnet, swin_v2, vit

Make = Callable[..., Reference]
"""Called with options of the module's."""


def paired(name: str, *, theirs: dict[str, Any] | None = None, unused: str | None = None, **ours: Any) -> Pairing:
    """The encoder of that name and its reference, each with its options.

    `unused` is a regular expression of the parameters that the reference has for levels that are not asked for.
    """
    reference = REFERENCES[name][1](**(theirs or {}))
    return Pairing(encoders.named(name, **ours), reference._replace(unused=unused or reference.unused))


def of_convnext(module: Any) -> Reference:
    """timm's, which pads where it would lose rows and columns."""
    module.stem[0].register_forward_pre_hook(partial(_padded, 4))
    for stage in module.stages[1:]:
        if stage.downsample[1].stride == (2, 2):
            stage.downsample[1].register_forward_pre_hook(partial(_padded, 2))
    return _with_intermediates(module, convnext.TORCH_UNUSED)


def of_densenet(module: Any) -> Reference:
    """timm's, whose mean pooling rounds up."""
    for name, each in module.features.named_children():
        if name.startswith("transition"):
            each.pool.ceil_mode = True
    return _with_intermediates(module, densenet.TORCH_UNUSED)


def of_hrnet(module: Any) -> Reference:
    """timm's, whose coarse branches are repeated and cropped to the finer ones' size."""
    croppings = []
    for name in ("stage2", "stage3", "stage4"):
        for exchange in getattr(module, name):
            for i, row in enumerate(exchange.fuse_layers):
                for j, each in enumerate(row):
                    if j > i:
                        each[2] = _Cropped(2 ** (j - i), 4 * 2**i)
                        croppings.append(each[2])
    reference = _with_intermediates(module, hrnet.TORCH_UNUSED)

    def levels(x: torch.Tensor) -> Any:
        for each in croppings:
            each.image = x.shape[2:]
        return reference.levels(x)

    return reference._replace(levels=levels)


class _Cropped(torch.nn.Upsample):
    """Repeats, then leaves out the rows and columns that a branch of that stride has not."""

    def __init__(self, scale_factor: int, stride: int) -> None:
        super().__init__(scale_factor=scale_factor)
        self.stride = stride
        self.image = torch.Size(())

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows, columns = (-(-length // self.stride) for length in self.image)
        return super().forward(input)[:, :, :rows, :columns]


def of_mit(module: Any) -> Reference:
    """segmentation_models.pytorch's, whose first levels may be the image and nothing."""
    return Reference(randomized(module), lambda x: module(x)[-4:], mit.TORCH_UNUSED)


def of_regnet(module: Any) -> Reference:
    """timm's."""
    return _with_intermediates(module, regnet.TORCH_UNUSED)


def of_swin_v2(module: Any) -> Reference:
    """timm's, made with `dynamic_img_size`: it pads to whole patches, and its tables are in double precision."""
    reference = _with_intermediates(module, swin_v2.TORCH_UNUSED)
    for stage in module.layers:
        for block in stage.blocks:
            side = block.attn.window_size[0]
            along = 8 * torch.arange(1 - side, side, dtype=torch.float64) / max(side - 1, 1)
            along = along.sign() * torch.log2(along.abs() + 1) / 3
            block.attn.relative_coords_table = torch.stack(torch.meshgrid(along, along, indexing="ij"), dim=-1)[None]
    return reference._replace(levels=lambda x: reference.levels(*_padded(4, None, (x,))))


def of_vit(module: Any, depth: int = 4, **options: Any) -> Reference:
    """timm's, made with `dynamic_img_size` and `dynamic_img_pad`: it resizes positions in double precision."""
    blocks = len(module.blocks)
    indices = [(i + 1) * blocks // depth - 1 for i in range(depth)]
    reference = _with_intermediates(module, vit.TORCH_UNUSED, indices=indices, **options)

    def levels(x: torch.Tensor, **more: Any) -> Any:
        with mock.patch("timm.models.vision_transformer.resample_abs_pos_embed", _resampled):
            return reference.levels(x, **more)

    return reference._replace(levels=levels)


def _resampled(positions: torch.Tensor, new_size: Any, old_size: Any, num_prefix_tokens: int) -> torch.Tensor:
    before, grid = positions[:, :num_prefix_tokens], positions[:, num_prefix_tokens:]
    grid = grid.reshape(1, *old_size, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, new_size, mode="bicubic", antialias=True)
    return torch.cat([before, grid.flatten(2).transpose(1, 2)], dim=1)


def _padded(multiple: int, _: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    (x,) = inputs
    return (F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple)),)


def _with_intermediates(module: Any, unused: str, **options: Any) -> Reference:
    module = randomized(module)
    return Reference(module, partial(module.forward_intermediates, intermediates_only=True, **options), unused)


def _features(model: str, *, names: Any = (), **options: Any) -> Reference:
    """timm's extractor of features, whose 2x2 max-pooling rounds up."""
    module = timm.create_model(model, pretrained=False, features_only=True, **options)
    for each in module.modules():
        if isinstance(each, torch.nn.MaxPool2d) and each.kernel_size == 2:
            each.ceil_mode = True
    return Reference(randomized(module), module, names=names)


def _tapped(model: str, taps: tuple[int, ...], *, names: Any = (), **options: Any) -> Reference:
    """torchvision's, after these of its modules."""
    whole = getattr(torchvision.models, model)(weights=None, **options)
    nodes = {f"features.{tap}": str(i) for i, tap in enumerate(taps)}
    module = randomized(torchvision.models.feature_extraction.create_feature_extractor(whole, nodes))
    return Reference(module, lambda x: list(module(x).values()), names=names)


def _by_timm(of: Callable[..., Reference], model: str, read: dict[str, Any], **options: Any) -> Reference:
    return of(timm.create_model(model, pretrained=False, **options), **read)


def _entry(of: Callable[..., Reference], model: str, made: dict[str, Any], **read: Any) -> tuple[str, Make]:
    return f"timm {model}", partial(_by_timm, of, model, read, **made)


def _same(*models: str, **options: Any) -> dict[str, tuple[str, Make]]:
    return {model: (f"timm {model}", partial(_features, model, **options)) for model in models}


_V3 = {"mobilenet_v3_large": (1, 3, 6, 12, 16), "mobilenet_v3_small": (0, 1, 3, 8, 12)}
_DYNAMIC = {"dynamic_img_size": True}
_ANY = {"dynamic_img_size": True, "dynamic_img_pad": True}
REFERENCES: dict[str, tuple[str, Make]] = {
    **_same(*(f"resnet{depth}{kind}" for kind in ("", "d") for depth in (18, 34, 50, 101, 152))),
    **_same("wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"),
    **_same(
        *(f"vgg{depth}{kind}" for depth in (11, 13, 16, 19) for kind in ("", "_bn")),
        names=[(r"^features_", "features.")],
    ),
    "mobilenet_v2": ("torchvision mobilenet_v2", partial(_tapped, "mobilenet_v2", (1, 3, 6, 13, 17))),
    **{
        f"efficientnet_{size}": (f"timm tf_efficientnet_{size}", partial(_features, f"tf_efficientnet_{size}"))
        for size in (*(f"lite{i}" for i in range(5)), *(f"b{i}" for i in range(8)))
    },
    **{
        f"efficientnet_v2_{size}": (f"timm tf_efficientnetv2_{size}", partial(_features, f"tf_efficientnetv2_{size}"))
        for size in ("s", "m", "l")
    },
    **{
        name: (f"torchvision {name}", partial(_tapped, name, taps, names=weights.named(f"{name}.imagenet").names))
        for name, taps in _V3.items()
    },
    **{
        f"mit_b{i}": (
            f"segmentation_models.pytorch mit_b{i}",
            lambda i=i: of_mit(smp.encoders.get_encoder(f"mit_b{i}", weights=None)),
        )
        for i in range(6)
    },
    **{name: _entry(of_convnext, name, {}) for name in encoders.BY_NAME if name.startswith("convnext")},
    **{f"vit_{size}": _entry(of_vit, f"vit_{size}_patch16_224", _ANY) for size in ("tiny", "small", "base", "large")},
    **{
        f"dinov2_{size}{kind}": _entry(of_vit, f"vit_{size}_patch14{kind}_dinov2", _ANY, norm=True)
        for kind in ("", "_reg4")
        for size in ("small", "base", "large")
    },
    **{name: _entry(of_regnet, name, {}) for name in encoders.BY_NAME if name.startswith("regnety")},
    **{name: _entry(of_densenet, name, {}) for name in encoders.BY_NAME if name.startswith("densenet")},
    **{
        f"swinv2_{size}": _entry(of_swin_v2, f"swinv2_{size}_window8_256", _DYNAMIC)
        for size in ("tiny", "small", "base")
    },
    **{name: _entry(of_hrnet, name, {"head": ""}) for name in encoders.BY_NAME if name.startswith("hrnet")},
}
"""Of every encoder in `segjax.encoders.BY_NAME`: what it is called there, and what makes it."""
