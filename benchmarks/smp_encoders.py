"""Every encoder of segmentation_models.pytorch 0.6 into a folder and back: `python -m benchmarks.smp_encoders [NAME]`.

A network on it, of random weights, is written by SMP, opened here, written again and opened by SMP. Rows of
`docs/smp_encoders.md` are written one by one; those that are missing where no name is given.
"""

import tempfile
from functools import partial
from typing import Any

import numpy as np
import torch

import segjax
from benchmarks.beside_torch import jit, randomized
from benchmarks.growing_table import GrowingTable
from benchmarks.torch_zoo import smp
from segjax.errors import DataError
from segjax.models import saved
from segjax.models.smp_encoders import ENCODERS
from segjax.ops.geometry import Pair

OLD = ("timm-mobilenetv3_large_100", "timm-mobilenetv3_small_100", "timm-regnety_002", "tu-resnet18.a1_in1k")
"""Names of before that SMP still reads, and one with a tag of weights."""
_OWN = smp.encoders.get_encoder_names()
NAMES = tuple(dict.fromkeys((*(name for name in _OWN if name in ENCODERS), *ENCODERS, *OLD)))
REFUSED = [name for name in _OWN if name not in ENCODERS]
SIZE: Pair = (64, 96)
HEAD = f"""# Encoders of segmentation_models.pytorch

`python -m benchmarks.smp_encoders`: the encoders that SMP {smp.__version__} has and segjax takes over, those of timm's
by "tu-" among them. SMP saved a U-Net on each (a DPT on a plain ViT) of random weights, `segjax.from_pretrained` opened
the folder, and `save_pretrained(layout="smp")` wrote it again. A figure is the largest difference of the logits of an
image of {SIZE[0]}x{SIZE[1]}, in float32, as a share of the largest; under DeepLabV3Plus of that network, whose encoder
is dilated. "Back" says whether what SMP opens again gives its logits of before to the last bit.
"""
COLUMNS = ["encoder", "Unet", "DeepLabV3Plus", "back"]


def row(name: str) -> list[str]:
    """Of the table; where one side has no dilated form, what it says."""
    if name.startswith("tu-vit"):
        error, same = compared("DPT", name, dynamic_img_size=True)
        return [f"{name}, in DPT", f"{error:.0e}", "-", _said(same)]
    error, same = compared("Unet", name, decoder_channels=(32, 16, 16, 8, 8))
    try:
        of_dilated, same_dilated = compared("DeepLabV3Plus", name, decoder_channels=16)
        dilated = f"{of_dilated:.0e}"
    except (DataError, RuntimeError, TypeError, ValueError) as refused:
        dilated, same_dilated = str(refused).splitlines()[0].rpartition("config.json: ")[2], True
    return [name, f"{error:.0e}", dilated, _said(same and same_dilated)]


def _said(same: bool) -> str:
    return "exact" if same else "differs"


def compared(kind: str, name: str, **settings: Any) -> tuple[float, bool]:
    """How far the logits are apart, and whether what goes back is what came."""
    torch.manual_seed(0)
    reference = getattr(smp, kind)(name, encoder_weights=None, classes=3, **settings)
    randomized(reference).float()
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), np.uint8)
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as back:
        reference.save_pretrained(there)
        model, variables = segjax.from_pretrained(there)
        segjax.save_pretrained(back, model, variables, layout="smp")
        again = smp.from_pretrained(back).eval()
    x = torch.from_numpy(((image / 255 - saved.MEAN) / saved.STD).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        before, after = reference(x), again(x)
    expected = before.numpy().transpose(0, 2, 3, 1)
    found = jit(partial(model.apply, train=False))(variables, image)
    return float(np.abs(found - expected).max() / np.abs(expected).max()), torch.equal(before, after)


_BELOW = f"Of its names segjax refuses these, by a sentence that offers others: {', '.join(REFUSED)}."
TABLE = GrowingTable(HEAD, COLUMNS, NAMES, _BELOW)

if __name__ == "__main__":
    TABLE.command("benchmarks.smp_encoders", "SMP's encoders and back.", "docs/smp_encoders.md", row)
