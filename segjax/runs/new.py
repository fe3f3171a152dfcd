"""A short experiment file to begin with: `segjax new NAME`."""

from pathlib import Path

from segjax.errors import ExperimentError

_TEXT = '''"""{title}: what it is, and what it scores."""

from dataclasses import asdict

from segjax import losses, models, upsampling
from segjax.data import Augment, FolderDefaults, folder, folder_defaults
from segjax.layers import Standardized
from segjax.runs import remember
from segjax.train import Experiment, Recipe


def experiment(
    root: str,
    upsample: upsampling.Upsampler = "conv_transpose_2x2",
    width: int = 16,
    depth: int = 4,
    crop: int = 64,
    recipe: Recipe = Recipe(steps=1000, batch_size=8, learning_rate=2e-3),
) -> Experiment:
    """A U-Net on images/ and masks/ in a folder: `segjax train {file} --root PATH`.

    Args:
        root: The folder; `segjax data check` says whether it is fit to train on.
        upsample: The upsampler of the decoder.
        width: Channels at full resolution; every level doubles them.
        depth: How often the image is halved.
        crop: Height and width of training crops in pixels.
        recipe: How it is trained.
    """
    known = remember("folder", lambda: asdict(folder_defaults(root)))  # the run is loaded where the folder is not
    data = folder(root, FolderDefaults.from_json(known))
    climb, block = upsampling.named(upsample), recipe.block()
    model = models.unet(len(data.class_names), width, depth=depth, upsample=climb, block=block)
    return recipe.experiment(
        model=Standardized(model),
        data=data,
        loss=losses.weighted_sum((1.0, losses.cross_entropy), (1.0, losses.dice)),
        augment=Augment(crop=(crop, crop), flip_horizontal=True, scale=(0.8, 1.25), brightness=0.2, contrast=0.2),
    )
'''


def write_new(name: str) -> Path:
    """Write an experiment file to edit, and return its path: `NAME.py`, in the working folder unless the name says.

    Raises:
        ExperimentError: it is there already, or cannot be written.
    """
    path = Path(name if name.endswith(".py") else f"{name}.py")
    try:
        with path.open("x") as file:
            file.write(_TEXT.format(title=path.stem.replace("_", " ").capitalize(), file=path))
    except FileExistsError:
        raise ExperimentError(f"{path} is there already; name another file, or edit that one.") from None
    except OSError as error:
        raise ExperimentError(f"{path} cannot be written: {error.strerror}; name a place of yours.") from error
    return path
