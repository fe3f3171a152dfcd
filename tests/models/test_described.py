"""Modules as JSON and back."""

import json
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import pytest

from segjax import decoders, encoders, models, upsampling
from segjax.errors import DataError
from segjax.layers import ConvBlock, Normalized, Standardized, group_norm
from segjax.models.described import describe, make

SMP = [name for name in dir(models) if name.startswith("smp_") and callable(getattr(models, name))]
MADE = {
    **{name: lambda name=name: encoders.BY_NAME[name]() for name in encoders.BY_NAME},
    **{f"{name} decoder": lambda name=name: decoders.named(name) for name in decoders.BY_NAME},
    **models.PUBLISHED,
    **{name: lambda name=name: getattr(models, name)(encoders.resnet18()) for name in SMP},
    **{name: lambda name=name: upsampling.BY_NAME[name]() for name in upsampling.BY_NAME},
    "wrapped": lambda: Standardized(Normalized(models.unet(2), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), 0.5)),
    "of other parts": lambda: models.Segmenter(
        3,
        encoders.mit_b0(dtype=jnp.bfloat16, drop_path=0.1),
        decoders.FPNDecoder(block=partial(ConvBlock, norm=group_norm, activation=nn.gelu, dtype=jnp.bfloat16)),
        image_head=models.ImageHead(5),
        auxiliary=models.AuxiliaryHead(3),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_module_comes_back_from_json(name: str):
    module = MADE[name]()
    said = json.loads(json.dumps(describe(module)))
    again = make(said)
    assert type(again) is type(module)
    assert describe(again) == said


def test_what_is_not_said_is_not_lost():
    block = partial(ConvBlock, norm=group_norm, dtype=jnp.bfloat16)
    again = make(describe(decoders.UNetDecoder(((8, 8), (16, 16)), upsampling.Nearest, block)))
    assert again.stages == ((8, 8), (16, 16))
    assert again.upsample is upsampling.Nearest
    assert again.block.keywords == {"norm": group_norm, "dtype": jnp.bfloat16}


class Mine(nn.Module):
    pass


@pytest.mark.parametrize("part", [Mine(), decoders.UNetDecoder(upsample=lambda **_: Mine())])
def test_code_of_ones_own_is_refused(part: nn.Module):
    with pytest.raises(DataError, match="cannot be written into a folder: a model there is made of what segjax"):
        describe(models.Segmenter(2, encoders.resnet18(), part))


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "segjax.cache.fetch_url",
        "segjax.models.saved.save_pretrained",
        "segjax.models.from_pretrained",
        "segjax.models.saved.json",
        "segjax.layers.conv.partial",
        "segjax.layers.nowhere.Thing",
        "jax.nn.initializers.he_normal",
        "flax.linen.module.Module.__init__",
    ],
)
def test_a_file_can_name_nothing_but_parts_of_models(path: str):
    with pytest.raises(DataError, match="is no part of a model that segjax has"):
        make({"partial": {"name": path}, "fields": {}})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"class": "segjax.encoders.ResNet", "fields": {"wheels": 4}}, "has other fields here"),
        ({"what": 1}, "describes no part of a model"),
        ({"dtype": "float7"}, "float7 is no dtype"),
    ],
)
def test_a_damaged_description_gets_one_sentence(said: object, sentence: str):
    with pytest.raises(DataError, match=sentence):
        make(said)
