"""Every network of segmentation_models.pytorch beside ours: `python -m benchmarks.smp_decoders [NAME]`.

Each is saved by SMP with random weights and opened by `segjax.from_pretrained`. Rows of `docs/smp_decoders.md` are
written one by one; those that are missing where no name is given.
"""

import tempfile
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import segjax
from benchmarks.beside_torch import cast, difference, jit, randomized, to_torch
from benchmarks.growing_table import GrowingTable
from benchmarks.torch_zoo import smp
from segjax.ops.geometry import Pair

ENCODERS = {"Segformer": "mit_b0", "DPT": "tu-vit_tiny_patch16_224"}
"""Where it is not ResNet-18, which no other network of these needs more than."""
SETTINGS: dict[str, dict[str, Any]] = {"DPT": {"dynamic_img_size": True}}
NETWORKS = (
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet",
    "Segformer", "DPT",
)  # fmt: skip
SIZES: tuple[Pair, ...] = ((128, 160), (129, 161))
HEAD = f"""# Parity with segmentation_models.pytorch

`python -m benchmarks.smp_decoders`: each network of SMP {smp.__version__} with three classes and its own settings, of
random weights, saved by SMP and opened by `segjax.from_pretrained`; both compute in float64, in evaluation. A figure is
the largest difference of the logits, or of the gradient by the image of their product with random numbers, as a share
of the largest value. Sizes that SMP refuses are computed here all the same. Gradients by parameters are held to 1e-10
by a test, and [the encoders](smp_encoders.md) have a table of their own.
"""
BELOW = """PAN has biases before batch normalisations; they are taken into the means when a file is read, in float32 as
all that is stored. DPT's encoder resizes its positions, which timm does in float32. That is what their figures show."""
FIGURES = [f"{height}x{width}, {what}" for height, width in SIZES for what in ("logits", "gradient")]
COLUMNS = ["network", "encoder", "parameters", *FIGURES]


def row(kind: str) -> list[str]:
    """Of the table."""
    torch.manual_seed(0)
    name = ENCODERS.get(kind, "resnet18")
    network = randomized(getattr(smp, kind)(name, encoder_weights=None, classes=3, **SETTINGS.get(kind, {})))
    with tempfile.TemporaryDirectory() as folder:
        network.float().save_pretrained(folder)
        normalized, variables = segjax.from_pretrained(folder)
    variables = {collection: arrays["model"] for collection, arrays in variables.items()}
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    model = in_float64(normalized.model)
    figures = [figure for size in SIZES for figure in compared(network.double(), model, variables, size)]
    return [kind, name, f"{parameters:,}", *figures]


def in_float64(model: Any) -> Any:
    """The same network, which computes so."""
    block = partial(model.decoder.block, dtype=np.float64)
    return model.clone(encoder=model.encoder.clone(dtype=np.float64), decoder=model.decoder.clone(block=block))


def compared(network: Any, model: Any, variables: Any, size: Pair) -> tuple[str, str]:
    """How far logits and gradients are apart, or that SMP refuses the size."""
    rng = np.random.default_rng(0)
    image, pull = rng.standard_normal((1, *size, 3)), rng.standard_normal((1, *size, 3))
    seen = to_torch(image).requires_grad_()
    try:
        expected = network(seen)
    except RuntimeError as refused:
        if "Wrong input shape" not in str(refused):
            raise
        return "refused there", "refused there"
    (expected * to_torch(pull)).sum().backward()

    def weighed(image: jax.Array, variables: Any, pull: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = model.apply(variables, image, train=False)
        return jnp.vdot(logits, pull), logits

    with jax.enable_x64(True):
        gradient, logits = jit(jax.grad(weighed, has_aux=True))(image, cast(variables, np.float64), pull)
    assert seen.grad is not None
    return f"{difference(logits, expected):.0e}", f"{difference(gradient, seen.grad):.0e}"


if __name__ == "__main__":
    table = GrowingTable(HEAD, COLUMNS, NETWORKS, BELOW)
    table.command("benchmarks.smp_decoders", "SMP's networks and ours.", "docs/smp_decoders.md", row)
