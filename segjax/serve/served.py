"""The model that is served, and what is said of it."""

import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from segjax import __version__
from segjax.data.formats.rasters import Raster
from segjax.errors import ServeError
from segjax.inference import Found, Tells
from segjax.layers import inputs_of
from segjax.serve.limits import Limits
from segjax.tasks import Options, Task


class Images(NamedTuple):
    """What the images of a model are stored in."""

    type: str
    bands: int

    def blank(self, size: tuple[int, int]) -> Raster:
        """One without anything to see."""
        return Raster(np.zeros((*size, self.bands), self.type))


class Served:
    """A model that predicts in the way of a task.

    Raises:
        ServeError: a data set whose images are several files each.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        model: nn.Module,
        variables: Mapping[str, Any],
        options: Options = Options(),
        *,
        licence: str | None = None,
        trained_on: str | None = None,
    ) -> None:
        self.name: str = name
        self._task, self._model, self._options = task, model, options
        self._variables = jax.device_put(variables)
        self._licence, self._trained_on = licence, trained_on
        self.tells: Tells = task.predictions.tells
        bands = self.tells.bands
        if bands is not None and bands.channels:
            raise ServeError(
                f"Images of {name} are {len(bands.channels)} files each, one for each channel, and a request has one: "
                "predict them with `segjax predict`."
            )
        self.images: Images = Images("uint8", 3) if bands is None else Images(bands.depth, bands.count)

    def predict(self, images: Sequence[Raster]) -> list[Found]:
        """What is found in each image; those that are seen in one size go in one pass.

        Raises:
            InferenceError: one of them cannot be predicted.
        """
        return self._task.predictions.of_images(self._model, self._variables, images, self._options)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """What can be asked for, the usual first."""
        return ("mask", "json", "probabilities") if self.tells.labels is not None else ("json",)

    def metadata(self, limits: Limits) -> dict[str, Any]:
        """All that is known of it, as JSON has it."""
        return {
            "name": self.name,
            "trained_on": self._trained_on,
            "licence": self._licence,
            "images": {**self.images._asdict(), "normalised_inside": inputs_of(self._model)},
            **self.tells.described(),
            "score": self._options.least,
            "outputs": list(self.outputs),
            "limits": {
                "batch": limits.batch,
                "queue": limits.queue,
                "seconds": limits.seconds,
                "body_bytes": limits.body * 2**20,
                "pixels": limits.pixels * 10**6,
            },
            "versions": {"segjax": __version__, "jax": jax.__version__, "python": platform.python_version()},
        }
