import argparse
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

import segjax.data
from segjax.cli import main
from segjax.cli.parser import make_parser
from segjax.runs.names import names


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train"],
        ["launch", "--help"],
        ["--print-completion", "bash"],
        ["data", "--help"],
        ["weights", "--help"],
    ],
)
def test_help_and_completion_import_no_jax(arguments: list[str]):
    code = (
        "import sys; from segjax.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "assert 'jax' not in sys.modules and 'flax' not in sys.modules"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "segjax" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = tmp_path_factory.mktemp("completion") / "segjax"
    script.write_text(python("from segjax.cli import main; main(['--print-completion', 'bash'])").stdout)
    return script


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], {"train"}),
        (["data", ""], {"list", "check", "convert", "split"}),
        (["export", "run", "--form"], {"--format"}),
        (["models", "--decoder", "deeplabv3p"], {"deeplabv3plus"}),
        (["models", "--encoder", "resnet1"], {"resnet18", "resnet101", "resnet152"}),
        (["weights", "check", "mobilenet_v2.im"], {"mobilenet_v2.imagenet"}),
        (["train", "islands", "--log", "w"], {"wandb"}),
        (["train", ""], {"land_cover", "trees", "islands", "islands_multitask", "folder"}),
        (["train", "land_cover", "--"], {"--out", "--seeds", "--encoder", "--decoder", "--skips", "--no-skips"}),
        (["train", "land_cover", "--decoder", "deeplabv3p"], {"deeplabv3plus"}),
        (["train", "land_cover", "--no-skips", "--encoder", "resnet15"], {"resnet152"}),
        (["launch", "trees", "--local", "2", "--start", "im"], {"imagenet"}),
        (["sweep", "islands", "--start", "resnet18.im"], {"resnet18.imagenet"}),
        (["train", "nuclei", "--loss", "dice", "foc"], {"focal", "focal_tversky"}),
        (["train", "faces", "--upsample", "cara"], {"carafe"}),
        (["train", "segmentation", "--data", "oxford"], {"oxford_iiit_pet"}),
        (["train", "mine.py", "--se"], {"--seeds"}),
    ],
)
def test_bash_completes_commands_options_and_names(completion: Path, words: list[str], offered: set[str]):
    ask = f'. {completion}\nCOMP_WORDS=(segjax "$@"); COMP_CWORD=$#; _shtab_segjax; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask, "bash", *words], capture_output=True, text=True)
    assert offered <= set(done.stdout.split()), done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_scripts(shell: str, tmp_path: Path):
    script = tmp_path / "script"
    script.write_text(python(f"from segjax.cli import main; main(['--print-completion', {shell!r}])").stdout)
    assert "land_cover" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [("train land_cover --dec", {"--decoder", "--decayed"}), ("train ", {"land_cover", "mine.py"})],
)
def test_fish_completes_knobs_and_files(line: str, offered: set[str], tmp_path: Path):
    (tmp_path / "mine.py").touch()
    script = python("from segjax.cli import main; main(['--print-completion', 'fish'])").stdout
    ask = ["fish", "--no-config", "-c", f"source -; complete -C 'segjax {line}'"]
    done = subprocess.run(ask, input=script, capture_output=True, text=True, cwd=tmp_path)
    assert offered <= {row.partition("\t")[0] for row in done.stdout.splitlines()}, done.stderr


