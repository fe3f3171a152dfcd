"""What is asked of an encoder: an image, how many levels, and the numbers that it is made of."""

from collections.abc import Sequence

from jaxtyping import Array

from segjax.errors import counts, is_whole


def check(image: Array, depth: int = 1, most: int = 1) -> None:
    """Refuse what is no batch of images, and levels that an encoder does not have.

    Raises:
        ValueError: an image that is not (n h w c), or a depth that is not in 1..most.
    """
    if image.ndim != 4:
        raise ValueError(
            f"the image has shape {image.shape}: expected a batch, (n, h, w, c), as image[None] is of one (h, w, c)."
        )
    if not (is_whole(depth) and 1 <= depth <= most):
        raise ValueError(f"depth is 1 to {most} levels of this encoder, got {depth}.")


def check_numbers(**fields: int | Sequence[int]) -> None:
    """Refuse fields that are no whole numbers from 1 on, or have one among them that is none.

    Raises:
        ExperimentError: for the first of them.
    """
    for name, value in fields.items():
        for one in value if isinstance(value, Sequence) else (value,):
            counts(1, **{name: one})
