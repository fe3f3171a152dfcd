"""What can go wrong while training, and what a run does about it."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from forks import Fork, Forks
from squares import run_squares

import segjax
from segjax.errors import DataError
from segjax.runs import create_run, experiment_of
from segjax.train import ExperimentError, Run, train


@pytest.fixture(scope="module")
def trained(squares_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints at steps 10 and 20, to be copied."""
    squares = tmp_path_factory.mktemp("trained") / "squares.py"
    squares.write_text(squares_text)
    return run_squares(squares, squares.parent / "run", steps=20, evaluate_every=10, ema=0.9).path


EVERYTHING = ("--ema", "0.9", "--accumulate", "2")  # beside the dropout and the normalisation that squares have


def arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """Everything that a checkpoint holds."""
    folder = (run / "checkpoints" / str(step)).absolute()
    items = [item for item in ("variables", "ema", "state") if (folder / item).exists()]
    trees = {item: ocp.StandardCheckpointer().restore(folder / item) for item in items}
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(trees)
    }


def bits(run: Path, step: int) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays(run, step).items()}


def last_step(run: Path) -> int:
    """Of the last row of the log."""
    file = run / "metrics.jsonl"
    rows = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")] if file.exists() else []
    return json.loads(rows[-1])["step"] if rows else 0


def wait_for_step(fork: Fork, run: Path, step: int) -> None:
    end = time.monotonic() + 60
    while last_step(run) < step:
        assert not fork.ended, fork.said
        assert time.monotonic() < end, fork.said
        time.sleep(0.002)