def test_the_package_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "segjax", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("segjax "), done.stderr


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m segjax data list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_without_its_extra_says_which_one_to_install(tmp_path: Path):
    file = tmp_path / "experiment.py"
    file.write_text("")
    code = (
        f"import sys; sys.modules['tyro'] = None; from segjax.cli import main\nsys.exit(main(['train', {str(file)!r}]))"
    )
    done = python(code)
    assert done.returncode == 1
    assert "`segjax train` needs tyro; install it with `pip install 'segjax[train]'`." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train"], "name an experiment, such as land_cover, a file of yours, or a run with --resume"),
        (["train", "nowhere.py"], "nowhere.py is not a file; name an experiment before its knobs"),
        (
            ["train", "--steps", "3", "experiments/land_cover.py"],
            "3 is no experiment and not a file; name an experiment before its knobs",
        ),
        (["train", "--resume", "nowhere"], "nowhere is not a folder; name the folder that"),
        (["train", "--resume=nowhere", "--steps", "3"], "nowhere is not a folder; name the folder that"),
        (["train", "--resume", "run", "--seeds", "3"], "--resume goes on with a run as it was; leave --seeds out"),
        (["launch", "nowhere.py"], "say where to launch it: either --local 2 or, for example, --slurm nodes=2,gpus=8"),
        (["launch", "nowhere.py", "--local", "2", "--slurm", "time=1h"], "say where to launch it: either --local 2"),
        (["launch", "nowhere.py", "--local", "2"], "nowhere.py is not a file; name an experiment before its knobs"),
        (["launch", "--local", "2"], "name an experiment, such as land_cover, a file of yours"),
        (["launch", "--resume", "nowhere", "--local", "2"], "nowhere is not a folder; name the folder that"),
        (["evaluate", "nowhere"], "nowhere is not a folder"),
        (["predict", "nowhere", "x.png", "--out", "y"], "nowhere is not a folder"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("segjax: ")
    assert sentence in said


@pytest.mark.parametrize("command", ["train", "launch", "sweep"])
def test_help_names_every_experiment(command: str, capsys: pytest.CaptureFixture[str]):
    assert main([command, "--help"]) == 0
    said = re.findall(r"\w+", capsys.readouterr().out)
    assert set(names()) <= set(said)


def test_the_help_of_every_command_says_what_it_does():
    waiting = [("segjax", make_parser())]
    for called, parser in waiting:
        assert parser.description, called
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        waiting += [one for group in groups for one in group.choices.items()]
    assert len(waiting) > 20


def test_an_unknown_argument_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "run", "--fast"])
    assert stop.value.code == 2
    assert "unknown argument --fast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["trian"], "train"), (["data", "lst"], "list"), (["export", "run", "--format", "onx"], "onnx")],
)
def test_the_nearest_command_or_choice_is_offered(arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().err.endswith(f"; did you mean {meant}?\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "islands", "--seeds", "0,-1"], "'0,-1' is no list of seeds, numbers from 0, such as 0,1,2"),
        (["train", "islands", "--seeds", "0,,1"], "'0,,1' is no list of seeds, numbers from 0, such as 0,1,2"),
        (["train", "islands", "--space", "0"], "argument --space: '0' is no number from 1"),
        (["launch", "islands", "--local", "0"], "argument --local: '0' is no number from 1"),
        (["export", "run", "--format", "onnx", "--out", "x", "--size", "0", "8"], "--size: '0' is no number from 1"),
        (["export", "run", "--format", "onnx", "--out", "x", "--max-boxes", "-1"], "--max-boxes: '-1' is no number"),
        (["train", "islands", "--steps-per-call", "²"], "argument --steps-per-call: '²' is no number from 1"),
        (["train", "--resume", ""], "argument --resume: it is empty; name a folder, or leave it out"),
        (["sweep", "islands", "--out="], "argument --out: it is empty; name a folder, or leave it out"),
        (["serve", "run", "--seconds", "0"], "argument --seconds: '0' is no number from 1"),
    ],
)
def test_a_count_that_cannot_be_meant_is_said_with_what_can(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_resume_without_its_command_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["--resume"])
    assert stop.value.code == 2
    assert "required: COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "set"), "set: Permission denied; what was saved before is"),
        (OSError(errno.EACCES, "Permission denied", "set"), "is whole. Give this user permission, then run again."),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "No space left on device; what was saved before is whole. M",
        ),
        (OSError(errno.ENOSPC, "No space left", "a"), "Make room, then run again."),
        (OSError(errno.EISDIR, "Is a directory", ".page.partial", None, "page"), "segjax: page: Is a directory; what"),
        (OSError(errno.EISDIR, "Is a directory", "page"), "Name another place, or mend it, then run again."),
    ],
)
def test_what_the_system_refuses_is_said_with_what_to_do(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit):
        fails(error, monkeypatch)
    assert sentence in capfd.readouterr().err


def test_memory_that_is_not_enough_and_devices_that_are_not_there_are_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert fails(MemoryError("Unable to allocate 28 GiB"), monkeypatch) == 1
    assert "segjax: The memory is not enough (Unable to allocate 28 GiB): take smaller" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="of another kind"):
        fails(RuntimeError("of another kind"), monkeypatch)

    def no_devices() -> None:
        raise AssertionError

    monkeypatch.setattr(jax, "local_devices", no_devices)
    assert fails(AssertionError(), monkeypatch) == 1
    assert "but jax finds no such device: there is none. Leave it out, or name cpu." in capsys.readouterr().err


def fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command that fails by an error."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("segjax.data.formats.grouped.write_splits", fail)
    return main(["data", "split", "set"])


def test_ctrl_c_is_a_line_and_the_code_of_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def press(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)  # which the signal ends

    monkeypatch.setattr(segjax.data, "check", press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background has ignored
    try:
        assert main(["data", "check", str(tmp_path)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "\nStopped; what was written before is whole.\n"
