"""Time and memory of the losses, value and gradient, at 150 classes: `python -m benchmarks.losses [--quick]`.

Times are of one 256 x 256 mask, memory is what the compiled program needs beside its arguments and results for eight of
512 x 512, of which the logits take 1200 MiB. "upsampled" losses are given logits of a quarter of that size. torch runs
eagerly and channels-last, with a thread for every core.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from benchmarks.report import machine, markdown, versions
from benchmarks.timing import race
from segjax import losses, metrics
from segjax.ops import resize

try:
    import torch
    import torch.nn.functional as F
except ImportError:  # the benchmark then has a row less for each group
    torch: Any = None
    F: Any = None

CLASSES = 150
FACTOR = 4
Loss = Callable[[Array, Array], Array]


def one_hot_cross_entropy(logits: Array, mask: Array) -> Array:
    return -jnp.mean(jnp.sum(jax.nn.one_hot(mask, CLASSES) * jax.nn.log_softmax(logits), axis=-1))


def one_hot_dice(logits: Array, mask: Array) -> Array:
    probability, true = jax.nn.softmax(logits), jax.nn.one_hot(mask, CLASSES)
    both = (probability.sum((0, 1, 2)) + true.sum((0, 1, 2))) / 2
    return 1 - jnp.mean(((probability * true).sum((0, 1, 2)) + 1) / (both + 1))


def torch_dice(logits: Any, mask: Any) -> Any:
    probability, true = F.softmax(logits, 1), F.one_hot(mask, CLASSES).permute(0, 3, 1, 2)
    both = (probability.sum((0, 2, 3)) + true.sum((0, 2, 3))) / 2
    return 1 - (((probability * true).sum((0, 2, 3)) + 1) / (both + 1)).mean()


def upsampled(loss: Loss) -> Loss:
    return lambda logits, mask: loss(resize(logits, mask.shape[1:]), mask)


def torch_upsampled(logits: Any, mask: Any) -> Any:
    return F.cross_entropy(F.interpolate(logits, scale_factor=FACTOR, mode="bilinear"), mask)


GROUPS: dict[str, tuple[dict[str, Loss], Callable[[Any, Any], Any] | None]] = {
    "cross-entropy": (
        {"segjax": losses.cross_entropy, "one-hot": one_hot_cross_entropy},
        lambda logits, mask: F.cross_entropy(logits, mask),
    ),
    "dice": ({"segjax": losses.dice, "one-hot": one_hot_dice}, torch_dice),
    "upsampled cross-entropy": (
        {"segjax, in pieces": losses.upsampled_cross_entropy, "resized first": upsampled(losses.cross_entropy)},
        torch_upsampled,
    ),
    "others": (
        {
            "focal": losses.focal,
            "ohem_cross_entropy": losses.ohem_cross_entropy,
            "focal_tversky": losses.focal_tversky,
            "lovasz_softmax": losses.lovasz_softmax,
            "boundary_loss": losses.boundary_loss,
        },
        None,
    ),
}


def example(images: int, size: int, factor: int) -> tuple[Array, Array]:
    """Noise for logits; for a mask, squares of 32 pixels of 20 classes, as a photograph has regions of few."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((images, size // factor, size // factor, CLASSES), np.float32)
    squares = rng.integers(0, 20, (images, -(-size // 32), -(-size // 32)))
    mask = np.kron(squares, np.ones((1, 32, 32), np.int32))[:, :size, :size]
    return jnp.asarray(logits), jnp.asarray(mask, jnp.int32)


def in_torch(loss: Callable[[Any, Any], Any], logits: Array, mask: Array) -> Callable[[], Any]:
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    tensor = torch.from_numpy(np.array(logits).transpose(0, 3, 1, 2)).to(device).requires_grad_()
    true = torch.from_numpy(np.array(mask)).to(device).long()
    return lambda: torch.autograd.grad(loss(tensor, true), tensor)


def temporaries(loss: Loss, factor: int) -> float:
    """MiB for eight images of 512 x 512."""
    logits = jax.ShapeDtypeStruct((8, 512 // factor, 512 // factor, CLASSES), jnp.float32)
    mask = jax.ShapeDtypeStruct((8, 512, 512), jnp.int32)
    memory = jax.jit(jax.value_and_grad(loss)).lower(logits, mask).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description="Time and memory of the losses.")
    parser.add_argument("--quick", action="store_true", help="small masks, one round: does everything run?")
    quick = parser.parse_args().quick
    patience: dict[str, Any] = {"rounds": 1, "max_seconds": 0.0} if quick else {}
    if torch is not None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))

    rows, busy = [], False
    for group, (candidates, theirs) in GROUPS.items():
        factor = FACTOR if "upsampled" in group else 1
        logits, mask = example(1, 32 if quick else 256, factor)
        calls: dict[str, Callable[[], Any]] = {
            name: partial(jax.jit(jax.value_and_grad(loss)), logits, mask) for name, loss in candidates.items()
        }
        if torch is not None and theirs is not None:
            calls["torch"] = in_torch(theirs, logits, mask)
        for name, timing in race(calls, **patience).items():
            memory = f"{temporaries(candidates[name], factor):.0f}" if name in candidates else ""
            rows.append([group, name, f"{1e3 * timing.seconds:.1f}", memory])
            busy |= not timing.quiet

    prediction = example(8, 32 if quick else 512, 1)[1]
    count = jax.jit(metrics.confusion_matrix, static_argnums=2)
    for name, timing in race({"segjax": partial(count, prediction, prediction, CLASSES)}, **patience).items():
        rows.append(["confusion matrix of 8 x 512 x 512", name, f"{1e3 * timing.seconds:.1f}", ""])

    print(markdown(["loss", "form", "ms", "MiB of temporaries"], rows))
    print("\n" + "; ".join([machine(), *(f"{name} {v}" for name, v in versions("jax", "jaxlib", "torch").items())]))
    if busy:
        print("The machine was busy with something else: read the ratios alone.")


if __name__ == "__main__":
    main()
