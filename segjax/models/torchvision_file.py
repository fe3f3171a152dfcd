"""torchvision's segmentation networks, from the files of their weights."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from segjax import decoders, encoders
from segjax.errors import DataError
from segjax.models.heads import AuxiliaryHead
from segjax.models.segmenter import Segmenter
from segjax.weights.convert import renamed
from segjax.weights.names import Names, mobilenet_v3
from segjax.weights.smp_names import DECODERS

_HIDDEN: Names = ((r"^0\.", "hidden.conv1."), (r"^1\.", "hidden.norm1."), (r"^4\.", "logits."))
"""A small fully convolutional head's."""
_MOBILE = mobilenet_v3(("s", "ii", "III", "iiii", "II", "III", "c"))
_MOBILE_STEM = "backbone.0.0.weight"
_BY_BLOCKS = {6: encoders.resnet50, 23: encoders.resnet101}
"""By how many blocks the third stage has."""


def is_known(state: Mapping[str, np.ndarray]) -> bool:
    """Whether they are the arrays of one of its segmentation networks, as `model_of` takes them."""
    return _MOBILE_STEM in state or _blocks(state) in _BY_BLOCKS


def _blocks(state: Mapping[str, np.ndarray]) -> int:
    return len({name.split(".")[2] for name in state if name.startswith("backbone.layer3.")})


def model_of(state: Mapping[str, np.ndarray], where: str) -> tuple[Segmenter, dict[str, np.ndarray]]:
    """FCN, DeepLabV3 or LRASPP, as the names in a file tell, and its arrays under the names of a `Segmenter`.

    Raises:
        DataError: they are those of another model.
    """
    if not is_known(state):
        raise DataError(
            f"{where} is of no FCN, DeepLabV3 or LRASPP of torchvision: name a folder or one of these files."
        )
    mobile = _MOBILE_STEM in state
    if mobile:
        make = partial(encoders.mobilenet_v3_large, first_block_at=(8,), dilate_first=True)
    else:
        make = _BY_BLOCKS[_blocks(state)]
    if "classifier.cbr.0.weight" in state:
        decoder, output_stride = decoders.LRASPPDecoder(), 16
        found = _lraspp(state)
    elif "classifier.0.project.0.weight" in state:
        decoder, output_stride = decoders.DeepLabV3Decoder(finest_stride=16 if mobile else 8), 16 if mobile else 8
        found = _deeplab(state)
    else:
        decoder, output_stride = decoders.PlainDecoder(), 8
        inside = (("classifier.0.", "decoder.conv.conv1."), ("classifier.1.", "decoder.conv.norm1."))
        found = _moved(state, (*inside, ("classifier.4.", "head.")))
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part == "backbone":
            rest = renamed(f"features.{rest}", _MOBILE) if mobile else rest
            found[f"encoder.{rest}"] = value
        elif part == "aux_classifier":
            found[f"auxiliary.{renamed(rest, _HIDDEN)}"] = value
    if "head.bias" not in found:
        raise DataError(f"{where} has an encoder of torchvision's networks and no classifier: fetch it whole.")
    num_classes = len(found["head.bias"])
    level = 3 if mobile else -2  # of stride 8, after the image's place, 2 and 4
    auxiliary = AuxiliaryHead(num_classes, level) if "auxiliary.logits.bias" in found else None
    encoder = make(output_stride=output_stride)
    return Segmenter(num_classes, encoder, decoder, auxiliary=auxiliary), found


def _deeplab(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    places = (
        ("classifier.0.", "aspp."),
        ("classifier.1.", "conv."),
        ("classifier.2.", "bn."),
        ("classifier.4.", "head."),
    )
    found = {}
    for name, value in _moved(state, places).items():
        inside = name.startswith("head.")
        found[name if inside else f"decoder.{renamed(name, DECODERS['deeplabv3'])}"] = value
    return found


def _lraspp(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Its two classifiers, whose sum are the logits, are one of the features side by side."""
    places = (("classifier.cbr.0.", "decoder.deep.conv1."), ("classifier.cbr.1.", "decoder.deep.norm1."))
    found = _moved(state, (*places, ("classifier.scale.1.", "decoder.gate.")))
    low, high = (state[f"classifier.{part}_classifier.weight"] for part in ("low", "high"))
    found["head.weight"] = np.concatenate([low, high], axis=1)
    found["head.bias"] = state["classifier.low_classifier.bias"] + state["classifier.high_classifier.bias"]
    return found


def _moved(state: Mapping[str, np.ndarray], places: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {
        here + name.removeprefix(there): value
        for there, here in places
        for name, value in state.items()
        if name.startswith(there)
    }
