"""What is opened where a run is asked for: a run, or a model that was saved into a folder without its experiment."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import flax.linen as nn

from segjax.data import Dataset, Statistics
from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import voc_palette
from segjax.errors import ExperimentError, counted
from segjax.layers import Normalized
from segjax.models.card import About
from segjax.models.heads import OfScores, TwoClasses
from segjax.models.pretrained import NAMED, holds_model, open_pretrained
from segjax.models.segmenter import Segmenter
from segjax.models.text_regions import CRAFT
from segjax.runs.knobs import located
from segjax.runs.load import load_experiment, score
from segjax.runs.run import experiment_of, open_run
from segjax.tasks import Segmentation, SigmoidSegmentation
from segjax.tasks.task import Task
from segjax.train.experiment import Which
from segjax.train.run import Run
from segjax.weights.loading import HUB


class Predictor(NamedTuple):
    """What predicts."""

    task: Task
    model: nn.Module
    variables: Mapping[str, Any]
    about: About


def is_saved(said: str) -> bool:
    """Whether it names what `segjax.from_pretrained` takes, and no run: a folder that `save_pretrained` wrote, such a
    repository as hub:OWNER/NAME, a file of torchvision's or a published model."""
    path = Path(said)
    if said in NAMED and not path.exists():
        return True
    of_folder = (path / "config.json").is_file() and not (path / "run.json").exists()
    return said.startswith(HUB) or path.is_file() or of_folder


def saved_model(said: str) -> nn.Module | None:
    """The saved model of that name; None where it is a run, a set of weights by name, or weights of an encoder alone.

    Raises:
        DataError: as `open_saved`.
    """
    if not is_saved(said):
        return None
    alone = said.startswith(HUB) or Path(said).is_file()
    return None if alone and not holds_model(*_at(said)) else open_saved(said)[0]


def open_saved(said: str) -> tuple[nn.Module, dict[str, Any], About]:
    """The saved model of a folder, of hub:OWNER/NAME@REVISION, of a file of torchvision's, or by its own name.

    Raises:
        DataError: it cannot be had, or is a model that segjax does not have.
    """
    return open_pretrained(*_at(said))


def _at(said: str) -> tuple[str, str]:
    """The name and the revision that a saved model has for `segjax.from_pretrained`."""
    if not said.startswith(HUB):
        return said, "main"
    repository, _, revision = said.removeprefix(HUB).partition("@")
    return repository, revision or "main"


def open_predictor(said: str, which: Which | None = None) -> Predictor:
    """The task, model and variables of a run, or of a saved model, which gives logits of every pixel.

    Raises:
        ExperimentError: it is no run, or not one with that checkpoint; a saved model of which a checkpoint is asked
            for, or of chosen bands or files of channels that may be stored in any numbers.
        DataError: as `open_saved`.
    """
    if not is_saved(said):
        experiment, variables = load_experiment(said, which)
        about = About(experiment.data.class_names, trained_on=experiment.data.name)
        return Predictor(experiment.task_of_data, experiment.model, variables, about)
    if which is not None:
        raise ExperimentError(f"{said} is a saved model, of one checkpoint: leave --checkpoint out, or name its run.")
    model, variables, about = open_saved(said)
    model, count = of_masks(model, said, sigmoids=bool(about.thresholds))
    names = about.class_names or tuple(f"class {i}" for i in range(count))
    multilabel = len(about.thresholds) == len(names)
    palette, seen = about.palette or voc_palette(len(names)), None
    if isinstance(model, Normalized):  # so that files of other images are left out by name, as a run leaves them out
        seen = Statistics(model.mean, model.std, model.gamma, model.stored)
    data = Dataset(said, names, palette, _no_data, statistics=seen, multilabel=multilabel)
    if about.bands or about.channel_files:
        if data.images is None:
            sees = (
                f"bands {' '.join(map(str, about.bands))}" if about.bands else counted(len(about.channel_files), "file")
            )
            raise ExperimentError(
                f"{said} sees {sees} of images, and not in which numbers they are stored: name the run that it was "
                "saved from."
            )
        bands = dataclasses.replace(data.images, chosen=about.bands or data.images.chosen, channels=about.channel_files)
        data = dataclasses.replace(data, bands=bands)
    return Predictor(_task(data, about), model, variables, about)


