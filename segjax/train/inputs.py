"""What a data set says of its images, for the model that sees them and the changes that they are trained with."""

import dataclasses

from flax import linen as nn

from segjax.data import Augment, Dataset
from segjax.layers import Normalized, Standardized


def normalized(model: nn.Module, data: Dataset) -> nn.Module:
    """The model on images as the data set stores them: normalised by its statistics, image by image where it has none.

    A model that is `Normalized` or `Standardized` already, as one with weights of its own is, stays as it is.
    """
    if isinstance(model, Normalized | Standardized):
        return model
    if data.statistics is None:
        return Standardized(model)
    of = data.statistics
    return Normalized(model, mean=of.mean, std=of.std, gamma=of.gamma)


def cropped(data: Dataset, side: int | None) -> Augment | None:
    """The data set's own augmentation, with square crops of another size where one is given."""
    if side is None:
        return data.augment
    return dataclasses.replace(data.augment or Augment(), crop=(side, side))
