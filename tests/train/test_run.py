import errno
import fcntl
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from segjax.errors import ExperimentError
from segjax.train import Run


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch):
    """What Windows has for locks, which refuses as it does there."""
    there = ModuleType("msvcrt")

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    vars(there).update(LK_NBLCK=2, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", there)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(sys, "platform", "win32")


def test_two_of_windows_do_not_train_in_one_folder(tmp_path: Path, windows: None):
    run = Run.create(tmp_path / "run", {})
    with run.in_use():
        with pytest.raises(ExperimentError, match=r"run is being trained in by another process; wait for it, or give"):
            run.in_use().__enter__()
        run.remove_if_unsaved()
        assert run.configuration()
    with run.in_use():
        pass


def test_a_command_is_kept_and_named_as_a_shell_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["/bin/segjax", "train", "my file.py", "--root", "images & masks"])
    run = Run.create(tmp_path / "my run", {})
    assert run.configuration()["command"] == "segjax train 'my file.py' --root 'images & masks'"
    with pytest.raises(ExperimentError, match=rf"by `segjax train --resume '{run.path}'`\."):
        Run.create(run.path, {})


def test_of_two_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, file = tmp_path / "run", tmp_path / "experiment.py"
    file.touch()
    copy, said = shutil.copyfile, []

    def meanwhile(source: Path, target: Path) -> None:
        monkeypatch.setattr(shutil, "copyfile", copy)
        with pytest.raises(ExperimentError) as caught:
            Run.create(path, {"knobs": {"seed": 1}}, file)
        said.append(str(caught.value))
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", meanwhile)
    run = Run.create(path, {"knobs": {"seed": 0}}, file)
    assert run.configuration()["knobs"] == {"seed": 0}
    assert "run is being trained in by another process" in said[0]


def test_a_lock_that_could_not_be_removed_stands_in_no_way(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".in_use").touch()
    assert Run.create(tmp_path / "run", {}).configuration()


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    run = Run.create(tmp_path / "run", {})
    monkeypatch.setattr(fcntl, "flock", missing)
    with run.in_use():
        pass
    assert capsys.readouterr().err.endswith(
        "run cannot be locked (Function not implemented): let one process train in it.\n"
    )


def test_what_was_edited_by_hand_to_another_kind_is_named(tmp_path: Path):
    run = Run.create(tmp_path / "run", {"experiment": "squares", "knobs": {}, "facts": {}})
    good = run.configuration()
    for name, value in [(name, 3) for name in good] + [("versions", {"segjax": 2}), ("loggers", ["wandb"])]:
        run.write_json("run.json", good | {name: value})
        with pytest.raises(ExperimentError, match=rf"run\.json is damaged \({name} is .*, and it must be .*\); put"):
            run.configuration()
    for row in ('{"train": {}}', '{"step": "x"}', '{"step": 1, "val": null}', '{"step": 1, "val": {"a": []}}'):
        (run.path / "metrics.jsonl").write_text(row + "\n")
        with pytest.raises(ExperimentError, match=r"metrics\.jsonl is damaged \((it has no step|.* must be .*)\); put"):
            run.metrics()
    for report in ({"test": {}}, {"test": None, "checkpoint": "last", "steps": 3}):
        run.write_json("report.json", report)
        with pytest.raises(ExperimentError, match=r"report\.json is damaged"):
            run.report()
