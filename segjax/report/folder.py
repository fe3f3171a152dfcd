"""What of a run folder a report is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segjax.data import Dataset
from segjax.drawing import hexadecimal
from segjax.strict_json import Kinds, as_json, read_object, read_rows
from segjax.tasks.examined import Examined
from segjax.whole import write_whole

DETAILS, IMAGES = "details.json", "per_image.jsonl"
CONFIGURATION: Kinds = {
    "experiment": "a string",
    "knobs": "an object",
    "facts": "an object",
    "defaults": "an object",
    "versions": "an object of strings",
    "machines": "a list of objects",
    "changes": "a list of objects",
    "loggers": "an object",
    "command": "a string",
}
"""What run.json holds; a person may have edited it."""
REPORT: Kinds = {
    "val": "scores",
    "ema": "scores",
    "test": "scores",
    "checkpoint": "a string",
    "steps": "a whole number",
    "train_seconds": "a number",
    "parameters": "a whole number",
    "compile_seconds": "a number",
    "flops_per_step": "a number",
    "peak_bytes": "a number",
    "images_per_second": "a number",
    "waiting_for_data": "a number",
    "model_flops_utilisation": "a number",
}
"""What report.json holds."""
REPORTED = ("test", "checkpoint", "steps")
"""What of it is always there."""
ROWS: Kinds = {"step": "a whole number", "train": "scores", "val": "scores", "ema": "scores", "test": "scores"}
"""What a row of metrics.jsonl holds, of which `step` is always there."""
_DETAILS: Kinds = {"headline": "a string", "data": "a string", "colours": "an object of strings", "total": "a number"}
_IMAGES: Kinds = {"digest": "a string", "name": "a string"}


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say."""

    folder: Path
    configuration: dict[str, Any]
    """run.json."""
    report: dict[str, Any]
    """report.json."""
    rows: list[dict[str, Any]]
    """metrics.jsonl."""
    details: dict[str, Any]
    """details.json, or nothing: `headline`, `data`, `colours`, `total` and the details of what was examined."""
    images: list[dict[str, Any]]
    """per_image.jsonl, or nothing."""

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.configuration.get("experiment") or self.folder.absolute().name)

    @property
    def knobs(self) -> dict[str, Any]:
        """Its knobs; nothing where it was trained from Python."""
        return self.configuration.get("knobs", {})

    @property
    def headline(self) -> str:
        """The score that says most."""
        known = self.details.get("headline")
        return known or next(name for name, value in self.report["test"].items() if not isinstance(value, dict))


def keep_examined(folder: Path, headline: str, data: Dataset, examined: Examined) -> None:
    """Write per_image.jsonl, the scores of each record that was looked at, and details.json, what all together say."""
    colours = {name: hexadecimal(colour) for name, colour in zip(data.class_names, data.palette, strict=True)}
    details = {"headline": headline, "data": data.name, "colours": colours, "total": examined.total}
    write_whole(folder / IMAGES, "".join(as_json(one) + "\n" for one in examined.images))
    write_whole(folder / DETAILS, as_json(details | examined.details) + "\n")


def read_run(folder: Path) -> RunFiles:
    """The files of a finished run; what older runs have not is empty.

    Raises:
        ExperimentError: one is no longer what a run writes.
    """

    def content(name: str, kinds: Kinds, *needs: str) -> dict[str, Any]:
        return read_object(folder / name, kinds, needs) if (folder / name).exists() else {}

    details = content(DETAILS, _DETAILS)
    compared: Kinds = {details["headline"]: "a number or null"} if "headline" in details else {}
    return RunFiles(
        folder,
        configuration=content("run.json", CONFIGURATION),
        report=content("report.json", REPORT, *REPORTED),
        rows=read_rows(folder / "metrics.jsonl", ROWS, ["step"]),
        details=details,
        images=read_rows(folder / IMAGES, {**_IMAGES, **compared}),
    )


def scalars(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores of a whole split, without those by class."""
    return {name: value for name, value in scores.items() if not isinstance(value, dict)}
