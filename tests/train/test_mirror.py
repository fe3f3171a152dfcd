import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from buckets import BadNetwork
from forks import Forks

import segjax
from segjax.cache.files import Bucket, files_in
from segjax.cli import main
from segjax.errors import DataError, ExperimentError
from segjax.train import mirror
from segjax.train.mirror import Mirror, brought, mirrored
from segjax.train.run import Run

KNOBS = ("--steps", "24", "--evaluate-every", "4")


@pytest.fixture
def machines(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where this machine keeps what it fetches; called with a name, this is another machine."""

    def at(name: str) -> Path:
        monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / name))
        return tmp_path / name

    at("one")
    return at


def bits(variables: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)]


def texts(folder: Path) -> dict[str, str]:
    """What a folder holds that is seen."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def run_folder(mirror: Mirror, step: int) -> dict[str, str]:
    """A folder like that of a run at a step, with two files a checkpoint."""
    lay(mirror.folder, {f"checkpoints/{step}/{name}": f"{name} of {step}" for name in ("state", "variables")})
    lay(mirror.folder, {"metrics.jsonl": "row\n" * step})
    return texts(mirror.folder)


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_run_in_a_bucket_is_that_of_a_folder_and_used_like_it(
    squares: Path, tmp_path: Path, machines: Any, capsys: pytest.CaptureFixture[str]
):
    address = "s3://bucket/alike"
    assert main(["train", str(squares), "--out", str(tmp_path / "plain"), *KNOBS]) == 0
    assert main(["train", str(squares), "--out", address, *KNOBS]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == address
    machines("two")
    there = Run(brought(address))
    assert there.metrics() == Run(tmp_path / "plain").metrics()
    assert {"report.html", "curves.png", "report.json", "run.json"} <= {path.name for path in there.path.iterdir()}
    assert bits(segjax.load(address)[1]) == bits(segjax.load(tmp_path / "plain")[1])
    assert main(["evaluate", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 24
    assert main(["compare", address, str(tmp_path / "plain")]) == 0
    assert main(["train", str(squares), "--out", address, *KNOBS]) == 1  # it is finished
    assert f"{address} is already there" in capsys.readouterr().err


def test_a_killed_run_goes_on_elsewhere_to_the_same_bits(squares: Path, tmp_path: Path, machines: Any, forks: Forks):
    address = "s3://bucket/killed"

    def here() -> str:
        """Python that gives a fork the buckets and the folders of this machine."""
        given = {name: os.environ[name] for name in os.environ if name.startswith(("AWS", "SEGJAX_D"))}
        return f"import os; os.environ |= {given!r}\n"

    often = here() + "from segjax.train import mirror; mirror.EVERY = 0.05\n"
    fork = forks.start("train", squares, "--out", address, "--steps", "2000", "--evaluate-every", "4", first=often)
    files, end = files_in(address), time.monotonic() + 100
    while True:
        assert time.monotonic() < end, fork.said
        try:
            if any("checkpoints/" in name for name in json.loads(files.read("index.json"))["files"]):
                break
        except FileNotFoundError:
            time.sleep(0.02)
    os.kill(fork.process, signal.SIGKILL)
    machines("two")
    step = max(int(path.name) for path in (brought(address) / "checkpoints").iterdir())
    steps = str(step + 8)
    # All three in forks: the same bits are promised of programs compiled with the same options.
    code, said = forks.run("train", "--resume", address, "--steps", steps, first=here())
    assert code == 0, said
    code, said = forks.run("train", squares, "--out", tmp_path / "whole", "--steps", steps, *KNOBS[2:], first=here())
    assert code == 0, said
    machines("three")
    assert Run(brought(address)).metrics() == Run(tmp_path / "whole").metrics()
    assert bits(segjax.load(address)[1]) == bits(segjax.load(tmp_path / "whole")[1])


def test_whenever_it_is_killed_the_bucket_holds_one_state_whole(machines: Any, monkeypatch: pytest.MonkeyPatch):
    states, count, finished = [], 0, False
    while not finished:
        machines(f"from{count}")
        here = Mirror(f"s3://bucket/instants{count}")
        old = run_folder(here, 4)
        here.push()
        (here.folder / "checkpoints" / "4" / "state").unlink()
        (here.folder / "checkpoints" / "4" / "variables").unlink()
        new = run_folder(here, 8)
        calls = iter([True] * count + [False])

        def at_most(self: Bucket, *arguments: Any, of: Any, calls: Any = calls) -> Any:
            if not next(calls, False):
                raise KeyboardInterrupt
            return of(self, *arguments)

        with monkeypatch.context() as patch:
            write, remove = Bucket.write, Bucket.remove
            patch.setattr(Bucket, "write", lambda self, *a, of=write, at_most=at_most: at_most(self, *a, of=of))
            patch.setattr(Bucket, "remove", lambda self, *a, of=remove, at_most=at_most: at_most(self, *a, of=of))
            try:
                here.push()
                finished = True
            except KeyboardInterrupt:
                pass
        assert here.pull()  # which is this machine's own
        assert texts(here.folder) == new
        machines(f"to{count}")
        there = Mirror(here.address)
        assert there.pull()
        found = texts(there.folder)
        checkpoint = {name: text for name, text in found.items() if "checkpoints" in name}
        assert checkpoint in [{name: text for name, text in one.items() if "checkpoints" in name} for one in (old, new)]
        assert found["metrics.jsonl"] in (old["metrics.jsonl"], new["metrics.jsonl"])
        states.append("checkpoints/8/state" in found)
        machines(f"from{count}")
        here.push()
        machines(f"again{count}")
        assert there.pull()
        assert texts(brought(here.address)) == new
        count += 1
    assert states == sorted(states)
    assert states[0] is False
    assert states[-1] is True


def test_what_is_hidden_being_written_or_removed_meanwhile_is_not_brought(
    machines: Any, monkeypatch: pytest.MonkeyPatch
):
    here = Mirror("s3://bucket/meanwhile")
    kept = run_folder(here, 4)
    lay(here.folder, {".in_use": "", "checkpoints/8.orbax-checkpoint-tmp-1/state": "half", ".report.json.partial": "{"})
    lay(here.folder, {"checkpoints/2/state": "state of 2", "checkpoints/2/variables": "variables of 2"})
    sent, write, complete, looks = [], Bucket.write, Mirror._complete, iter(range(9))

    def removing(self: Mirror) -> Any:
        found = complete(self)
        if next(looks) == 1:  # as Orbax may while files are kept
            (here.folder / "checkpoints" / "2" / "variables").unlink()
        return found

    def writing(self: Bucket, name: str, file: Path) -> None:
        sent.append(name)
        (here.folder / "checkpoints" / "4" / "variables").unlink(missing_ok=True)
        write(self, name, file)

    monkeypatch.setattr(Mirror, "_complete", removing)
    monkeypatch.setattr(Bucket, "write", writing)
    here.push()
    machines("two")
    there = brought(here.address)
    assert texts(there) == kept
    assert sent.index("metrics.jsonl") > sent.index("checkpoints/4/state")
    assert brought(f"{here.address}/checkpoints/4") == there / "checkpoints" / "4"


def test_what_another_machine_wrote_since_is_taken(machines: Any):
    run_folder(Mirror("s3://bucket/two_machines"), 4)
    Mirror("s3://bucket/two_machines").push()
    machines("two")
    there = Mirror("s3://bucket/two_machines")
    assert there.pull()
    newer = run_folder(there, 8)
    there.push()
    machines("one")
    assert texts(brought(there.address)) == newer


def test_a_file_system_without_links_is_copied(machines: Any, monkeypatch: pytest.MonkeyPatch):
    def refuse(source: Path, link: Path) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    here = Mirror("s3://bucket/copied")
    laid = run_folder(here, 4)
    here.push()
    machines("two")
    assert texts(brought(here.address)) == laid


def test_two_machines_at_once_lose_nothing(machines: Any, capsys: pytest.CaptureFixture[str]):
    first = Mirror("s3://bucket/at_once")
    run_folder(first, 4)
    first.push()
    machines("two")
    second = Mirror("s3://bucket/at_once")
    second.pull()
    theirs = run_folder(second, 8)
    second.push()
    machines("one")
    ours = run_folder(first, 12)
    with pytest.raises(ExperimentError, match=r"written to by another machine since .* whole in .*at_once: stop one"):
        first.finish()
    assert texts(first.folder) == ours
    assert first.pull()
    assert texts(first.folder) == theirs
    (kept,) = [path for path in first.folder.parent.glob("at_once.*") if path.is_dir()]
    assert texts(kept) == ours
    assert f"what was only here is kept in {kept}" in capsys.readouterr().err


def test_a_bucket_that_was_emptied_gets_all_of_it_again(machines: Any):
    here = Mirror("s3://bucket/emptied")
    run_folder(here, 4)
    here.push()
    for name in ("index.json", "metrics.jsonl", "checkpoints/4/state"):
        files_in(here.address).remove(name)
    laid = run_folder(here, 8)
    here.push()
    machines("two")
    assert texts(brought(here.address)) == laid


@pytest.mark.usefixtures("gs")
def test_google_has_buckets_too(machines: Any):
    here = Mirror("gs://bucket/run")
    laid = run_folder(here, 4)
    here.push()
    machines("two")
    assert texts(brought(here.address)) == laid


def test_a_bad_network_takes_longer(bad_network: BadNetwork, machines: Any):
    here = Mirror("s3://bucket/slowly")
    for step in range(4, 36, 4):
        run_folder(here, step)
    laid = run_folder(here, 36)
    here.push()
    machines("two")
    assert texts(brought(here.address)) == laid
    assert bad_network.stalled


def test_a_bucket_that_cannot_be_written_loses_nothing(
    machines: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuse(self: Bucket, name: str, file: Path) -> None:
        raise DataError(f"{self.root}/{name} may not be written.")

    address = "s3://bucket/refused"
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "write", refuse)
        patch.setattr(mirror, "EVERY", 0.01)
        following = mirrored(address)
        following.__enter__()
        laid = run_folder(Mirror(address), 4)
        time.sleep(0.2)
        with pytest.raises(DataError, match=r"state may not be written\. What was trained is whole in .*refused, and"):
            following.__exit__(None, None, None)
        said = capsys.readouterr().err
        assert said.count("may not be written. The run goes on in") == 1
        with (
            pytest.raises(ExperimentError, match=r"^the run s3://bucket/refused is wrong$"),
            mirrored(address) as folder,
        ):
            raise ExperimentError(f"the run {folder} is wrong")
        assert "What was trained is whole in" in capsys.readouterr().err
    with mirrored(address) as folder:
        assert folder is not None
        assert texts(folder) == laid
    machines("two")
    assert texts(brought(address)) == laid


def test_a_folder_that_is_gone_is_taken_away_and_one_removed_there_is_said(machines: Any):
    address = "s3://bucket/gone"
    here = Mirror(address)
    run_folder(here, 4)
    here.push()
    files_in(address).remove("index.json")
    with pytest.raises(ExperimentError, match=r"gone was removed, and .*gone still holds"), mirrored(address):
        pass
    for path in sorted(here.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    here.push()
    with pytest.raises(FileNotFoundError):
        files_in(address).size("metrics.jsonl")
    with mirrored(address):
        pass
    with pytest.raises(ExperimentError, match="gone holds no run: name the address"):
        brought(address)


@pytest.mark.parametrize(
    "index", ["[]", "{", '{"mark": "a", "files": ["../../run.json"]}', '{"mark": "a", "files": ["/etc/x"]}', "{}"]
)
def test_an_index_of_something_else_is_refused(machines: Any, tmp_path: Path, index: str):
    (tmp_path / "index.json").write_text(index)
    files_in("s3://bucket/other").write("index.json", tmp_path / "index.json")
    with pytest.raises(DataError, match=r"other/index\.json is none that a run wrote"):
        brought("s3://bucket/other")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "EXPERIMENT", "--out", "s3://bucket"], "s3://bucket names no folder of a bucket"),
        (["train", "EXPERIMENT", "--out", "s3://bucket/../run"], "names no folder of a bucket"),
        (["launch", "EXPERIMENT", "--local", "2", "--out", "gs://bucket/run"], "need a folder that all of them share"),
        (["sweep", "EXPERIMENT", "--out", "s3://bucket/run"], "need a folder that all of them share"),
        (
            ["train", "EXPERIMENT", "--out", "az://bucket/run"],
            "az://bucket/run is an address that no run can be kept at",
        ),
        (["sweep", "EXPERIMENT", "--out", "S3://bucket/run"], "S3://bucket/run is an address that no run can be kept"),
        (["train", "EXPERIMENT", "--out", "s3:/bucket/run"], "s3:/bucket/run has one slash where an address has two"),
        (["train", "EXPERIMENT", "--out", "s3://none/run"], "run/index.json cannot be read (The specified bucket does"),
        (["evaluate", "s3://bucket/none"], "s3://bucket/none holds no run"),
        (["train", "--resume", "s3://bucket/none"], "s3://bucket/none is not a folder"),
        (["predict", "RUN", "image.png", "--out", "s3://bucket/masks"], "is no folder of this machine"),
        (["report", "RUN", "--out", "gs://bucket/report.html"], "is no folder of this machine"),
    ],
)
def test_what_cannot_be_in_a_bucket_is_one_sentence(
    words: list[str], said: str, squares: Path, machines: Any, capsys: pytest.CaptureFixture[str]
):
    assert main([str(squares) if word == "EXPERIMENT" else word for word in words]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]
