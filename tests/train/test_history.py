import shutil
from pathlib import Path
from typing import Any

import pytest

from segjax.errors import ExperimentError
from segjax.train import Run
from segjax.train.history import History, best_step, validation_scores


def rows(*scores: float | None, **more: list[float]) -> list[dict[str, Any]]:
    parts = [{"val": {"miou": score}} for score in scores]
    for name, values in more.items():
        for part, value in zip(parts, values, strict=True):
            part[name] = {"miou": value}
    return [{"step": 10 * i + 10} | part for i, part in enumerate(parts)]


@pytest.mark.parametrize(
    ("scores", "best", "since"),
    [
        ((), None, 0),
        ((None, None), None, 0),  # what is undefined is no worse score: patience would end runs that nobody can judge
        ((0.1, 0.5, 0.3), 20, 1),
        ((0.5, 0.5, 0.3), 20, 2),  # as good is not better, and the later one of two that are as good is taken
        ((0.1, None, 0.2), 30, 0),
        ((0.2, None, 0.1), 10, 1),
    ],
)
def test_patience_counts_looks_with_a_score_and_without_a_better_one(
    tmp_path: Path, scores: tuple[float | None, ...], best: int | None, since: int
):
    history = History(Run(tmp_path), "miou", writes=False, warn=pytest.fail)
    for row in rows(*scores):
        history.keep(row["step"], {"val": row["val"]})
    history.keep(40, {"test": {"miou": 1.0}})  # which nobody chooses by
    assert history.best(range(0, 50, 10)) == best
    assert history.looks_since_best() == since


def test_the_averaged_weights_are_chosen_by_where_there_are_any_and_only_of_steps_that_are_kept():
    found = rows(0.9, 0.1, 0.2, ema=[0.1, 0.3, 0.2])
    assert validation_scores(found, "miou") == {10: 0.1, 20: 0.3, 30: 0.2}
    assert best_step(found, "miou", [10, 20, 30]) == 20
    assert best_step(found, "miou", [10, 30]) == 30


def test_a_row_without_the_score_to_choose_by_is_named():
    with pytest.raises(ExperimentError, match=r"metrics\.jsonl is damaged \(its row of step 20 has no miou\); put"):
        best_step([*rows(0.5), {"step": 20, "val": {"iou": 0.1}}], "miou", [10, 20])


def test_rows_after_the_step_that_is_gone_on_from_are_forgotten(tmp_path: Path):
    run, written = Run.create(tmp_path / "run", {"knobs": {}}), rows(0.1, 0.2, 0.3)
    run.append_metrics(written)
    history = History(run, "miou", writes=True, warn=pytest.fail)
    history.read(20)
    assert (history.rows, len(run.metrics())) == (written[:2], 3)
    history.go_on_from(10)
    history.keep(20, {"val": {"miou": 0.7}})
    history.close()
    assert run.metrics() == history.rows == [written[0], {"step": 20, "val": {"miou": 0.7}}]


def test_nothing_is_written_to_a_folder_that_was_removed_while_its_run_was_trained(tmp_path: Path):
    run = Run.create(tmp_path / "run", {"knobs": {}})
    history = History(run, "miou", writes=True, warn=pytest.fail)
    shutil.rmtree(run.path)
    run.checkpoints.mkdir(parents=True)  # as Orbax does
    with pytest.raises(ExperimentError, match=r"run was removed or moved while the run in it was trained: its run"):
        history.keep(10, {"val": {"miou": 0.7}})
    assert not (run.path / "metrics.jsonl").exists()
