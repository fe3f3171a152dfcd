"""Learning rates over time, and which parameters decay: what experiments give to Optax."""

from typing import Any, Literal

import jax
import optax

from segjax.errors import ExperimentError

Schedule = Literal["one_cycle", "cosine", "poly", "constant"]


def schedule(kind: Schedule, learning_rate: float, steps: int, warmup: int = 0) -> optax.Schedule:
    """The learning rate at every step; `learning_rate` is the highest.

    "one_cycle" rises and falls by cosines (Smith and Topin 2019) and has a warm-up of its own; "cosine" falls to 0
    (Loshchilov and Hutter 2017); "poly" falls as (1 - step / steps) ** 0.9 (Chen et al. 2018); "constant" stays. Before
    the last three, `warmup` steps rise linearly from 0. Raises ValueError where those are not fewer than `steps`.
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
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def in_encoder(params: Any) -> Any:
    """True for the parameters of a model's encoder: those with a module of that name above them.

    Raises:
        ExperimentError: there are none.
    """
    found = jax.tree_util.tree_map_with_path(lambda path, _: any(key.key == "encoder" for key in path), params)
    if not any(jax.tree.leaves(found)):
        raise ExperimentError("The model has no part named encoder: leave freeze and encoder_rate out.")
    return found


def with_encoder_rate(optimizer: optax.GradientTransformation, factor: float) -> optax.GradientTransformation:
    """The optimizer with another learning rate for the encoder, `factor` times that of the rest; its decay follows."""
    return optax.chain(optimizer, optax.masked(optax.scale(factor), in_encoder))


def with_still_encoder(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer of all but the encoder, which has no moments then, and which not even weight decay moves."""

    def parts(params: Any) -> Any:
        return jax.tree.map(lambda inside: "still" if inside else "moved", in_encoder(params))

    return optax.partition({"moved": optimizer, "still": optax.set_to_zero()}, parts)
