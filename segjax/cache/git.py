"""Folders of git repositories, as they are at one commit."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

from segjax.cache.store import data_dir, store
from segjax.errors import DataError

_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Where git tells what it starts which repository it is in."""


def fetch_git(url: str, commit: str, folder: str, otherwise: str) -> Path:
    """The path of a folder of a git repository, of which git fetched one commit and checked that its files are those.

    It is kept in `git` of `data_dir()`, under the folder's name and the first twelve digits of the commit, and appears
    there when it is whole. The commit is the checksum: git hashes what it is given.

    Args:
        url: Of the repository.
        commit: All forty digits, so that the same files come tomorrow.
        folder: Its path in the repository.
        otherwise: What else can be done where it cannot be fetched.

    Raises:
        DataError: No git, no network, no such repository, commit or folder, no permission or no space; the sentence
            says what to do.
    """
    kept = data_dir() / "git" / f"{Path(folder).name}-{commit[:12]}"
    if kept.is_dir():
        return kept
    try:
        return store(kept.parent, lambda aside: _check_out(url, commit, folder, aside, kept.name, otherwise), None, "")
    except DataError:
        if kept.is_dir():  # another process was sooner
            return kept
        raise


def _check_out(url: str, commit: str, folder: str, aside: Path, name: str, otherwise: str) -> Path:
    git = shutil.which("git")
    if git is None:
        raise DataError(f"{folder} of {url} is fetched with git, which is not there: install it, or {otherwise}.")
    print(f"Fetching {folder} of {url} with git ...", file=sys.stderr, flush=True)
    # What a repository says of filters and line ends is not followed, and nobody is asked for a password.
    quiet = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    quiet |= {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    for command in (
        ("init", "--quiet"),
        ("fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit),
        ("-c", "core.autocrlf=false", "checkout", "--quiet", commit, "--", folder),
    ):
        done = subprocess.run([git, *command], cwd=aside, env=quiet, capture_output=True, text=True)
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith(("fatal: ", "error: "))]
            why = said[0].partition(": ")[2].rstrip(".") if said else "it said nothing"
            raise DataError(
                f"git could not fetch {folder} of {url} ({why}): check the network and run again, or {otherwise}."
            )
    return (aside / folder).rename(aside / name)
