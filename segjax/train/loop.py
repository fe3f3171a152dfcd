"""The training loop, top to bottom."""

import time
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array

from segjax import metrics
from segjax.data import test_batches, train_batches
from segjax.train import devices
from segjax.train.checkpoints import Checkpoints
from segjax.train.evaluate import Scores, evaluate, initial_variables, make_evaluation_step
from segjax.train.experiment import Experiment, ExperimentError, parameter_count
from segjax.train.interruption import Interrupted, StopRequest
from segjax.train.log import Log
from segjax.train.pictures import draw_curves, draw_predictions
from segjax.train.run import Run
from segjax.train.state import Tally, TrainState

LOG_EVERY = 10
"""Steps that one row of the log sums up."""


def train(experiment: Experiment, run: Run) -> Scores:
    """Train an experiment to its last step, from the newest checkpoint in the run folder or from the start.

    Leaves in the folder what `Run` lists, and returns the scores on the test split. Ctrl-C or SIGTERM saves a
    checkpoint and then raises `Interrupted`.
    """
    data = experiment.data
    num_classes = len(data.class_names)
    with Log(run, experiment.steps, experiment.batch_size) as log, StopRequest() as stop:
        log.waiting(f"Opening {data.name}")
        train_source, test_source = data.open("train"), data.open("test")
        image = np.zeros((1, *train_source[0]["image"].shape), np.uint8)

        mesh = devices.data_mesh(experiment.batch_size)
        key = jax.random.key(experiment.seed)
        variables = initial_variables(experiment.model, image, key)
        state = devices.replicate(TrainState.initial(variables, experiment.optimizer, num_classes), mesh)
        train_step = devices.compile_step(partial(one_step, experiment=experiment, key=key), donate_argnums=0)
        evaluation_step = make_evaluation_step(experiment.model, num_classes)

        checkpoints = Checkpoints(run.checkpoints)
        progress = {"train_seconds": 0.0, "channels": image.shape[-1]}
        if (restored := checkpoints.restore(state)) is not None:
            state, progress = restored
        step = int(state.step)
        run.forget_metrics_after(step)
        log.start(step, parameter_count(state.params), len(train_source), len(test_source))

        batches = train_batches(
            train_source, experiment.batch_size, seed=experiment.seed, augment=experiment.augment, start=step
        )
        began = time.perf_counter() - progress["train_seconds"]
        while step < experiment.steps and stop.signal is None:
            state = train_step(state, devices.split(next(batches), mesh))
            step += 1
            last = step == experiment.steps
            if step % LOG_EVERY == 0 or last:
                row = _summary(state.tally)
                _refuse_non_finite(row["loss"], step)
                state = state.replace(tally=devices.replicate(Tally.zero(num_classes), mesh))
                log.row({"step": step, "train": row})
            if step % experiment.evaluate_every == 0 or last:
                log.waiting("Scoring the test split")
                test = (devices.split(b, mesh) for b in test_batches(test_source, experiment.batch_size))
                scores = evaluate(evaluation_step, state.variables, test, data.class_names)
                log.row({"step": step, "test": scores})
                draw_curves(run, log.rows, data)
                progress |= {"train_seconds": time.perf_counter() - began}
                checkpoints.save(step, state, progress)
        if stop.signal is not None and step < experiment.steps:
            checkpoints.save(step, state, progress | {"train_seconds": time.perf_counter() - began})
            checkpoints.close()
            raise Interrupted(stop.signal, step)
        checkpoints.close()

        log.waiting("Drawing pictures")
        draw_predictions(run, experiment.model, state.variables, test_source, data)
        scores = next(row["test"] for row in reversed(log.rows) if "test" in row)
        report = {
            "test": scores,
            "steps": experiment.steps,
            "train_seconds": round(progress["train_seconds"], 1),
            "parameters": parameter_count(state.params),
        }
        run.write_json("report.json", report)
        return scores


def one_step(state: TrainState, batch: dict[str, Array], *, experiment: Experiment, key: Array) -> TrainState:
    """The state after one batch: a pure function, to be compiled."""
    dropout_key = jax.random.fold_in(key, state.step)

    def loss_of(params: Any) -> tuple[Array, tuple[Array, Any]]:
        logits, updated = experiment.model.apply(
            {**state.variables, "params": params},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        return experiment.loss(logits, batch["mask"]), (logits, updated.get("batch_stats", {}))

    (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = experiment.optimizer.update(gradients, state.opt_state, state.params)
    num_classes = state.tally.confusion.shape[0]
    confusion = metrics.confusion_matrix(logits.argmax(-1), batch["mask"], num_classes)
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
        tally=Tally(
            steps=state.tally.steps + 1,
            loss=state.tally.loss + loss,
            confusion=state.tally.confusion + confusion,
        ),
    )


def _summary(tally: Tally) -> dict[str, float]:
    return {"loss": float(tally.loss / tally.steps), "miou": float(metrics.mean_iou(tally.confusion))}


def _refuse_non_finite(loss: float, step: int) -> None:
    if not np.isfinite(loss):
        raise ExperimentError(
            f"The loss became {loss} within the {LOG_EVERY} steps before step {step}; lower the learning rate, "
            "or go on from the last checkpoint with `--resume`."
        )
