"""What a data set, or weights, say of images, for the model that sees them and the changes they are trained with."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from flax import linen as nn

from segjax.data import Augment, Dataset, Statistics
from segjax.layers import Normalized, Standardized
from segjax.train.state import Variables


@dataclasses.dataclass(frozen=True)
class Start:
    """Trained weights that a run begins with."""

    take: Callable[[nn.Module, Variables], Variables]
    """The model's initial variables with the weights in their places; called when the training begins."""
    inputs: Statistics | Literal["standardized"] | None = None
    """How the images that they were trained on were normalised; None where nobody knows."""

    def statistics(self, data: Dataset) -> Statistics | None:
        """Those that the images of a data set are normalised by: its own where they have other channels or numbers."""
        own = data.statistics
        if self.inputs == "standardized":
            return None
        fits = self.inputs is not None and (
            own is None or (len(own.mean), own.depth) == (len(self.inputs.mean), self.inputs.depth)
        )
        return self.inputs if fits else own


def normalized(model: nn.Module, data: Dataset, start: Start | None = None) -> nn.Module:
    """The model on images as the data set stores them: normalised by its statistics, image by image where it has none.

    Normalisation belongs to weights: where a start knows how its images were normalised, these are, too, unless they
    have other channels. A model that is `Normalized` or `Standardized` already stays as it is.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> type(train.normalized(models.unet(2), data_set)).__name__
        'Standardized'
    """
    if isinstance(model, Normalized | Standardized):
        return model
    of = data.statistics if start is None else start.statistics(data)
    if of is None:
        return Standardized(model)
    return Normalized(model, mean=of.mean, std=of.std, gamma=of.gamma, stored=of.depth)


def cropped(data: Dataset, side: int | None) -> Augment | None:
    """The data set's own augmentation, with square crops of another size where one is given.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> train.cropped(data_set, 64).crop
        (64, 64)
    """
    if side is None:
        return data.augment
    return dataclasses.replace(data.augment or Augment(), crop=(side, side))
