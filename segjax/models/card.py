"""The card that lies beside a saved model."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from segjax.errors import DataError
from segjax.strict_json import as_json


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a model beside its variables.

    Raises:
        DataError: colours for some of the classes alone, or what is none; what is no number of a band, or no ending of
            a channel's files.

    Examples:
        >>> models.About(class_names=("ground", "tree")).class_names
        ('ground', 'tree')
    """

    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    """The colour of every class: red, green, blue in 0..255."""
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """By the name of the score, or by the split and then by that."""
    trained_on: str | None = None
    licence: str | None = None
    """Of the weights; where they began as another's, also theirs."""
    parity: str | None = None
    """How far its numbers are from those of what it was made from, where that was measured."""
    source: str | None = None
    """Where it was had, as hub:OWNER/NAME@COMMIT."""
    thresholds: tuple[float, ...] = ()
    """Of a model of sigmoids, from which probability on a pixel has each label or, by one logit, the second class."""
    bands: tuple[int, ...] = ()
    """The numbers, from 1, of the bands of an image file that it sees; empty where those are all without opacity."""
    channel_files: tuple[str, ...] = ()
    """What the names of the files of an image's channels end with, as "_0000"; empty where a file is an image."""

    def __post_init__(self) -> None:
        """Refuses what a card cannot say."""
        names, colours = len(self.class_names), len(self.palette)
        if 0 < colours < names:
            raise DataError(f"{names} classes have names and {colours} a colour in the palette: give each a colour.")
        for colour in self.palette:
            if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
                raise DataError(f"{colour} in the palette is no colour: give red, green and blue in 0..255.")

        if not all(type(band) is int and band > 0 for band in self.bands):
            raise DataError(f"{self.bands} are no numbers of bands: give whole ones from 1.")
        if not all(type(end) is str and re.fullmatch(r"_\d{4}", end) for end in self.channel_files):
            raise DataError(f"{self.channel_files} are no ends of channels' files: give _0000, _0001 and so on.")

    def classes(self) -> dict[str, Any]:
        """Names, colours, thresholds, bands and files of channels as config.json has them."""
        said = {"class_names": list(self.class_names), "palette": [[*map(int, colour)] for colour in self.palette]}
        said |= {"thresholds": list(self.thresholds)} if self.thresholds else {}
        said |= {"bands": list(self.bands)} if self.bands else {}
        return said | ({"channel_files": list(self.channel_files)} if self.channel_files else {})


def card(about: About, layout: str, parameters: int, normalisation: str, *, finds: bool = False) -> str:
    """A README.md, with the head that the Hugging Face hub reads; `finds` is of a model that finds objects."""
    library = "segmentation-models-pytorch" if layout == "smp" else "segjax"
    tag, title = ("object-detection", "Object detection") if finds else ("image-segmentation", "Semantic segmentation")
    head = ["---", f"library_name: {library}", f"pipeline_tag: {tag}", "tags:", "- segjax", "---"]
    lines = [*head, f"# {title}", "", "```python", "import segjax", ""]
    lines += ['model, variables = segjax.from_pretrained("THIS_FOLDER_OR_ID")']
    found, last = ("found", ".detections()") if finds else ("logits", "")
    lines += [f"{found} = model.apply(variables, images, train=False){last}  # images (n h w c) as they are stored"]
    lines += ["```", ""]
    if layout == "smp":
        lines += ["`segmentation_models_pytorch.from_pretrained` opens it as well, and takes normalised images.", ""]
    lines += [f"- Parameters: {parameters:,}", f"- Normalisation: {normalisation}"]
    lines += [f"- Bands of an image file: {' '.join(map(str, about.bands))}"] if about.bands else []
    lines += [f"- Files of an image, by their ends: {' '.join(about.channel_files)}"] if about.channel_files else []
    lines += [f"- Trained on: {about.trained_on or 'not said'}", f"- Licence: {about.licence or 'not said'}"]
    lines += [f"- Parity: {about.parity or 'not measured'}"]
    lines += [f"- From: {about.source}"] if about.source else []
    if about.class_names:
        colours = [f"`{colour}`" for colour in about.classes()["palette"]] or [""] * len(about.class_names)
        names = [" ".join(name.replace("|", r"\|").split()) for name in about.class_names]  # each in its cell
        lines += ["", "## Classes", "", "| | class | colour |", "|---|---|---|"]
        lines += [f"| {i} | {name} | {colours[i]} |" for i, name in enumerate(names)]
    if about.scores:
        lines += ["", "## Scores", "", "```json", as_json(about.scores, indent=2), "```"]
    return "\n".join(lines) + "\n"
