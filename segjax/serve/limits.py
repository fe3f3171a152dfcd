"""What a server takes upon itself, and how it refuses the rest."""

import math
from dataclasses import dataclass

from segjax.errors import ServeError


@dataclass(frozen=True)
class Limits:
    """The most of everything.

    Raises:
        ServeError: one that is not above 0, or not finite.
    """

    batch: int = 8
    """Images in one pass of the model."""
    queue: int = 64
    """Requests under way at once; what comes beyond is told to come again."""
    seconds: float = 60
    """For a request, from its first byte to its answer."""
    body: int = 32
    """MiB of a request."""
    pixels: int = 25
    """Megapixels of an image."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ServeError(f"--{name} is {value}: give a number above 0 and below infinity.")


class Refusal(Exception):
    """A request that gets no result: a status of HTTP and one sentence.

    Over what the server takes at once, 503, `again` says after how many seconds to come back.
    """

    def __init__(self, status: int, sentence: str, again: int | None = None) -> None:
        super().__init__(sentence)
        self.status: int = status
        self.sentence: str = sentence
        self.again: int | None = again
