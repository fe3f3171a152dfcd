"""Runs of experiment files: knobs, run folders, seeds, sweeps, and trained models back from them."""

from segjax.runs.experiment_file import ExperimentFile, Preset, experiment, read_experiment, remember
from segjax.runs.known_boxes import known_boxes
from segjax.runs.known_data import known_data
from segjax.runs.load import evaluate_run, load, load_experiment
from segjax.runs.run import create_run, experiment_of, new_run, open_run
from segjax.runs.saved import about_run
from segjax.runs.starting import start_from

__all__ = [
    "ExperimentFile",
    "Preset",
    "about_run",
    "create_run",
    "evaluate_run",
    "experiment",
    "experiment_of",
    "known_boxes",
    "known_data",
    "load",
    "load_experiment",
    "new_run",
    "open_run",
    "read_experiment",
    "remember",
    "start_from",
]
