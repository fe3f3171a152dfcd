"""What is known of objects in the end, whatever found them."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Detections(NamedTuple):
    """Objects found in each image, the best first; behind the last, label -1 and score 0."""

    boxes: Float[Array, "n d 4"]
    """(x, y, w, h) in pixels of the image."""
    labels: Int[Array, "n d"]
    """The most probable class of each."""
    scores: Float[Array, "n d"]
    """Its probability, in 0..1."""
    class_scores: Float[Array, "n d k"]
    """Of every class, in 0..1."""
    attributes: Float[Array, "n d a"] | None = None
    """Scores beside the class, the emotions of a face for example, in 0..1."""
