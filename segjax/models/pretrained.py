"""A model with its weights from a folder or the Hugging Face hub; nothing of it is executed."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn

from segjax import cache
from segjax.errors import DataError
from segjax.layers import with_inputs
from segjax.models import saved, smp_folder, torchvision_file, transformers_folder
from segjax.models.card import About
from segjax.models.edges import open_hed
from segjax.models.selfie import open_selfie
from segjax.models.text_regions import open_craft
from segjax.weights import read, smp_names
from segjax.weights.convert import from_torch

NAMED = {"hed": open_hed, "craft": open_craft, "selfie": open_selfie}
"""Networks that are published with their weights, by name."""
_REPOSITORY = re.compile(r"(?:hub:)?(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
"""Of the Hugging Face hub, as `from_pretrained` and as commands have it."""
_IMAGENET = {"mean": saved.MEAN, "std": saved.STD}


def from_pretrained(name: str | Path, revision: str = "main") -> tuple[nn.Module, dict[str, Any]]:
    """A model and its variables, without torch: of segjax or another library.

        model, variables = segjax.from_pretrained("smp-hub/upernet-resnet50-640x640")
        logits = model.apply(variables, images, train=False)  # uint8 images as they are

    Those of segmentation_models.pytorch, transformers (SegFormer) and torchvision are normalised by ImageNet's
    statistics, as they were published, where they take three channels; otherwise they take what they were trained on.

    Args:
        name: A folder with config.json and model.safetensors; the id of such a repository of the Hugging Face hub,
            OWNER/NAME or hub:OWNER/NAME@REVISION; a file of the weights of torchvision's FCN, DeepLabV3 or LRASPP; or
            "hed" (edges), "craft" (text regions) or "selfie" (a person).
        revision: Of the repository: a commit, a branch or a tag.

    Raises:
        DataError: it cannot be had or read, or it is a model that segjax does not have; the sentence says which.

    Examples:
        >>> model = models.unet(2, base=2, depth=1)
        >>> image = jnp.zeros((1, 8, 8, 3))
        >>> shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
        >>> variables = jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), shapes)
        >>> _ = models.save_pretrained("mine", model, variables)
        >>> same, variables = models.from_pretrained("mine")
        >>> same == model
        False
    """
    model, variables, _ = open_pretrained(name, revision)
    return model, variables


def open_pretrained(name: str | Path, revision: str = "main") -> tuple[nn.Module, dict[str, Any], About]:
    """As `from_pretrained`, with names and colours of the classes, and the hub's commit, where the folder has them.

    Raises:
        DataError: as `from_pretrained`.
    """
    folder = Path(name)
    if str(name) in NAMED and not folder.exists():
        return NAMED[str(name)]()
    if folder.is_file():
        return _of_torchvision(folder)
    if folder.is_dir():
        config, weights = (folder / file for file in (saved.CONFIG, saved.WEIGHTS))
        source = _pulled(folder)
    else:
        repository, revision = _of_the_hub(str(name), revision)
        source = f"hub:{repository}@{revision}"
        config, weights = (cache.fetch_hub(repository, file, revision) for file in (saved.CONFIG, saved.WEIGHTS))
    for file in (config, weights):
        if not file.is_file():
            raise DataError(f"{folder} has no {file.name}: give the folder that save_pretrained wrote.")
    settings = _settings(config)
    own = settings.get(saved.OWN, settings.get(f"_{saved.OWN}", {}))
    if not isinstance(own, dict):
        raise DataError(f"{config} has a part {saved.OWN} that is none: take the one that save_pretrained wrote.")
    try:
        if saved.OWN in settings:
            model, variables = saved.opened(own, weights, str(config))
        elif settings.get("model_type") == "segformer":
            model, about = transformers_folder.model_of(settings, str(config))
            like = saved.shapes(model, settings.get("num_channels", 3))
            variables = from_torch(transformers_folder.of_model(read(weights)), like)
            return *_seen(model, variables, _IMAGENET), dataclasses.replace(about, source=source)
        else:
            model, variables = _of_smp(settings, config, weights)
            channels = settings.get("in_channels", 3)
            inputs = _IMAGENET if channels == 3 else None
            model, variables = _seen(model, variables, own.get("inputs", inputs))
        return model, variables, _about(own, source, str(config))
    except DataError as error:
        at = "" if str(error).startswith((str(config), str(weights))) else f"{weights}: "
        raise DataError(f"{at}{error}") from error
    except Exception as error:  # what is made of wrong numbers fails in its own way, some of it when it is traced
        why = cache.first_line(error)
        raise DataError(f"{config} describes no model that can be made ({why}): fetch or save it again.") from error


def _of_the_hub(name: str, revision: str) -> tuple[str, str]:
    """The repository, and the revision that is said with it or beside it.

    Raises:
        DataError: it is no name of one.
    """
    found = _REPOSITORY.fullmatch(name)
    if found is None:
        raise DataError(
            f"{name} is no folder, no file, no OWNER/NAME of the Hugging Face hub, and none of {', '.join(NAMED)}: "
            "mend the name."
        )
    return found[1], found[2] or revision


def _about(own: Mapping[str, Any], source: str | None, where: str) -> About:
    """What segjax's part of a config.json says of the classes; `where` is the file, for a sentence."""
    match [own.get(part, []) for part in ("class_names", "palette", "thresholds", "bands", "channel_files")]:
        case [list(names), list(palette), *others] if all(isinstance(part, list) for part in others):
            colours: Any = tuple(tuple(map(int, colour)) for colour in palette)
        case _:
            raise DataError(
                f"{where} has class names, colours, thresholds, bands or files of channels that are no lists: save it "
                "again."
            )
    thresholds, bands, files = map(tuple, others)
    try:
        return About(tuple(names), colours, source=source, thresholds=thresholds, bands=bands, channel_files=files)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def holds_model(name: str | Path, revision: str = "main") -> bool:
    """Whether `open_pretrained` takes it, a file or a repository of the hub, and it is not weights of an encoder alone.

    Raises:
        DataError: the file cannot be read, or the repository not be had.
    """
    if Path(name).is_file():
        return torchvision_file.is_known(read(name))
    cache.fetch_hub(str(name), saved.WEIGHTS, revision)  # without it neither, and without a network it is said once
    try:
        settings = _settings(cache.fetch_hub(str(name), saved.CONFIG, revision))
    except DataError:  # weights need none
        return False
    return saved.OWN in settings or "_model_class" in settings or settings.get("model_type") == "segformer"


