"""Learning rates over time, and which parameters decay: what experiments give to Optax."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import optax

from segjax.errors import ExperimentError
from segjax.layers import belongs_to
from segjax.level import Parts

Path = list[str]

Schedule = Literal["one_cycle", "cosine", "poly", "constant"]


def schedule(kind: Schedule, learning_rate: float, steps: int, warmup: int = 0) -> optax.Schedule:
    """The learning rate at every step; `learning_rate` is the highest.

    "one_cycle" rises and falls by cosines (Smith and Topin 2019) and has a warm-up of its own; "cosine" falls to 0
    (Loshchilov and Hutter 2017); "poly" falls as (1 - step / steps) ** 0.9 (Chen et al. 2018); "constant" stays. Before
    the last three, `warmup` steps rise linearly from 0.

    Raises:
        ValueError: `warmup` is not fewer than `steps`.

    Examples:
        >>> rate = train.schedule("poly", 0.1, steps=100)
        >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
        [0.1, 0.054, 0.0]
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup is {warmup} steps of {steps}; give it fewer than there are.")
    if kind == "one_cycle":
        return optax.cosine_onecycle_schedule(steps, learning_rate)
    left = steps - warmup
    after = {
        "cosine": optax.cosine_decay_schedule(learning_rate, left),
        "poly": optax.polynomial_schedule(learning_rate, 0.0, 0.9, left),
        "constant": optax.constant_schedule(learning_rate),
    }[kind]
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup), after], [warmup])


def kernels(params: Any) -> Any:
    """True for the kernels of convolutions and dense layers, which weight decay is for; False for biases and scales.

    Give it to Optax as a mask: `optax.adamw(rate, weight_decay=1e-4, mask=kernels)`.

    Examples:
        >>> train.kernels({"conv": {"kernel": jnp.zeros((3, 3, 2, 4)), "bias": jnp.zeros(4)}})
        {'conv': {'bias': False, 'kernel': True}}
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def apart(
    rest: optax.GradientTransformation, encoder: optax.GradientTransformation, parts: tuple[str, ...] | None = None
) -> optax.GradientTransformation:
    """One optimizer for the encoder, or for these parts of it, and one for the rest of the model."""

    def which(path: Path, leaf: Any) -> str:
        inside = _in_encoder(path)
        return "encoder" if inside and (parts is None or belongs_to(inside, parts)) else "rest"

    return optax.partition({"rest": rest, "encoder": encoder}, partial(_over_model, which))


def waiting(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimizer that does nothing yet, not even decay: its state is in its place, and stays as it begins."""
    return optax.GradientTransformation(
        optimizer.init, lambda updates, state, params=None: (optax.tree.zeros_like(updates), state)
    )


def rates_of_encoder(factor: float, decay: float = 1.0, parts: Parts = ()) -> optax.GradientTransformation:
    """What makes another learning rate of the encoder's, and so of its weight decay: chain it after an optimizer.

    The rate is `factor` times that of the rest, and in each stage of the encoder, whose `parts` are given, `decay`
    times that of the stage after it, the last one's `decay` times `factor` (layer-wise decay, Bao et al. 2022).
    """

    def scaled(path: Path, update: Any) -> Any:
        inside = _in_encoder(path)
        if not inside:
            return update
        left = [len(parts) - i for i, stage in enumerate(parts) if belongs_to(inside, stage)]
        return factor * decay ** max(left, default=0) * update

    def init(params: Any) -> optax.EmptyState:
        _over_model(lambda *_: None, params)  # refuses a model without an encoder
        return optax.EmptyState()

    return optax.GradientTransformation(init, lambda updates, state, params=None: (_over_model(scaled, updates), state))


def _over_model(function: Callable[[Path, Any], Any], tree: Any) -> Any:
    """What a function makes of the path and value of every parameter.

    Raises:
        ExperimentError: the model has no encoder.
    """
    paths = [[key.key for key in path] for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    if not any(map(_in_encoder, paths)):
        raise ExperimentError("The model has no part named encoder: leave freeze, encoder_rate and layer_decay out.")
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function([key.key for key in path], leaf), tree)


def _in_encoder(path: Path) -> Path:
    """Of a parameter's path the part below a module named encoder; nothing where there is none."""
    return path[path.index("encoder") + 1 :] if "encoder" in path else []
