"""A short experiment file to begin with: `segjax new NAME`."""

import shlex
from pathlib import Path

from segjax.errors import ExperimentError

_TEXT = '''"""{title}: what it is, and what it scores."""

from segjax import losses, models, upsampling
from segjax.runs import known_data
from segjax.tasks import Segmentation, SigmoidSegmentation
from segjax.train import Experiment, Recipe, cropped, normalized


def experiment(
    root: str,
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    width: int = 16,
    depth: int = 4,
    crop: int | None = None,
    recipe: Recipe = Recipe(steps=1000, batch_size=8, learning_rate=2e-3),
) -> Experiment:
    """A U-Net on images/ and masks/ in a folder: `{command}`.

    Args:
        root: The folder; `segjax data check` says whether it is fit to train on.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        crop: Height and width of training crops in pixels; worked out from the folder where none is given.
        recipe: How it is trained.
    """
    data, found_crop, _ = known_data("folder", root)  # found out once: the run is loaded where the folder is not
    climb, block = upsampling.named(upsample), recipe.block()
    model = models.unet(len(data.class_names), width, depth=depth, upsample=climb, block=block)
    loss = losses.weighted_sum((1.0, losses.cross_entropy), (1.0, losses.dice))
    task = Segmentation
    if data.multilabel:  # masks/water/, masks/green/: labels that may overlap
        loss = losses.weighted_sum((1.0, losses.binary_cross_entropy), (1.0, losses.sigmoid_dice))
        task = SigmoidSegmentation
    model, augment = normalized(model, data), cropped(data, crop or found_crop)
    return recipe.experiment(model, data, loss, augment=augment, task=task)
'''


def write_new(name: str) -> Path:
    """Write an experiment file to edit, and return its path: `NAME.py`, in the working folder unless the name says.

    Raises:
        ExperimentError: it is there already, or cannot be written; or nothing is named.
    """
    path = Path(name if name.endswith(".py") else f"{name}.py")
    if path.suffix != ".py":  # of a hidden file that is called .py alone
        raise ExperimentError(f"{name!r} is no name of a file; name it, such as ships.")
    title = path.stem.replace("_", " ").capitalize()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEXT.format(title=_in_docstring(title), command=_in_docstring(command_of(path))))
    except FileExistsError:
        raise ExperimentError(f"{path} is there already; name another file, or edit that one.") from None
    except OSError as error:
        raise ExperimentError(f"{path} cannot be written: {error.strerror}; name a place of yours.") from error
    return path


def command_of(path: Path) -> str:
    """What trains by a file, for a shell."""
    return f"segjax train {shlex.quote(str(path))} --root PATH"


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