def test_killed_twenty_times_and_resumed_is_the_same_run_bit_by_bit(squares: Path, tmp_path: Path, forks: Forks):
    knobs = ("--steps", "200", "--evaluate-every", "20", "--ema", "0.9")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    code, said = forks.run("train", squares, "--out", straight, *knobs)
    assert code == 0, said

    rng = np.random.default_rng(0)
    # A kill comes a while after the row of one of these steps, or a while after the start where it is there already.
    moments = sorted(int(step) for step in rng.integers(0, 170, 20))
    command: tuple[str | Path, ...] = ("train", squares, "--out", killed, *knobs)
    kills = []
    for moment in moments:
        fork = forks.start(*command)
        if last_step(killed) < moment:
            wait_for_step(fork, killed, moment)
            time.sleep(rng.uniform(0, 0.05))
        else:
            time.sleep(rng.uniform(0, 1))
        os.kill(fork.process, signal.SIGKILL)
        assert fork.wait() == 128 + signal.SIGKILL, fork.said
        kills.append(last_step(killed))
        if (killed / "run.json").exists():
            command = ("train", "--resume", killed)
        else:
            shutil.rmtree(killed, ignore_errors=True)
    code, said = forks.run("train", "--resume", killed)
    assert code == 0, said
    print("killed after the rows of steps", kills)
    assert (killed / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    expected, found = bits(straight, 200), bits(killed, 200)
    assert {name.partition("/")[0] for name in expected} == {"variables", "ema", "state"}
    assert found == expected


def test_sigterm_saves_the_very_step_and_exits_143(squares: Path, tmp_path: Path, forks: Forks):
    fork = forks.start("train", squares, "--out", tmp_path / "run", "--steps", "100000", "--evaluate-every", "100000")
    wait_for_step(fork, tmp_path / "run", 20)
    asked = time.monotonic()
    os.kill(fork.process, signal.SIGTERM)
    assert fork.wait() == 128 + signal.SIGTERM
    assert time.monotonic() - asked < 30
    said = fork.said.splitlines()
    step = int(re.fullmatch(r"Stopped at step (\d+); everything up to there is saved. Go on .*", said[-2])[1])  # type: ignore[index]
    assert [folder.name for folder in (tmp_path / "run" / "checkpoints").iterdir()] == [str(step)]
    assert step >= last_step(tmp_path / "run") >= 20


def test_a_second_run_in_a_folder_is_refused(squares: Path, tmp_path: Path, forks: Forks):
    run = tmp_path / "run"
    first = forks.start("train", squares, "--out", run, "--steps", "100000")
    wait_for_step(first, run, 10)
    code, said = forks.run("train", "--resume", run)
    assert code == 1
    assert said.splitlines()[-1] == (
        f"segjax: {run} is being trained in by another process; wait for it, or give --out another name."
    )
    os.kill(first.process, signal.SIGKILL)
    assert first.wait() == 128 + signal.SIGKILL
    with Run(run).in_use():  # a kill leaves no lock behind
        pass


def test_it_goes_on_with_the_same_data_on_another_number_of_devices(squares: Path, tmp_path: Path, forks: Forks):
    # Adam would make numbers out of the rounding of gradients that are zero: those of a bias before a normalisation.
    squares.write_text(
        squares.read_text().replace("optax.adam(learning_rate)", "optax.sgd(learning_rate, momentum=0.9)")
    )
    knobs = ("--steps", "60", "--evaluate-every", "20", *EVERYTHING)
    code, said = forks.run("train", squares, "--out", tmp_path / "one", "--devices", "1", *knobs)
    assert code == 0, said
    moved = tmp_path / "moved"
    # One checkpoint of each: four devices up to step 20, two that share the optimizer's state up to 40, then one.
    stop = (
        "import signal; from segjax.train import checkpoints; save = checkpoints.Checkpoints.save\n"
        "def stopping(*arguments):\n"
        "    checkpoints.Checkpoints.save = save\n"
        "    save(*arguments)\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "checkpoints.Checkpoints.save = stopping"
    )
    code, said = forks.run("train", squares, "--out", moved, "--devices", "4", *knobs, first=stop)
    assert code == 143, said
    assert last_step(moved) == 20
    code, said = forks.run("train", "--resume", moved, "--devices", "2", "--shard-optimizer", first=stop)
    assert code == 143, said
    assert last_step(moved) == 40
    code, said = forks.run("train", "--resume", moved, "--devices", "1")
    assert code == 0, said

    expected, found = Run(tmp_path / "one").metrics(), Run(moved).metrics()
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, other in zip(expected, found, strict=True):
        if "train" in row:
            for name, value in row["train"].items():
                assert other["train"][name] == pytest.approx(value, rel=1e-5), (row["step"], name)
    for tree, other in zip(arrays(tmp_path / "one", 60).values(), arrays(moved, 60).values(), strict=True):
        np.testing.assert_allclose(other, tree, rtol=1e-5, atol=1e-5)


DAMAGES = {
    "parameters": "variables/d/*",
    "averages": "ema/manifest.ocdbt",
    "list of parameters": "variables/_METADATA",
    "optimizer": "state/d/*",
    "list of the optimizer's arrays": "state/_METADATA",
    "progress": "progress/metadata",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_said_in_one_sentence(trained: Path, tmp_path: Path, forks: Forks, what: str):
    run = shutil.copytree(trained, tmp_path / "run")
    (file,) = (run / "checkpoints" / "20").glob(DAMAGES[what])
    os.truncate(file, file.stat().st_size // 2)
    sentence = (
        rf"{run}/checkpoints/20 is damaged \(.*\); delete that folder, and the checkpoint before it will be used\."
    )

    def refuses(*command: str | Path) -> None:
        code, said = forks.run(*command)
        assert code == 1
        *before, last = said.splitlines()
        assert re.fullmatch(f"segjax: {sentence}", last), said
        assert not any("Traceback" in line or "rror" in line for line in before), said

    refuses("train", "--resume", run)
    if what in ("parameters", "list of parameters", "progress"):
        if what == "parameters":  # what a run predicts with are the averages
            shutil.rmtree(run / "checkpoints" / "20" / "ema")
        refuses("evaluate", run)
        with pytest.raises(ExperimentError, match=sentence):
            segjax.load(run)
    shutil.rmtree(run / "checkpoints" / "20")
    _, variables = segjax.load(run)  # the one before it
    assert set(variables) == {"params", "batch_stats"}


def test_a_foreign_checkpoint_is_refused_by_its_first_differing_array(squares: Path, trained: Path, tmp_path: Path):
    run = create_run(tmp_path / "run", squares, {"width": 9, "steps": 20, "evaluate_every": 10, "ema": 0.9}, {}).path
    shutil.copytree(trained / "checkpoints", run / "checkpoints", dirs_exist_ok=True)
    sentence = (
        r"checkpoints/20: the experiment has batch_stats/model/norm1/mean of shape \(9,\), "
        r"the checkpoint has it as \(8,\); "
        "give the one that it was trained with, which is experiment.py in the folder of a run of the command line"
    )
    with pytest.raises(ExperimentError, match=sentence):
        segjax.load(run)
    with pytest.raises(ExperimentError, match=sentence):
        train(experiment_of(Run(run)), Run(run))


def test_a_model_of_another_shape_is_named(trained: Path, tmp_path: Path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    run.experiment_file.write_text(run.experiment_file.read_text().replace("nn.Conv(self.width,", "nn.Conv(9,"))
    with pytest.raises(
        ExperimentError, match=r"the experiment has .*norm1.* of shape \(9,\), the checkpoint has it as \(8,\)"
    ):
        segjax.load(run.path)


def test_another_optimizer_is_refused_by_its_first_differing_array(trained: Path, tmp_path: Path):
    run = Run(shutil.copytree(trained, tmp_path / "run"))
    run.experiment_file.write_text(
        run.experiment_file.read_text().replace("optax.adam(", "optax.sgd(momentum=0.9, learning_rate=")
    )
    with pytest.raises(ExperimentError, match=r"the experiment has opt_state/0/trace/model/conv1/bias of shape \(8,\)"):
        train(experiment_of(run), run)


def test_a_checkpoint_that_does_not_fit_on_the_disk_loses_none_before(squares: Path, tmp_path: Path, forks: Forks):
    run = tmp_path / "run"
    knobs = ("--width", "2000", "--steps", "4", "--evaluate-every", "2")
    # A limit on the size of files stands in for a disk, and comes when the first checkpoint is whole.
    full = (
        "import resource; from segjax.train import checkpoints; save = checkpoints.Checkpoints.save\n"
        "def saving(self, step, *arguments):\n"
        "    if step == 4:\n"
        "        self.wait()\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    save(self, step, *arguments)\n"
        "checkpoints.Checkpoints.save = saving"
    )
    code, said = forks.run("train", squares, "--out", run, *knobs, first=full)
    assert code == 1
    assert said.splitlines()[-1] == (
        f"segjax: {run / 'checkpoints'}: File too large; what was saved before is whole. "
        "Name another place, or mend it, then run again."
    )
    assert "Traceback" not in said
    assert sorted(arrays(run, 2))
    code, said = forks.run("train", "--resume", run)
    assert code == 0, said
    assert "Going on from step 2" in said


def test_memory_that_runs_out_names_the_knobs(squares: Path, tmp_path: Path):
    greedy = (
        "loss=lambda z, y: losses.cross_entropy(z, y) + jnp.argsort(jnp.zeros((10**6, 10**8)) + z.sum(), axis=0).max()"
    )
    text = squares.read_text().replace("loss=losses.cross_entropy", greedy)
    squares.write_text(text.replace("import optax\n", "import jax.numpy as jnp\nimport optax\n"))
    sentence = r"out of memory; lower batch_size \(now 4\) or the crop, raise accumulate \(now 2\)"
    with pytest.raises(ExperimentError, match=sentence):
        run_squares(squares, tmp_path / "run", accumulate=2)


TEAR = """
        if self.torn and index in self.torn:
            raise DataError(f"picture{index}.png cannot be read: delete it.")
        return self.records[index]"""


def tear(squares: Path, train_records: tuple[int, ...] = (), test_records: tuple[int, ...] = ()) -> None:
    text = squares.read_text().replace("\n        return self.records[index]", TEAR)
    text = text.replace("import Augment, Dataset", "import Augment, DataError, Dataset")
    torn = f"        self.torn = {train_records} if seed == 0 else {test_records} if seed == 1 else ()\n"
    squares.write_text(text.replace("        self.records = []\n", torn + "        self.records = []\n"))


def test_a_damaged_training_record_is_named_and_replaced_and_the_run_resumes_bit_by_bit(
    squares: Path, tmp_path: Path, forks: Forks
):
    tear(squares, train_records=(0, 150))
    knobs = ("--steps", "60", "--train-size", "200")
    code, said = forks.run("train", squares, "--out", tmp_path / "straight", *knobs)
    assert code == 0, said
    for number in (0, 150):
        sentence = f"Training record {number} is damaged, and others take its place: picture{number}.png cannot be read"
        assert said.count(sentence) == 1
    assert json.loads((tmp_path / "straight" / "report.json").read_text())["damaged_records"] == [0, 150]
    fork = forks.start("train", squares, "--out", tmp_path / "killed", *knobs)
    wait_for_step(fork, tmp_path / "killed", 40)
    os.kill(fork.process, signal.SIGKILL)
    fork.wait()
    code, said = forks.run("train", "--resume", tmp_path / "killed")
    assert code == 0, said
    assert bits(tmp_path / "killed", 60) == bits(tmp_path / "straight", 60)


def test_more_than_a_hundredth_of_damaged_records_stops_the_run(squares: Path, tmp_path: Path):
    tear(squares, train_records=(10, 20, 30))
    with pytest.raises(
        DataError, match=r"^3 of the 200 training records are damaged, which is more than 1%, .* picture"
    ):
        run_squares(squares, tmp_path / "run", train_size=200, steps=60)


def test_a_damaged_test_record_is_never_replaced(squares: Path, tmp_path: Path):
    tear(squares, test_records=(6,))
    with pytest.raises(DataError, match=r"^picture6.png cannot be read: delete it\."):
        run_squares(squares, tmp_path / "run", steps=2)


def test_a_compiled_program_that_was_torn_by_a_kill_is_written_anew(squares: Path, tmp_path: Path, forks: Forks):
    kept = tmp_path / "kept"
    first = f"jax.config.update('jax_compilation_cache_dir', {str(kept)!r})"
    assert forks.run("train", squares, "--out", tmp_path / "one", "--steps", "1", first=first)[0] == 0
    sizes = {program: program.stat().st_size for program in kept.glob("jit_step-*-cache")}
    assert sizes
    for program, size in sizes.items():
        os.truncate(program, size // 2)
    code, said = forks.run("train", squares, "--out", tmp_path / "two", "--steps", "1", first=first)
    assert code == 0, said
    assert "compilation cache" not in said
    assert all(program.stat().st_size > 0.9 * size for program, size in sizes.items())
