"""Models in folders: segjax's own, and those of segmentation_models.pytorch."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import weights
from segjax.errors import DataError
from segjax.layers import Normalized, Standardized, inputs_of
from segjax.layers.inputs import WHITE
from segjax.models import described, smp_folder, smp_written
from segjax.models.card import About, card
from segjax.models.centernet import CenterNet
from segjax.models.localizer import Localizer
from segjax.models.multihead import MultiHead
from segjax.models.segmenter import DeeplySupervised, Segmenter
from segjax.weights import safetensors_file, smp_names
from segjax.weights.convert import from_torch, parameters, to_torch
from segjax.whole import written_whole

Layout = Literal["segjax", "smp"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, by which the encoders of segmentation_models.pytorch are normalised."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
PULLED = "pulled.json"
"""What says of which commit of the hub the other files are."""
OWN = "segjax"
"""The key of config.json under which is what segjax alone reads: all of it in its own layout."""


def save_pretrained(
    folder: str | Path,
    model: nn.Module,
    variables: Mapping[str, Any],
    about: About = About(),
    layout: Layout = "segjax",
) -> None:
    """Writes a model and its variables into a folder that `segjax.from_pretrained` opens, with a model card.

        segjax.save_pretrained("mine", model, variables, about=models.About(class_names=("ground", "tree")))

    In the layout "smp" `segmentation_models_pytorch.from_pretrained(folder)` opens it as well, to the same logits of
    images that are normalised as the card says; in segjax's own the model may be of any parts that segjax has. What is
    there of the files that it writes is replaced.

    Args:
        folder: Made where it is not there.
        model: As `from_pretrained` or `segjax.load` gives it, or made of segjax's parts.
        variables: Its parameters and statistics.
        about: What the card and `segjax predict` say of the classes, and the card of scores, licence and parity.
        layout: Whose.

    Raises:
        DataError: there is no such layout, the model is none that it can say, the variables are not its own, the names
            are not one for each of its classes, or nothing can be written.

    Examples:
        >>> model = models.unet(2, base=2, depth=1)
        >>> image = jnp.zeros((1, 8, 8, 3))
        >>> shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
        >>> variables = jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes)
        >>> _ = models.save_pretrained("mine", model, variables, models.About(("ground", "tree")))
        >>> models.from_pretrained("mine")[0] == model
        False
    """
    folder = Path(folder)
    if layout not in get_args(Layout):
        raise DataError(f"layout is {' or '.join(get_args(Layout))}, got {layout!r}.")
    channels = channels_of(model, variables)
    check_names(model, about)
    if layout == "smp":
        settings, state = _as_smp(model, variables, channels)
        settings[f"_{OWN}"] = {"inputs": inputs_of(model)} | about.classes()
    else:
        state = to_torch(variables)
        from_torch(state, variables)  # names of no other module's parameters fold into each other
        own = {"model": described.describe(model), "channels": channels} | about.classes()
        settings = {OWN: own}
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    texts = {CONFIG: json.dumps(settings, indent=2)}
    inside = _inside(model)
    finds = isinstance(inside, (CenterNet, Localizer, MultiHead))
    texts |= {CARD: card(about, layout, count, _said_of_inputs(model, channels), finds=finds)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What is there is replaced when all is written, or a disk that is full would leave the parts of two models.
        with ExitStack() as stack:
            for file, text in texts.items():
                stack.enter_context(written_whole(folder / file)).write_text(text, "utf-8")
            safetensors_file.write(folder / WEIGHTS, state, {"format": "pt"})
            (folder / PULLED).unlink(missing_ok=True)  # it is of no commit of the hub any more
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): choose another folder.") from error


def check_names(model: nn.Module, about: About) -> None:
    """Whether a segmenter's classes have a name each, or none; one logit has two.

    Raises:
        DataError: there are more or fewer.
    """
    model = _inside(model)
    if not isinstance(model, (Segmenter, DeeplySupervised)):
        return
    names, classes = len(about.class_names), model.num_classes
    if names not in (0, classes) and (names, classes) != (2, 1):
        raise DataError(f"{names} classes have names, and the model has {classes}: name each, or none.")


def _inside(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, (Normalized, Standardized)) else model


def opened(settings: Mapping[str, Any], file: Path, where: str) -> tuple[nn.Module, dict[str, Any]]:
    """The model and the variables of a folder of segjax's own layout.

    Raises:
        DataError: as `segjax.from_pretrained`.
    """
    match settings:
        case {"model": dict(said), "channels": int(channels)}:
            model = described.make(said)
        case _:
            raise DataError(f"{where} describes no model: take the one that save_pretrained wrote.")
    return model, from_torch(weights.read(file), shapes(model, channels))


def shapes(model: nn.Module, channels: int) -> Any:
    """The shapes of a model's variables."""
    image = jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    return jax.eval_shape(partial(model.init, train=False), keys, image)


def channels_of(model: nn.Module, variables: Mapping[str, Any]) -> int:
    """Of the images that a model with these variables takes.

    Raises:
        DataError: the variables are not the model's, or have no collection of parameters.
    """
    kernels = {leaf.shape[2] for leaf in jax.tree.leaves(parameters(variables)) if leaf.ndim == 4}
    likely = [len(model.mean)] if isinstance(model, Normalized) else sorted(kernels, key=lambda n: (n != 3, n))
    for channels in likely:
        try:
            expected = shapes(model, channels)
        except (TypeError, ValueError):
            continue
        if jax.tree.map(jnp.shape, dict(variables)) == jax.tree.map(jnp.shape, expected):
            return channels
    raise DataError(f"These variables are not those of this {type(model).__name__}: give what it was made with.")


def _as_smp(
    model: nn.Module, variables: Mapping[str, Any], channels: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """config.json and the state dict of segmentation_models.pytorch."""
    if isinstance(model, (Normalized, Standardized)):
        model, variables = model.model, {kind: tree["model"] for kind, tree in variables.items()}
    settings = smp_written.settings_of(model, channels)
    how = smp_folder.decoder_of(settings), smp_folder.taken_encoder(settings).names
    return settings, smp_names.to_model(smp_written.never_run(settings), *how) | smp_names.to_model(variables, *how)


def _said_of_inputs(model: nn.Module, channels: int) -> str:
    match inputs_of(model):
        case {"mean": mean, "std": std, "gamma": gamma, "stored": stored}:
            power, white = "" if gamma == 1 else f" ** {gamma}", WHITE[stored]
            return f"`((image / {white}){power} - mean) / std` with mean {list(mean)} and std {list(std)}, by channel"
        case "standardized":
            return "each image to mean 0 and deviation 1, channel by channel"
    return f"none: images of {channels} channels as the model was trained on them"