def _pulled(folder: Path) -> str | None:
    """Of which commit of the hub a folder is, where `pull_pretrained` made it."""
    if not (folder / saved.PULLED).is_file():
        return None
    match _settings(folder / saved.PULLED):
        case {"repository": str(repository), "revision": str(revision)}:
            return f"hub:{repository}@{revision}"
    raise DataError(f"{folder / saved.PULLED} names no revision: pull the folder again.")


def _of_torchvision(file: Path) -> tuple[nn.Module, dict[str, Any], About]:
    try:
        model, state = torchvision_file.model_of(read(file), str(file))
    except KeyError as error:
        raise DataError(f"{file} has no {error.args[0]}: fetch it whole.") from error
    try:
        variables = from_torch(state, saved.shapes(model, 3))
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    return *_seen(model, variables, _IMAGENET), About()


def _settings(config: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{config} is no JSON ({error}): fetch it again.") from error
    if not isinstance(settings, dict):
        raise DataError(f"{config} holds no settings: fetch it again.")
    return settings


def _of_smp(settings: Mapping[str, Any], config: Path, weights: Path) -> tuple[nn.Module, dict[str, Any]]:
    model = smp_folder.model_of(settings, str(config))
    taken = smp_folder.taken_encoder(settings)
    state = smp_names.of_model(read(weights), smp_folder.decoder_of(settings), taken.names)
    # It keeps what it never runs: stages of the encoder in PSPNet, what comes before a classifier, what U-Net++ has at
    # the deepest level of VGG, and attention to what would be joined at the image's own place.
    encoder = "" if settings["_model_class"] == "PSPNet" else r"(conv_head|bn2|head|fc_norm|norm)\."
    unused = rf"encoder\.{encoder}|decoder\.(joined1(_1)?|bottleneck)\."
    like = saved.shapes(model, settings.get("in_channels", 3))
    return model, from_torch(state, like, unused=unused, transposed=smp_names.TRANSPOSED)


def _seen(model: nn.Module, variables: dict[str, Any], inputs: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The model behind the normalisation that it was trained with."""
    wrapped = with_inputs(model, inputs)
    if wrapped is model:
        return model, variables
    return wrapped, {kind: {"model": tree} for kind, tree in variables.items()}
