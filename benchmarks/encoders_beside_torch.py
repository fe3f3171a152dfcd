"""U-Nets on encoders beside PyTorch: `python -m benchmarks.encoders_beside_torch [--only ENCODER] [--out FILE]`.

`smp_unet` of 21 classes beside segmentation_models.pytorch's own Unet from the same weights, on the same timm encoder,
at 256x256; how it is measured says `benchmarks.train_step`. Paths are not dropped, which would differ by chance.
"""

import copy
from functools import partial

import jax
import jax.numpy as jnp
import torch

from benchmarks.torch_zoo import smp
from benchmarks.train_step import CLASSES, Rivals, compare_by_name, computed_in
from segjax import encoders
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
    compare_by_name("benchmarks.encoders_beside_torch", __doc__, ENCODERS, rivals)
