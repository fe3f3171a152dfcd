"""Scores of the distance between contours: boundary F1 and the 95th percentile of the Hausdorff distance.

On the host, in float64, class by class with SciPy's exact Euclidean distance transform. The contour of a class is its
mask minus the erosion of it by a cross; at the edge of the image a class ends, and pixels that the mask ignores, those
below 0 too, belong to no class in truth or prediction.
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Array, Float, Integer, Shaped
from numpy.typing import ArrayLike

from segjax.mask_numbers import is_counted, refuse_other_maps
from segjax.metrics.averages import mean, ratio


def boundary_f1_counts(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    tolerance: float = 0.0075,
    ignore: int | None = None,
) -> Float[np.ndarray, "2 {num_classes+1}"]:
    """Sums of boundary F1, and how many values each adds up: over images for each class, and over images in all.

    After Csurka et al. 2013: in an image, precision is the share of a class's predicted contour that lies closer than
    `tolerance` times the image's diagonal to its true contour, recall the reverse, and F1 is taken for every class that
    occurs in truth or prediction, 0 if it occurs in one alone. The last column adds up each image's mean over classes.
    Below 134 pixels of diagonal the default asks for an exact match.

    Raises:
        ValueError: where the two are not (n h w) of one shape, or one of them is not of integers.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.boundary_f1_counts(prediction, mask, 2).shape  # sums and how many, for two classes and all
        (2, 3)
    """
    counts = np.zeros((2, num_classes + 1))
    for one, true in _images(prediction, mask, num_classes, ignore):
        limit = tolerance * math.hypot(*true.shape)
        scores = []
        for c, to_true, to_predicted in _classes(one, true, num_classes):
            scores.append(_f1(to_true, to_predicted, limit))
            counts[:, c] += [scores[-1], 1]
        if scores:
            counts[:, -1] += [np.mean(scores), 1]
    return counts


def boundary_f1(counts: ArrayLike) -> Float[np.ndarray, " k"]:
    """Boundary F1 of each class, averaged over the images that it occurs in; NaN if it occurs in none.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.boundary_f1(metrics.boundary_f1_counts(prediction, mask, 2)).round(2).tolist()
        [0.81, 0.5]
    """
    total, images = np.asarray(counts, np.float64)[:, :-1]
    return ratio(total, images)


def mean_boundary_f1(counts: ArrayLike) -> float:
    """The paper's BF: the mean over classes in each image, averaged over images; NaN if no pixel is counted.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> round(metrics.mean_boundary_f1(metrics.boundary_f1_counts(prediction, mask, 2)), 2)
        0.65
    """
    total, images = np.asarray(counts, np.float64)[:, -1]
    return float(ratio(total, images))


def hausdorff_95_counts(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    ignore: int | None = None,
) -> Float[np.ndarray, "2 {num_classes}"]:
    """For each class, the sum over images of its 95% Hausdorff distance in pixels, and how many images it occurs in.

    MONAI's definition: the 95th percentile of the distances from the points of the predicted contour to the true one,
    or of those the other way round, whichever is larger. An image in which the class occurs in truth or prediction
    alone counts with its diagonal, as in BraTS, no two pixels being farther apart; MONAI says infinity or NaN.

    Raises:
        ValueError: where the two are not (n h w) of one shape, or one of them is not of integers.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.hausdorff_95_counts(prediction, mask, 2).tolist()  # a pixel apart, in one image
        [[1.0, 1.0], [1.0, 1.0]]
    """
    counts = np.zeros((2, num_classes))
    for one, true in _images(prediction, mask, num_classes, ignore):
        for c, to_true, to_predicted in _classes(one, true, num_classes):
            apart = math.hypot(*true.shape)
            if to_true.size and to_predicted.size:
                apart = max(np.percentile(to_true, 95), np.percentile(to_predicted, 95))
            counts[:, c] += [apart, 1]
    return counts


def hausdorff_95(counts: ArrayLike) -> Float[np.ndarray, " k"]:
    """95% Hausdorff distance of each class in pixels, averaged over the images it occurs in; NaN if in none.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.hausdorff_95(metrics.hausdorff_95_counts(prediction, mask, 2)).tolist()
        [1.0, 1.0]
    """
    total, images = np.asarray(counts, np.float64)
    return ratio(total, images)


def mean_hausdorff_95(counts: ArrayLike) -> float:
    """Mean of `hausdorff_95` over the classes that occur in truth or prediction.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.mean_hausdorff_95(metrics.hausdorff_95_counts(prediction, mask, 2))
        1.0
    """
    return mean(hausdorff_95(counts))


def _images(
    prediction: ArrayLike, mask: ArrayLike, num_classes: int, ignore: int | None
) -> Iterator[tuple[Integer[np.ndarray, "h w"], Integer[np.ndarray, "h w"]]]:
    """Prediction and truth of each image, -1 where the truth does not count."""
    prediction, mask = np.asarray(prediction), np.asarray(mask)
    refuse_other_maps(prediction=prediction, mask=mask)
    for one, true in zip(prediction.astype(np.int64), mask.astype(np.int64), strict=True):
        counts = is_counted(true, num_classes, ignore)
        yield np.where(counts, one, -1), np.where(counts, true, -1)


def _classes(
    prediction: Integer[np.ndarray, "h w"], mask: Integer[np.ndarray, "h w"], num_classes: int
) -> Iterator[tuple[int, Float[np.ndarray, " a"], Float[np.ndarray, " b"]]]:
    """Each class that occurs, with the distances of predicted contour points to the true contour, and the reverse.

    Where the class occurs in one of the two alone, neither has any.
    """
    from scipy import ndimage  # a twentieth of the time that a command needs to start

    for c in np.union1d(prediction, mask):
        if not 0 <= c < num_classes:
            continue
        region, true = prediction == c, mask == c
        if not (region.any() and true.any()):
            yield int(c), np.empty(0), np.empty(0)
            continue
        # Within the box of both, where all nearest points are.
        (box,) = ndimage.find_objects((region | true).astype(np.int8))
        contour, true_contour = (
            side[box] & np.logical_not(ndimage.binary_erosion(side[box])) for side in (region, true)
        )
        to_predicted, to_true = (
            np.asarray(ndimage.distance_transform_edt(np.logical_not(each))) for each in (contour, true_contour)
        )
        yield int(c), to_true[contour], to_predicted[true_contour]


def _f1(to_true: Shaped[np.ndarray, " a"], to_predicted: Shaped[np.ndarray, " b"], limit: float) -> float:
    if not (to_true.size and to_predicted.size):
        return 0.0
    precision, recall = np.mean(to_true < limit), np.mean(to_predicted < limit)
    return float(2 * precision * recall / max(precision + recall, np.finfo(float).tiny))
