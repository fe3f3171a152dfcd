"""How far the outputs of an exported file are from the model's."""

from collections.abc import Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]


def largest_difference(
    expected: Arrays, found: Arrays, size: tuple[int, int], thresholds: Sequence[float] | None = None
) -> float:
    """The largest difference of any output: in probability, or for boxes in sides of the image.

    A map of classes is compared with the probabilities that the model gives: by how much the class found is less
    probable there than the best one, which is nothing where two are equally so; and a label by how far its probability
    is from the threshold, where it is on the other side of it. A box that one of both finds is compared with the
    other's of its class that is nearest to it in place and score, as equal scores have no order; the last ones, which
    others of the same score may have taken the places of, are left out.

    Args:
        expected: What the model gives: probabilities, and boxes with labels, scores and attributes.
        found: What the file gives, with a mask or probabilities.
        size: Height and width of the images.
        thresholds: Of labels, where the mask is of such.
    """
    worst = 0.0
    if "probabilities" in found:
        worst = max(worst, _largest(expected["probabilities"] - found["probabilities"]))
    elif "mask" in found and thresholds is not None:
        beyond = expected["probabilities"] - np.asarray(thresholds, np.float32)
        wrong = (beyond >= 0) != (found["mask"].reshape(beyond.shape) > 0)
        worst = max(worst, _largest(np.where(wrong, beyond, 0)))
    elif "mask" in found:
        given = expected["probabilities"]
        chosen = np.take_along_axis(given, found["mask"][..., None].astype(np.int64), -1)[..., 0]
        worst = max(worst, _largest(given.max(-1) - chosen))
    if "boxes" in found:
        height, width = size
        sides = np.array([width, height, width, height], np.float32)
        for i in range(len(expected["boxes"])):
            one, other = (
                {name: arrays[name][i] for name in _OF_BOXES if name in arrays} for arrays in (expected, found)
            )
            worst = max(worst, _of_one(one, other, sides))
    return worst


_OF_BOXES = ("boxes", "labels", "scores", "attributes")


def _of_one(expected: Arrays, found: Arrays, sides: np.ndarray) -> float:
    """The largest difference over the objects of one image: what is missing, and what is there besides."""
    return max(_farthest(expected, found, sides), _farthest(found, expected, sides))


def _farthest(of: Arrays, among: Arrays, sides: np.ndarray) -> float:
    there = of["labels"] >= 0
    full = there.all() and len(there) > 1
    kept = there & (of["scores"] > of["scores"].min() + 1e-3) if full else there
    if not kept.any():
        return _largest(of["scores"] - among["scores"])
    far = np.abs((of["boxes"][kept, None] - among["boxes"]) / sides).max(-1)
    far = np.maximum(far, np.abs(of["scores"][kept, None] - among["scores"]))
    if "attributes" in of:
        far = np.maximum(far, np.abs(of["attributes"][kept, None] - among["attributes"]).max(-1))
    far = np.where(of["labels"][kept, None] == among["labels"], far, np.inf)
    return _largest(far.min(-1))


def _largest(difference: np.ndarray) -> float:
    """Infinite where one of both has a NaN."""
    worst = float(np.abs(difference).max(initial=0))
    return np.inf if np.isnan(worst) else worst
