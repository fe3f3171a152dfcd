"""What the training loop does not know: how outputs are compared with a batch, counted, scored and drawn."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from flax import linen as nn

from segjax.data import Source
from segjax.inference.prediction import Variables

Batch = Mapping[str, Any]
Outputs = Any
"""What the model returns."""


class Task(Protocol):
    """One kind of prediction: made from a data set, and used by the loop for every experiment of that kind."""

    headline: str
    """The key of the score that says most; higher is better."""

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

    def measure(self, outputs: Outputs, batch: Batch) -> Any:
        """What `scores` needs of one test batch, truths included; computed on the devices."""
        ...

    def scores(self, measured: Iterable[Any]) -> dict[str, Any]:
        """The scores of a whole split from every batch's measure, as NumPy arrays; None where one is undefined."""
        ...

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Write curves.png from the rows of the log."""
        ...

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> None:
        """Write predictions.png."""
        ...
