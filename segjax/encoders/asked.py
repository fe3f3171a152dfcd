"""What is asked of an encoder: an image, and how many levels."""

from jaxtyping import Array


def check(image: Array, depth: int = 1, most: int = 1) -> None:
    """Refuse what is no batch of images, and levels that an encoder does not have.

    Raises:
        ValueError: an image that is not (n h w c), or a depth that is not in 1..most.
    """
    if image.ndim != 4:
        raise ValueError(
            f"the image has shape {image.shape}: expected a batch, (n, h, w, c), as image[None] is of one (h, w, c)."
        )
    if not 1 <= depth <= most:
        raise ValueError(f"depth is 1 to {most} levels of this encoder, got {depth}.")
