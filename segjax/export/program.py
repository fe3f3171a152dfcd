"""What is exported: an image as it is stored in, probabilities, classes or boxes out, with all that is between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from segjax.errors import ExportError
from segjax.layers.inputs import WHITE
from segjax.mask_numbers import mask_type
from segjax.models import Segmented, Segmenter
from segjax.models.saved import channels_of

Outputs = dict[str, Any]
MOST_PIXELS = 25 * 10**6
"""Of an image: the model is run on some of that size, and holds hundreds of numbers for each."""
WHAT = {
    "probabilities": "of every class at every pixel, adding up to one; of labels that may overlap, each its own",
    "mask": "the most probable class of every pixel; of labels 1 where each is, at its threshold or above",
    "boxes": "x, y, w, h in pixels of the image: the upper left corner and the size; the best first",
    "labels": "the class of each box; -1 behind the last",
    "scores": "the probability of each box's class",
    "attributes": "scores of each box beside its class",
}
"""What an output is, by its name."""


@dataclass(frozen=True)
class Program:
    """A model with its variables as one function of an image, called as `run(image)`, which gives outputs by name."""

    run: Callable[[Array], Outputs]
    size: tuple[int, int] | None
    """Height and width of the images; None for any."""
    channels: int
    stored: str
    """The numbers of the images: uint8, uint16 or float32."""

    def image(self, batch: Any, size: tuple[Any, Any] | None = None) -> jax.ShapeDtypeStruct:
        """The shape of its images, of another size where one is said."""
        return jax.ShapeDtypeStruct((batch, *(size or self.size or ()), self.channels), jnp.dtype(self.stored))

    def outputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of its outputs for one image."""
        return jax.eval_shape(self.run, self.image(1, self.size or (64, 64)))


def program_of(
    model: nn.Module,
    variables: Mapping[str, Any],
    size: tuple[int, int] | None,
    *,
    argmax: bool = False,
    max_boxes: int = 100,
    thresholds: Sequence[float] | None = None,
    dtype: str = "float32",
) -> Program:
    """The function of a model that gives logits of every pixel, or what has `detections(max_boxes)`.

    Args:
        model: As `segjax.load` or `segjax.from_pretrained` gives it, with its normalisation.
        variables: Its own.
        size: Height and width of the images; None for any.
        argmax: Whether the class of every pixel is given, instead of the probabilities of all.
        max_boxes: How many boxes at most.
        thresholds: One for each logit, where each is of a label by its sigmoid; None where they are of classes.
        dtype: What its kernels are constants of; they are computed with in float32.

    Raises:
        ExportError: a model of one logit, one that gives neither logits nor boxes, or boxes alone where a map of
            classes is asked for; thresholds that are not one for each logit; or a size that is none, or that no machine
            holds.
        DataError: the variables are not the model's.
    """
    if size is not None and not (
        isinstance(size, Sequence) and len(size) == 2 and all(isinstance(n, (int, np.integer)) and n > 0 for n in size)
    ):
        raise ExportError(f"size is {size!r}: give height and width of the images in pixels, as (512, 512).")
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise ExportError(
            f"Images of {size[0]}x{size[1]} pixels have {size[0] * size[1] / 1e6:.1f} megapixels, and an export may "
            f"have {MOST_PIXELS / 1e6:.0f}: say a smaller --size HEIGHT WIDTH, and cut larger images into tiles."
        )
    model = _of_logits(model)
    variables = jax.tree.map(np.asarray, dict(variables))
    short = jax.tree.map(lambda x: x.ndim > 1 and x.dtype == np.float32 and dtype != "float32", variables)
    # jax's own arrays: it would widen those of numpy where the program is traced, and keep them wide.
    kept = jax.tree.map(lambda x, is_short: jnp.asarray(x, dtype) if is_short else x, variables, short)

    def run(image: Array) -> Outputs:
        # Widened where the program runs, so that it holds what is short.
        wide = jax.tree.map(lambda x, is_short: lax.convert_element_type(x, np.float32) if is_short else x, kept, short)
        outputs: Any = model.apply(wide, image, train=False)
        found: Outputs = {}
        if hasattr(outputs, "detections"):
            boxes = outputs.detections(max_boxes)
            found = {"boxes": boxes.boxes, "labels": boxes.labels.astype(jnp.int32), "scores": boxes.scores}
            if boxes.attributes is not None:
                found["attributes"] = boxes.attributes
            outputs = getattr(outputs, "mask", None)
        logits = outputs.logits if isinstance(outputs, Segmented) else outputs
        if logits is None:
            return found
        if not isinstance(logits, Array):
            raise ExportError(f"{type(model).__name__} gives neither logits nor boxes: export a model with a head.")
        if thresholds is not None:
            if len(thresholds) != logits.shape[-1]:
                raise ExportError(
                    f"There are {len(thresholds)} thresholds, and the model gives {logits.shape[-1]} logits: say one "
                    "for each."
                )
            shares = jax.nn.sigmoid(logits.astype(jnp.float32))
            if not argmax:
                return found | {"probabilities": shares}
            mask = (shares >= jnp.array(thresholds, jnp.float32)).astype(jnp.uint8)
            return found | {"mask": mask if len(thresholds) > 1 else mask[..., 0]}
        if logits.shape[-1] == 1:
            raise ExportError("The model gives one logit and no choice of classes: wrap it in models.TwoClasses.")
        if argmax:
            return found | {"mask": logits.argmax(-1).astype(mask_type(logits.shape[-1]))}
        return found | {"probabilities": jax.nn.softmax(logits.astype(jnp.float32))}

    stored = getattr(model, "stored", "uint8")
    program = Program(run, size, channels_of(model, variables), stored if stored in WHITE else "uint8")
    if "mask" not in program.outputs() and argmax:
        raise ExportError("The model gives boxes alone, of which no map of classes is made: leave --argmax out.")
    return program


def _of_logits(model: nn.Module) -> nn.Module:
    """The model without what follows its logits, of which probabilities are made here; its variables are the same."""
    inside = getattr(model, "model", None)
    if isinstance(inside, nn.Module):
        return model.clone(model=_of_logits(inside))
    return model.clone(activation=None) if isinstance(model, Segmenter) else model
