"""Trained models, whatever holds them."""

from pathlib import Path
from typing import Any

import flax.linen as nn

from segjax.models import pretrained


def from_pretrained(name: str | Path, revision: str = "main") -> tuple[nn.Module, dict[str, Any]]:
    """A model and its variables, without torch: of a run, of `segjax.save_pretrained`, or of another library.

        model, variables = segjax.from_pretrained("smp-hub/upernet-resnet50-640x640")
        logits = model.apply(variables, images, train=False)  # uint8 images as they are

    Args:
        name: A run folder, which `segjax.load` opens, or what `segjax.models.from_pretrained` takes.
        revision: Of a repository of the Hugging Face hub: a commit, a branch or a tag.

    Raises:
        DataError: it cannot be had or read, or it is a model that segjax does not have; the sentence says which.
        ExperimentError: the run cannot be opened.
    """
    if not (Path(name) / "run.json").exists():
        return pretrained.from_pretrained(name, revision)
    from segjax.runs.load import load  # of the extra `train`

    model, variables = load(name)
    return model, dict(variables)
