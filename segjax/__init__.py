"""A functional JAX/Flax model zoo for semantic segmentation and object localization.

`segjax.ops`, `segjax.losses`, `segjax.metrics`, `segjax.level`, `segjax.layers`, `segjax.upsampling`,
`segjax.encoders`, `segjax.decoders`, `segjax.weights` and `segjax.models` need jax, flax and numpy alone;
`segjax.data`, `segjax.drawing`, `segjax.tasks`, `segjax.train`, `segjax.inference`, `segjax.runs`, `segjax.load` and
`segjax.experiment` need the extra `train`, `segjax.export` needs `export`, and `segjax.serve` both `train` and `serve`.

    run = segjax.train(segjax.experiment("land_cover", steps=300), out="runs/mine")
    model, variables = segjax.load("runs/of_the_command_line")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segjax import cache as cache
    from segjax import data as data
    from segjax import decoders as decoders
    from segjax import drawing as drawing
    from segjax import encoders as encoders
    from segjax import errors as errors
    from segjax import export as export
    from segjax import inference as inference
    from segjax import layers as layers
    from segjax import level as level
    from segjax import losses as losses
    from segjax import metrics as metrics
    from segjax import models as models
    from segjax import ops as ops
    from segjax import report as report
    from segjax import runs as runs
    from segjax import serve as serve
    from segjax import tasks as tasks
    from segjax import upsampling as upsampling
    from segjax import weights as weights
    from segjax.models.hub import pull_pretrained as pull_pretrained
    from segjax.models.hub import push_pretrained as push_pretrained
    from segjax.models.saved import save_pretrained as save_pretrained
    from segjax.pretrained import from_pretrained as from_pretrained
    from segjax.runs.experiment_file import experiment as experiment
    from segjax.runs.load import load as load
    from segjax.train.start import train_in

    train = train_in  # the room can be called

__version__ = "0.2.0"
_MODULES = {
    "cache",
    "data",
    "decoders",
    "drawing",
    "encoders",
    "errors",
    "export",
    "inference",
    "layers",
    "level",
    "losses",
    "metrics",
    "models",
    "ops",
    "report",
    "runs",
    "serve",
    "tasks",
    "train",
    "upsampling",
    "weights",
}
_FUNCTIONS = {
    "experiment": "segjax.runs.experiment_file",
    "from_pretrained": "segjax.pretrained",
    "load": "segjax.runs.load",
    "pull_pretrained": "segjax.models.hub",
    "push_pretrained": "segjax.models.hub",
    "save_pretrained": "segjax.models.saved",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that `segjax --help` is quick and `segjax.ops` never needs an extra.
    try:
        if name in _MODULES:
            return importlib.import_module(f"segjax.{name}")
        if name in _FUNCTIONS:
            return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "segjax":
            raise
        # So that `help(segjax)` and editors, which ask for every name, go on.
        raise AttributeError(
            f"segjax.{name} needs {error.name}; install it with `pip install 'segjax[train]'`."
        ) from error
    raise AttributeError(f"module 'segjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_MODULES, *_FUNCTIONS, *(name for name in globals() if name.startswith("__"))})
