"""A trained model back from its run folder."""

from pathlib import Path
from typing import Any

from flax import linen as nn

from segjax.data import Dataset, test_batches
from segjax.train import devices
from segjax.train.checkpoints import read_variables
from segjax.train.evaluate import evaluate, make_evaluation_step
from segjax.train.run import Run
from segjax.train.state import Variables


def load(run: str | Path) -> tuple[nn.Module, Variables]:
    """The model and the variables of a run folder's newest checkpoint; its data set is not touched.

    `model.apply(variables, images, train=False)` gives logits (n h w k) for images (n h w c) as the data set stores
    them: uint8, or float in 0..255. Raises `ExperimentError` where the folder is no run or holds no checkpoint.
    """
    model, variables, _ = load_with_dataset(run)
    return model, variables


def load_with_dataset(run: str | Path) -> tuple[nn.Module, Variables, Dataset]:
    """What `load` gives, and the data set with its class names and palette, not opened."""
    folder = Run.open(Path(run))
    experiment = folder.experiment()
    _, variables, _ = read_variables(folder.checkpoints, experiment.model)
    return experiment.model, variables, experiment.data


def evaluate_run(run: str | Path) -> dict[str, Any]:
    """Score a run's newest checkpoint on the test split: what report.json holds."""
    folder = Run.open(Path(run))
    experiment = folder.experiment()
    step, variables, progress = read_variables(folder.checkpoints, experiment.model)
    data = experiment.data
    mesh = devices.data_mesh(experiment.batch_size)
    batches = (devices.split(batch, mesh) for batch in test_batches(data.open("test"), experiment.batch_size))
    evaluation_step = make_evaluation_step(experiment.model, len(data.class_names))
    scores = evaluate(evaluation_step, devices.replicate(variables, mesh), batches, data.class_names)
    return {"test": scores, "steps": step, "train_seconds": round(progress["train_seconds"], 1)}
