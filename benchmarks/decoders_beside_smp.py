"""Decoders beside segmentation_models.pytorch's: `python -m benchmarks.decoders_beside_smp [--only NAME] [--out FILE]`.

Its Unet, FPN, DeepLabV3Plus, UPerNet and Segformer of 21 classes on MobileNetV2, each read by `segjax.from_pretrained`
from the folder that it writes, at 256x256; how it is measured says `benchmarks.train_step`. Nothing is dropped, which
would differ by chance.
"""

import copy
import tempfile

import torch

import segjax
from benchmarks.torch_zoo import smp
from benchmarks.train_step import CLASSES, Rivals, compare_by_name

DECODERS = ("Unet", "FPN", "DeepLabV3Plus", "UPerNet", "Segformer")


def rivals(name: str) -> Rivals:
    """The network of that class."""
    torch.manual_seed(0)
    network = getattr(smp, name)("mobilenet_v2", encoder_weights=None, classes=CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        normalized, variables = segjax.from_pretrained(folder)
    model = normalized.model  # torch's has no normalisation inside
    if hasattr(model.decoder, "dropout"):
        model = model.clone(decoder=model.decoder.clone(dropout=0.0))
    variables = {collection: arrays["model"] for collection, arrays in variables.items()}
    return Rivals({"decoder": name}, model, variables, lambda: copy.deepcopy(network), 1.0)


if __name__ == "__main__":
    compare_by_name("benchmarks.decoders_beside_smp", __doc__, DECODERS, rivals)
