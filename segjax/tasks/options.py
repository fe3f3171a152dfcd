"""What can be asked of a prediction, on the command line or in Python."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segjax.errors import InferenceError
from segjax.inference import Probabilities, Tiling
from segjax.inference.box_files import LEAST
from segjax.ops.boxes import SoftNMS


@dataclass(frozen=True)
class Options:
    """What can be asked of a prediction; a task takes some of it and refuses the rest.

    Raises:
        InferenceError: a score that is not in 0..1.

    Examples:
        >>> tasks.Options(inference.Tiling(tile=512), probabilities="npy").tiling.tile
        512
    """

    tiling: Tiling = field(default_factory=Tiling)
    """`--tile`, `--margin` and `--tta` of the command line."""
    probabilities: Probabilities | None = None
    """Whether to write class probabilities, and how."""
    score: float | None = None
    """The score from which objects are drawn and written; None is 0.3."""
    annotations: Path | None = None
    """A file of COCO's format with whose ids boxes are written, too."""
    soft_nms: SoftNMS | None = None
    """Whether the scores of boxes that better ones overlap are lowered, and how."""
    track: bool = False
    """Whether objects keep a number over the frames of a video."""

    def __post_init__(self) -> None:
        if self.score is not None and not 0 <= self.score <= 1:
            raise InferenceError(f"--score is {self.score:g}: a score is between 0 and 1.")

    @property
    def least(self) -> float:
        """The score from which objects are drawn and written."""
        return LEAST if self.score is None else self.score

    def only(self, *taken: str, why: str) -> None:
        """Refuse every option that is asked for and not among those taken, named as on the command line.

        Raises:
            InferenceError: there is one; the sentence begins with `why`.
        """
        values: dict[str, Any] = {
            "--tile": self.tiling.tile,
            "--margin": self.tiling.margin,
            "--tta": tuple(self.tiling.tta) or None,
            "--probabilities": self.probabilities,
            "--score": self.score,
            "--coco": self.annotations,
            "--soft-nms": self.soft_nms,
            "--track": self.track or None,
        }
        for name, value in values.items():
            if value is not None and name not in taken:
                raise InferenceError(f"{why}: leave {name} out.")