def _task(data: Dataset, about: About) -> Task:
    return SigmoidSegmentation(data, about.thresholds) if about.thresholds else Segmentation(data)


def of_masks(model: nn.Module, said: str, *, sigmoids: bool = False) -> tuple[nn.Module, int]:
    """The model without what follows its logits, and its number of classes: two where it has one logit.

    With `sigmoids` its logits stay as they are.

    Raises:
        ExperimentError: it is no segmentation model.
    """
    inside = getattr(model, "model", None)
    if isinstance(inside, nn.Module):
        changed, count = of_masks(inside, said, sigmoids=sigmoids)
        return model.clone(model=changed), count
    if isinstance(model, CRAFT):
        return OfScores(model), 2
    if not isinstance(model, Segmenter):
        raise ExperimentError(f"{said} holds a {type(model).__name__}, which gives no masks: name a run that predicts.")
    plain = model.clone(activation=None, image_head=None, auxiliary=None, stride=1)
    return (TwoClasses(plain), 2) if model.num_classes == 1 and not sigmoids else (plain, model.num_classes)


def evaluate_saved(
    said: str,
    on: str | Path,
    split: Literal["test", "val"] = "test",
    where: Mapping[str, str] | None = None,
    per_image: Path | None = None,
) -> dict[str, Any]:
    """Score a saved model on a split of the data set of a run; `where` and `per_image` as for `evaluate_run`.

    Raises:
        ExperimentError: that is no run, or the model has other classes than its data set.
        DataError: as `open_saved`.
    """
    model, variables, about = open_saved(said)
    sigmoids = bool(about.thresholds)
    model, count = of_masks(model, said, sigmoids=sigmoids)
    experiment = experiment_of(open_run(Path(on)), located(where or {}))
    names, multilabel = experiment.data.class_names, experiment.data.multilabel
    if multilabel and not sigmoids:
        raise ExperimentError(f"{said} tells classes apart, and the labels of the data set of {on} may overlap.")
    if (1 if sigmoids and not multilabel else len(names)) != count:
        raise ExperimentError(f"{said} tells {count} classes apart, and the data set of {on} has {len(names)}.")
    experiment = dataclasses.replace(experiment, task=partial(_task, about=about))
    return {split: score(experiment, model, variables, split, per_image)}


def about_run(run: str | Path) -> About:
    """What a run knows of its classes, data and scores, for the card of `save_pretrained`.

    Raises:
        ExperimentError: the folder is no run.
    """
    folder = open_run(Path(run))
    experiment, scores = experiment_of(folder), _scores(folder)
    data, task = experiment.data, experiment.task_of_data
    if "test" in scores:
        task = task.decided(scores["test"])
    palette: Any = tuple(map(tuple, data.palette))
    images = data.images or Bands()
    return About(
        data.class_names, palette, scores, data.name,
        thresholds=thresholds_of(task), bands=images.chosen or (), channel_files=images.channels,
    )  # fmt: skip


def thresholds_of(task: Task) -> tuple[float, ...]:
    """From which probability on a pixel has each label; none where a pixel has the most probable class."""
    return task.thresholds if isinstance(task, SigmoidSegmentation) else ()


def _scores(run: Run) -> dict[str, Any]:
    """Of the splits, as far as the run is finished."""
    report = run.report() if (run.path / "report.json").exists() else {}
    return {split: report[split] for split in ("test", "val") if split in report}


def _no_data(split: str) -> NoReturn:
    raise ExperimentError(f"A saved model has no {split} split: say on which run's data set it is scored, --on RUN.")
