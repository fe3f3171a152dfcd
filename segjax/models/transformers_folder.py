"""SegFormer as transformers keeps it: what its config.json says, and its names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segjax.decoders import SegFormerDecoder
from segjax.encoders import MixTransformer
from segjax.errors import DataError
from segjax.models.card import About
from segjax.models.segmenter import Segmenter
from segjax.weights.convert import Names, renamed

_BLOCK = {
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    r"attention\.self\.query": "attn.q",
    r"attention\.self\.kv": "attn.kv",
    r"attention\.self\.sr": "attn.sr",
    r"attention\.self\.layer_norm": "attn.norm",
    r"attention\.output\.dense": "attn.proj",
    r"mlp\.dense1": "mlp.fc1",
    r"mlp\.dense2": "mlp.fc2",
    r"mlp\.dwconv": "mlp.dwconv",
}


def _stage(i: int) -> Names:
    parts = {rf"patch_embeddings\.{i}\.layer_norm": f"patch_embed{i + 1}.norm"}
    parts |= {rf"patch_embeddings\.{i}": f"patch_embed{i + 1}", rf"layer_norm\.{i}": f"norm{i + 1}"}
    names = [(rf"^segformer\.encoder\.{there}\.", f"encoder.{here}.") for there, here in parts.items()]
    block = rf"^segformer\.encoder\.block\.{i}\.(\d+)"
    names += [(rf"{block}\.{there}\.", rf"encoder.block{i + 1}.\1.{here}.") for there, here in _BLOCK.items()]
    return (*names, (rf"^decode_head\.linear_c\.{i}\.proj\.", f"decoder.linear{i + 1}."))


_NAMES: Names = (
    *(pair for i in range(4) for pair in _stage(i)),
    (r"^decode_head\.linear_fuse\.", "decoder.fuse.conv1."),
    (r"^decode_head\.batch_norm\.", "decoder.fuse.norm1."),
    (r"^decode_head\.classifier\.", "head."),
)
_FIXED = {
    "num_attention_heads": [1, 2, 5, 8],
    "sr_ratios": [8, 4, 2, 1],
    "mlp_ratios": [4, 4, 4, 4],
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "hidden_act": "gelu",
    "reshape_last_stage": True,
}
"""Settings of which segjax has one value alone."""


def model_of(settings: Mapping[str, Any], where: str) -> tuple[Segmenter, About]:
    """The model of what config.json holds, and the names of its classes; `where` is the file, for a sentence.

    Raises:
        DataError: segjax does not have it; the sentence says what.
    """
    for key, expected in _FIXED.items():
        if settings.get(key, expected) != expected:
            raise DataError(f"{where} sets {key} to {settings[key]!r}, and segjax has it with {expected!r}.")
    names = settings.get("id2label") or {str(i): f"LABEL_{i}" for i in range(settings.get("num_labels", 2))}
    encoder = MixTransformer(
        tuple(settings.get("hidden_sizes", (32, 64, 160, 256))),
        tuple(settings.get("depths", (2, 2, 2, 2))),
        epsilon=1e-5,
    )
    decoder = SegFormerDecoder(settings.get("decoder_hidden_size", 256))
    return Segmenter(len(names), encoder, decoder), About(tuple(names[str(i)] for i in range(len(names))))


def of_model(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state dict under the names of a `Segmenter`, keys and values of attention as one layer."""
    joined = {}
    for name, value in state.items():
        if ".self.value." in name:
            continue
        if ".self.key." in name:
            value = np.concatenate([value, state[name.replace(".key.", ".value.")]])
        joined[renamed(name.replace(".self.key.", ".self.kv."), _NAMES)] = value
    return joined
