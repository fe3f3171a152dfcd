"""What neither training nor inference knows: how outputs are compared, counted, scored, drawn and written."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from flax import linen as nn
from jaxtyping import Array, Float

from segjax.data import Source
from segjax.data.formats.rasters import Raster
from segjax.errors import ExperimentError
from segjax.inference import Found, Summary, Tells, Variables, VideoSummary
from segjax.tasks.examined import Examined
from segjax.tasks.options import Options

Batch = Mapping[str, Any]
Outputs = Any
"""What the model returns."""


def one_for_each(logits: Float[Array, "*n k"], count: int) -> Float[Array, "*n k"]:
    """The logits, or scores, of so many classes.

    Raises:
        ExperimentError: they are of more or fewer, which may be trained and scored, and mean nothing.
    """
    if logits.shape[-1] != count:
        raise ExperimentError(
            f"The last axis of the model's logits is {logits.shape[-1]}, and it must be {count}, one for each class: "
            f"make it with num_classes={count}."
        )
    return logits


class Predictions(Protocol):
    """How a task predicts images with a model, and writes what is found; an option that it does not take is refused."""

    @property
    def tells(self) -> Tells:
        """What is found in an image, by name, and what an image has to be."""
        ...

    def of_images(
        self, model: nn.Module, variables: Variables, images: Sequence[Raster], options: Options
    ) -> list[Found]:
        """What `write_files` writes of each of several images; those that are seen in one size go in one pass.

        Raises:
            InferenceError: an option that is not taken, or an image that cannot be predicted.
        """
        ...

    def write_files(
        self, model: nn.Module, variables: Variables, paths: Sequence[Path], out: Path, options: Options
    ) -> Summary:
        """Predict image files and write what came of each below a folder.

        Raises:
            InferenceError: an option that is not taken, or what cannot be predicted or written.
        """
        ...

    def write_video(
        self, model: nn.Module, variables: Variables, video: Path, out: Path, options: Options
    ) -> VideoSummary:
        """Write a video whose frames are those of another, with the predictions drawn over them.

        Raises:
            InferenceError: as `write_files`; a video that cannot be read.
        """
        ...


class Task(Protocol):
    """One kind of prediction, made from a data set; the loop uses it, and whoever predicts with a trained run."""

    headline: str
    """The key of the score that says most; higher is better."""

    @property
    def predictions(self) -> Predictions:
        """How images are predicted, and what is written of them."""
        ...

    def targets(self, batch: Batch) -> Any:
        """What the experiment's loss compares the outputs with."""
        ...

    def zero(self) -> Any:
        """Nothing counted yet: what `count` returns, of zeros."""
        ...

    def count(self, outputs: Outputs, batch: Batch) -> Any:
        """A pytree of numbers that may be added up over training steps; computed inside the step."""
        ...

    def summary(self, counts: Any) -> dict[str, float]:
        """The scores that a sum of counts stands for, for a row of the log."""
        ...

    def seen(self, source: Source) -> Source:
        """The records of a split that is scored, with their images as they are shown to a model that predicts them."""
        ...

    def measure(self, outputs: Outputs, batch: Batch) -> Any:
        """What `scores` needs of one test batch, truths included; computed on the devices."""
        ...

    def scores(self, measured: Iterable[Any]) -> dict[str, Any]:
        """The scores of a whole split from every batch's measure, as NumPy arrays; None where one is undefined."""
        ...

    def decided(self, scores: Mapping[str, Any]) -> "Task":
        """The task as it is from here on, with what was chosen on the validation split, whose scores these are."""
        ...

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Write curves.png from the rows of the log."""
        ...

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined | None:
        """Write predictions.png; returns what was seen of the records looked at, for report.html."""
        ...
