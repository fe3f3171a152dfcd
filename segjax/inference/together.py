"""Several images in one program: which of them, and how."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import jax
from jaxtyping import Array

Outputs = TypeVar("Outputs")


def together(shapes: Iterable[Hashable]) -> list[list[int]]:
    """The numbers of images in batches: each of one shape, and as many images as a power of two.

    Seven images of one shape are batches of 4, 2 and 1, so that nothing is computed to fill one up.
    """
    alike: dict[Hashable, list[int]] = {}
    for number, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(number)
    batches = []
    for numbers in alike.values():
        while numbers:
            size = 1 << (len(numbers).bit_length() - 1)
            batches.append(numbers[:size])
            numbers = numbers[size:]
    return batches


def of_batch(run: Callable[[Array], Outputs], images: Array) -> Outputs:
    """What `run` gives of a batch (n h w c), as arrays that begin with n.

    On a CPU, where a batch is no faster than its images one after the other, they are: so that what is found in an
    image does not depend, by how floating point rounds, on what it is in a batch with.
    """
    if len(images) == 1:
        return run(images)

    def one_by_one(images: Array) -> Any:
        return jax.lax.map(lambda image: jax.tree.map(lambda values: values[0], run(image[None])), images)

    return jax.lax.platform_dependent(images, cpu=one_by_one, default=run)
