"""The `segjax` command. Only arguments are parsed here; jax is imported inside the command that needs it."""

import argparse
import errno
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any

from segjax.cache.files import in_bucket
from segjax.cli.export import export
from segjax.cli.pages import start_again_with_huge_pages
from segjax.cli.parser import make_parser
from segjax.cli.process import hear_ctrl_c, leave_what_hangs, no_device
from segjax.cli.runs import data_pack, evaluate, predict
from segjax.cli.say import fail
from segjax.cli.serve import serve
from segjax.cli.training import launch, sweep, train
from segjax.eigen import convolve_by_eigen
from segjax.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, after one sentence on stderr where something is wrong."""
    if arguments is not None:
        return _run(list(arguments), typed=False)
    hear_ctrl_c()
    code = _run(sys.argv[1:], typed=True)
    leave_what_hangs(code)
    return code


def _run(arguments: list[str], *, typed: bool) -> int:
    parser = make_parser(completing=arguments[:1] != [] and arguments[0].startswith("--print-completion"))
    resumes = any(argument.partition("=")[0] == "--resume" for argument in arguments[1:])
    if resumes and arguments[1].startswith("-"):
        arguments.insert(1, "")  # no EXPERIMENT, or a knob's value would be taken for it
    parsed, rest = parser.parse_known_args(arguments)
    if rest and parsed.command not in (train, launch, sweep):
        parser.error(f"unknown argument {rest[0]}; `segjax {arguments[0]} --help` lists what there is.")
    if typed and parsed.command in (train, sweep, evaluate, predict, export, serve):
        start_again_with_huge_pages()
        convolve_by_eigen()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on the machine are not for this audience
    try:
        _write_here(parsed)
        _bring_runs(parsed)
        code = parsed.command(parsed, rest)
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "segjax":
            raise
        extra = {"submitit": "launch", "starlette": "serve", "uvicorn": "serve"}.get(error.name, "train")
        return fail(f"`segjax {arguments[0]}` needs {error.name}; install it with `pip install 'segjax[{extra}]'`.")
    except KeyboardInterrupt:
        print("\nStopped; what was written before is whole.", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain of it at its exit
        return 128 + 13  # as if SIGPIPE had ended it
    except OSError as error:
        if error.strerror is None:
            raise
        where = error.filename2 or error.filename  # the second is what the first was to become
        what = f"{where}: " if where else ""
        fail(f"{what}{error.strerror}; what was saved before is whole. {_advice(error)}, then run again.")
        sys.stderr.flush()
        os._exit(1)  # on a full disk every background writer would add its own traceback to the sentence
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        return fail(f"The memory is not enough{what}: take smaller images, sizes or batches.")
    except UserError as error:
        return fail(str(error))
    except Exception:
        if (why := no_device()) is None:
            raise
        return fail(why)


def _bring_runs(parsed: argparse.Namespace) -> None:
    """Where a command looks at runs of buckets, let it look at them here."""
    for name in ("run", "on", "one", "other", "runs"):
        said: Any = getattr(parsed, name, None)
        each = said if isinstance(said, list) else [said]
        if any(map(in_bucket, each)):
            from segjax.train.mirror import brought

            here = [str(brought(one)) for one in each]
            setattr(parsed, name, here if isinstance(said, list) else here[0])


def _write_here(parsed: argparse.Namespace) -> None:
    """Refuse an address as the place of what is written to a folder, which would get a folder of its name here."""
    for name in ("out", "per_image", "picture", "folder"):
        said = str(getattr(parsed, name, None))
        if re.match(r"\w{2,}:/", said) and parsed.command not in (train, launch, sweep, data_pack):
            raise UserError(f"{said} is no folder of this machine, where this is written: name one, and copy it there.")


def _advice(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "Give this user permission"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room"
    return "Name another place, or mend it"
