"""U-Nets on encoders beside PyTorch: `python -m benchmarks.encoders_beside_torch [--only ENCODER] [--out FILE]`.

`smp_unet` of 21 classes beside segmentation_models.pytorch's own Unet from the same weights, on the same timm encoder,
at 256x256; how it is measured says `benchmarks.train_step`. Paths are not dropped, which would differ by chance.
"""

import argparse
import copy
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import torch

from benchmarks.torch_zoo import smp
from benchmarks.train_step import CLASSES, Rivals, compare, computed_in
from segjax import encoders
from segjax.cli.pages import start_again_with_huge_pages
from segjax.layers import ConvBlock
from segjax.models import smp_unet
from segjax.weights import names, smp_names
from segjax.weights.convert import from_torch, renamed

ENCODERS: dict[str, tuple[str, names.Names]] = {
    "resnet34": ("resnet34", ()),
    "mobilenet_v2": ("tu-mobilenetv2_100", names.MOBILENET_V2),
    "efficientnet_lite0": ("tu-tf_efficientnet_lite0", ()),
    "mit_b0": ("mit_b0", ()),
}
"""What it is called in segmentation_models.pytorch, and what brings its names to the encoder's."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders_beside_torch", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny images, one round: does everything run?")
    parser.add_argument("--only", choices=ENCODERS, help="one of the encoders")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the rows there as JSON, too")
    options = parser.parse_args()
    start_again_with_huge_pages()  # as the segjax command does; torch has them then, too
    batch, size = (2, 64) if options.quick else (16 if jax.default_backend() == "gpu" else 4, 256)
    cases = [(partial(rivals, name), batch, size) for name in ([options.only] if options.only else ENCODERS)]
    compare(cases, options.quick, not options.no_compile, options.out)


def rivals(name: str) -> Rivals:
    """The U-Net on that encoder."""
    theirs, brought = ENCODERS[name]
    torch.manual_seed(0)
    network = smp.Unet(theirs, encoder_weights=None, classes=CLASSES)
    for module in network.modules():
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0  # type: ignore[assignment]
    dtype = computed_in()
    model = smp_unet(encoders.named(name, dtype=dtype), CLASSES)
    model = model.clone(decoder=model.decoder.clone(block=partial(ConvBlock, dtype=dtype)))  # type: ignore[arg-type]
    state = {}
    for key, value in network.state_dict().items():
        inside = key.removeprefix("encoder.").removeprefix("model.")
        state[f"encoder.{renamed(inside, brought)}" if inside != key else key] = value.numpy()
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    variables = from_torch(smp_names.of_model(state, "unet"), like)
    return Rivals({"encoder": name}, model, variables, lambda: copy.deepcopy(network), 1.0)


if __name__ == "__main__":
    main()
