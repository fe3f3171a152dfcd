"""Steps that were not applied, because their loss or gradient was not finite."""

from collections.abc import Callable

import jax
import numpy as np

from segjax.data import Source
from segjax.errors import ExperimentError
from segjax.train.damaged import Damaged
from segjax.train.diagnose import first_bad_layer
from segjax.train.run import resuming
from segjax.train.team import Member, training_batches


def look_after_skipped(
    member: Member, source: Source, damaged: Damaged, since: int, say: Callable[[str], None]
) -> None:
    """Save the batch of the last step that was skipped since step `since`, if one was.

    Raises:
        ExperimentError: too many were skipped in a row; the first layer that is not finite is named.
    """
    last, in_a_row = int(member.state.skipped.last), int(member.state.skipped.in_a_row)
    if last <= since:
        return
    experiment = member.experiment.after(last - 1)
    batch = next(training_batches(experiment, source, last - 1, damaged))
    folder = member.run.path / "skipped"
    folder.mkdir(exist_ok=True)
    file = folder / f"batch_of_step_{last}.npz"
    np.savez_compressed(file, **batch)
    say(f"Step {last} was skipped: its loss or gradient was not finite. Its batch is in {file}.")
    if in_a_row >= experiment.max_skipped:
        # Nothing but the count of steps has changed since before the last one.
        state = jax.device_get(member.state.replace(step=last - 1, opt_state=(), ema={}, tally=None))
        where = first_bad_layer(experiment, experiment.task_of_data, state, batch, member.key)
        raise ExperimentError(
            f"{in_a_row} steps in a row were not finite, up to step {last}; what is not finite first is {where}. "
            f"{_advice(member)} The last batch is in {file}."
        )


def _advice(member: Member) -> str:
    """What can be done with this run: from the command line it goes on with another learning rate where it has one."""
    kept = member.run.configuration()
    if "experiment" not in kept or "learning_rate" not in kept["knobs"]:
        return "Start again with a lower learning rate, or clip the gradient."
    return (
        f"Go on from the last checkpoint with a lower learning rate than {kept['knobs']['learning_rate']}, "
        f"`{resuming(member.run.path)} --learning-rate ...`, or start again and clip the gradient."
    )
