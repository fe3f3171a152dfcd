"""A model of boxes that looks at every image several times, and whose boxes are suppressed softly."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Num

from segjax.errors import InferenceError
from segjax.inference.tiling import Tiling
from segjax.ops.boxes import Detections, SoftNMS, soft_nms


class Refined(nn.Module):
    """A model with the variables of another one, whose outputs are that one's averaged over flips of the image.

    What the other returns has `detections(max_boxes)`, and for flips `averaged(others, flips, size)`. Heatmaps are
    averaged before peaks are sought (Zhou et al. 2019), a box after it is turned back.

    Examples:
        >>> encoder, decoder = encoders.ConvEncoder(((4,), (8,))), decoders.UNetDecoder(finest_stride=2)
        >>> model = models.CenterNet(2, encoder, decoder, hidden=8)
        >>> twice = inference.Refined(model, flips=((1,),), soft_nms="gaussian")
        >>> run = lambda x: twice.init_with_output(jax.random.key(0), x, train=False)[0].detections(10)
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).boxes.shape
        (1, 10, 4)
    """

    inner: nn.Module
    """The model; named as no part of one is, since their variables have one scope."""
    flips: tuple[tuple[int, ...], ...] = ()
    """The axes that are turned round in each further look: 0 for rows, 1 for columns."""
    soft_nms: SoftNMS | None = None
    """How the scores of boxes are lowered that better ones of their class overlap, as `ops.boxes.soft_nms` has it."""

    def setup(self) -> None:
        """Have the variables of the model as its own."""
        nn.share_scope(self, self.inner)

    @property
    def stored(self) -> str | None:
        """The numbers that images are stored in, where the model says it."""
        return getattr(self.inner, "stored", None)

    @property
    def mean(self) -> tuple[float, ...] | None:
        """Of each band, where the model has such."""
        return getattr(self.inner, "mean", None)

    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What the model returns, averaged; its `detections` are suppressed softly."""
        outputs: Any = self.inner(image, train=train)
        if self.flips:
            turned = [jnp.flip(image, [axis + 1 for axis in axes]) for axes in self.flips]
            others = [self.inner(one, train=train) for one in turned]
            outputs = outputs.averaged(others, self.flips, image.shape[1:3])
        return outputs if self.soft_nms is None else _Softened(outputs, self.soft_nms)


def refined(model: nn.Module, tta: Sequence[str | float] = (), soft_nms: SoftNMS | None = None) -> nn.Module:
    """The model as it predicts at test time, itself where nothing is asked for.

    Args:
        model: of boxes.
        tta: "hflip", "vflip" or both, as `Tiling` has them; boxes are not averaged over scales.
        soft_nms: "gaussian" or "linear".

    Raises:
        InferenceError: something else in `tta`.

    Examples:
        >>> inference.refined(layers.ConvBlock((2,)), ("hflip", "vflip")).flips
        ((1,), (0,), (1, 0))
    """
    views = Tiling(tta=tta).views()
    if scales := [view.scale for view in views if view.scale != 1]:
        raise InferenceError(f"tta has {scales[0]:g}: boxes are averaged over hflip and vflip, not over scales.")
    flips = tuple(sorted((view.flips for view in views if view.flips), key=lambda axes: (len(axes), -sum(axes))))
    return Refined(model, flips, soft_nms) if flips or soft_nms else model


class _Softened(NamedTuple):
    """Outputs whose boxes have their scores lowered where better ones overlap them."""

    outputs: Any
    method: SoftNMS

    def detections(self, max_boxes: int = 100) -> Detections:
        """Those of the outputs, in the order of their new scores."""
        found: Detections = self.outputs.detections(max_boxes)

        def of_image(one: Detections) -> Detections:
            order, scores = soft_nms(
                one.boxes, one.scores, max_boxes=one.scores.shape[0], labels=one.labels, method=self.method
            )
            chosen = jax.tree.map(lambda values: values[order], one)
            of_class = jnp.arange(chosen.class_scores.shape[1]) == chosen.labels[:, None]
            return chosen._replace(
                labels=jnp.where(order < 0, -1, chosen.labels),
                scores=scores,
                class_scores=jnp.where(of_class, scores[:, None], chosen.class_scores),
            )

        return jax.vmap(of_image)(found)
