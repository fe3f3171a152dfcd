"""Which parts of an encoder stay as they start."""

from flax import linen as nn

from segjax.errors import ExperimentError, by_name
from segjax.layers import parts_of_encoder
from segjax.level import Parts


def frozen_parts(said: str, model: nn.Module) -> tuple[str, ...] | None:
    """The names of the parts of a model's encoder that "all", a number of its first stages or some names stand for.

    None for all of it.

    Raises:
        ExperimentError: it has no such parts; the sentence offers those that it has.
        ValueError: the model has no encoder.
    """
    if said == "all":
        return None
    encoder, stages = parts_of_encoder(model)[0], stages_of(model)
    if said.isdecimal():
        if not 1 <= int(said) <= len(stages):
            shown = ", ".join("+".join(stage) for stage in stages)
            raise ExperimentError(f"freeze is {said}; {encoder} has {len(stages)} stages, in order {shown}.")
        return tuple(name for stage in stages[: int(said)] for name in stage)
    known = {name: name for stage in stages for name in stage}
    return tuple(by_name(name.strip().replace(".", "_"), known, f"part of {encoder}") for name in said.split(","))


def stages_of(model: nn.Module) -> Parts:
    """The parts of a model's encoder, stage by stage.

    Raises:
        ExperimentError: it does not say them.
        ValueError: the model has no encoder.
    """
    encoder, stages = parts_of_encoder(model)
    if not stages:
        raise ExperimentError(
            f"{encoder} does not say its parts: freeze all of it or nothing, and leave layer_decay out."
        )
    return stages
