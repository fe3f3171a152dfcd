"""How large models are: parameters and operations from shapes alone, memory from the compiled program."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import flax.linen as nn
import jax
import jax.numpy as jnp

from segjax import decoders, encoders, upsampling
from segjax.flops import flops_of
from segjax.models.segmenter import Segmenter

SIZE = 256
"""Height and width of the image that sizes are said of."""
NUM_CLASSES = 21
"""Of decoders and combinations."""
TABLE = Path(__file__).with_name("sizes.json")
"""What `segjax models` lists, written by `python -m benchmarks.sizes`: to compile them all takes minutes.

Peak memory is that on a CPU."""


class Size(TypedDict):
    """Of a model or an encoder."""

    parameters: int
    flops: int
    """Of its convolutions and matrix products in one forward pass on one image; a multiply-add counts as two."""
    peak_memory: int
    """Bytes that the program for one image holds at once: variables, image, features and logits."""


def size_of(model: nn.Module, size: int = SIZE) -> Size:
    """Of a model that sees one image of `size` x `size` pixels and three channels, compiled for this device."""
    variables = jax.eval_shape(partial(model.init, train=False), _keys(), _image(size))
    apply = jax.jit(partial(model.apply, train=False), keep_unused=True)  # who runs it holds all variables
    traced = apply.trace(variables, _image(size))
    memory: Any = traced.lower().compile().memory_analysis()
    peak = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.output_size_in_bytes
    return {"parameters": _parameters(variables), "flops": flops_of(traced.jaxpr), "peak_memory": peak}


def _parameters(variables: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def combination(decoder: str, encoder: str, upsample: str | None = None) -> Segmenter:
    """A decoder on an encoder with an upsampler; where none is named, the decoder's own, and bilinear to the image.

    Raises:
        ExperimentError: there is none of a name; it offers the nearest.
    """
    if upsample is None:
        return Segmenter(NUM_CLASSES, encoders.named(encoder), decoders.named(decoder))
    climb = upsampling.named(upsample)
    made, last = decoders.named(decoder, upsample=climb), upsampling.to_image(climb)
    return Segmenter(NUM_CLASSES, encoders.named(encoder), made, to_image=last, places=upsampling.places(climb))


def listed() -> dict[str, list[Mapping[str, Any]]]:
    """The sizes of what is published, of the decoders with the encoder beneath them, and of the encoders."""
    return json.loads(TABLE.read_text())


def _keys() -> dict[str, Any]:
    return {"params": jax.random.key(0), "dropout": jax.random.key(0)}


def _image(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
