"""What holds for photos of people and things, where nothing was measured of a data set itself."""

from segjax.data.augment import Augment
from segjax.data.statistics import Statistics

OF_PHOTOS = Statistics(mean=(0.48, 0.45, 0.40), std=(0.27, 0.26, 0.27))
FOR_PHOTOS = Augment(flip_horizontal=True, scale=(0.5, 1.5), brightness=0.2, contrast=0.2, saturation=0.2)
"""Without a crop, whose size is the experiment's to choose."""
