"""Runs of the fixture `squares`, which several test files train, and what they have learned."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

import segjax
from segjax.runs import create_run, experiment_of
from segjax.train import Run, train


def run_squares(squares: Path, folder: Path, **knobs: Any) -> Run:
    """A finished run."""
    run = create_run(folder, squares, knobs, {})
    train(experiment_of(run), run)
    return run


def bits(run: Run) -> list[bytes]:
    """Of every variable of its model."""
    _, variables = segjax.load(run.path)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)]
