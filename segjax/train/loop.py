"""The training loop, top to bottom."""

from collections.abc import Sequence
from typing import Any

from segjax.train.devices import Layout
from segjax.train.experiment import Experiment
from segjax.train.opening import opened
from segjax.train.run import Run
from segjax.train.session import LOG_EVERY


def train(experiment: Experiment, run: Run, layout: Layout = Layout(), *, profile: bool = False) -> dict[str, Any]:
    """Train an experiment to its end, from the newest checkpoint in the run folder or from the start.

    Leaves in the folder what `Run` lists, and returns the scores on the test split, which is read once, at the end.
    What chooses, such as the best checkpoint and when patience is over, reads the validation split alone.

    Raises:
        Interrupted: Ctrl-C or SIGTERM asked for it; a checkpoint is saved before.
        ExperimentError: the run cannot go on; the sentence says what to do.
    """
    return train_together([(experiment, run)], layout, profile=profile)[0]


def train_together(
    pairs: Sequence[tuple[Experiment, Run]], layout: Layout = Layout(), *, profile: bool = False
) -> list[dict[str, Any]]:
    """Train one experiment with several seeds side by side; every run is the same as if it were trained alone.

    With as many devices as runs each run has devices of its own. Otherwise all share all devices, and one program
    takes a step of every run: a mapped axis takes longer, because XLA's grouped convolutions are slow on a CPU.

    Raises:
        Interrupted: Ctrl-C or SIGTERM asked for it; a checkpoint of every run is saved before.
        ExperimentError: a run cannot go on; the sentence says what to do.
    """
    with opened(pairs, layout, profile=profile) as session:
        for step in session.steps():
            for team in session.teams:
                team.step()
            if step % LOG_EVERY == 0 or step == session.last:
                session.log_training()
            if session.is_due():
                session.save()
                session.validate()
        return session.finish()
