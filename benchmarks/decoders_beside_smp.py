"""Decoders beside segmentation_models.pytorch's: `python -m benchmarks.decoders_beside_smp [--only NAME] [--out FILE]`.

Its Unet, FPN, DeepLabV3Plus, UPerNet and Segformer of 21 classes on MobileNetV2, each read by `segjax.from_pretrained`
from the folder that it writes, at 256x256; how it is measured says `benchmarks.train_step`. Nothing is dropped, which
would differ by chance.
"""

import argparse
import copy
import tempfile
from functools import partial
from pathlib import Path

import jax
import torch

import segjax
from benchmarks.torch_zoo import smp
from benchmarks.train_step import CLASSES, Rivals, compare
from segjax.cli.pages import start_again_with_huge_pages

DECODERS = ("Unet", "FPN", "DeepLabV3Plus", "UPerNet", "Segformer")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoders_beside_smp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny images, one round: does everything run?")
    parser.add_argument("--only", choices=DECODERS, help="one of the decoders")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the rows there as JSON, too")
    options = parser.parse_args()
    start_again_with_huge_pages()  # as the segjax command does; torch has them then, too
    batch, size = (2, 64) if options.quick else (16 if jax.default_backend() == "gpu" else 4, 256)
    cases = [(partial(rivals, name), batch, size) for name in ([options.only] if options.only else DECODERS)]
    compare(cases, options.quick, not options.no_compile, options.out)


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
    main()
