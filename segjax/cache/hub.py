"""Files of the Hugging Face hub, and its client."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segjax.cache.store import data_dir, first_line, store, verify
from segjax.errors import DataError

_LONGEST = 255
"""Bytes of a file's or a folder's name."""


def fetch_hub(repo_id: str, filename: str, revision: str, sha256: str | None = None) -> Path:
    """The path of a file of the Hugging Face hub, fetched with `huggingface_hub`, an extra: `segjax[weights]`.

    It is kept in `hub/REPO/REVISION/` of `data_dir()`, where anyone may lay it, and is looked for there first.

    Args:
        repo_id: "timm/resnet34.tv_in1k".
        filename: The file's path in the repository.
        revision: The commit, so that the same bytes come tomorrow; a branch's name is kept as it was when fetched.
        sha256: Of the file; None leaves the check to the hub's client.

    Raises:
        DataError: No `huggingface_hub`, no network, no such file, one that asks for a login, a name that there cannot
            be, a wrong checksum, no permission or no space; the sentence says what to do.
    """
    parts = (*repo_id.split("/"), *revision.split("/"), *filename.split("/"))
    if {"", ".", ".."} & {*parts} or any(len(os.fsencode(part)) > _LONGEST for part in parts):
        raise DataError(f"{filename} of {repo_id} at {revision[:99]} is no name of the Hugging Face hub: mend it.")
    kept = data_dir() / "hub" / repo_id / revision / filename
    if kept.is_file():
        verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept
    by_hand = f"or lay it by hand as {kept}"
    return store(
        kept.parent,
        lambda aside: _ask_hub(repo_id, filename, revision, aside, by_hand),
        sha256,
        remedy=f"run again, {by_hand}",
    )


@contextlib.contextmanager
def asking_hub(repo_id: str, what: str, failed: str, otherwise: str = "") -> Iterator[Any]:
    """`huggingface_hub`, which says nothing by itself while entered, and whose errors become one sentence.

    Args:
        repo_id: The repository that is asked.
        what: What of it is asked for.
        failed: What has not worked where the connection is missing or breaks off.
        otherwise: What else can be done, after a comma.

    Raises:
        DataError: No `huggingface_hub`, no network, no such thing there, a login or a permission that is missing.
    """
    try:
        import huggingface_hub
        import huggingface_hub.utils.logging  # whose import sets how much it says: it is silenced below
        from huggingface_hub import errors
    except ImportError:
        raise DataError(
            f"{what}: the Hugging Face hub is asked with huggingface_hub: `pip install 'segjax[weights]'`{otherwise}."
        ) from None
    try:
        with _silent("huggingface_hub"):  # what it says of retries, ours says in one sentence
            yield huggingface_hub
    except errors.GatedRepoError as error:
        raise DataError(
            f"{repo_id} asks for a login: accept its terms on https://huggingface.co/{repo_id}, run `hf auth login` "
            f"and this again{otherwise}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"The Hugging Face hub has no {repo_id}, or asks for a login: mend the name{otherwise}."
        ) from error
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise DataError(f"The Hugging Face hub has no {what}: mend the name{otherwise}.") from error
    except errors.HFValidationError as error:
        raise DataError(f"{what} is no name of the Hugging Face hub ({first_line(error)}): mend it.") from error
    except DataError:
        raise
    except Exception as error:  # what the client says of a missing or broken connection has no common type
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise DataError(
                f"The Hugging Face hub does not let you do this with {repo_id}: run `hf auth login` with a token that "
                f"may{otherwise}."
            ) from error
        raise DataError(f"{failed}: check the network and run again{otherwise}.") from error


def _ask_hub(repo_id: str, filename: str, revision: str, into: Path, by_hand: str) -> Path:
    what = f"{filename} of {repo_id} at {revision}"
    print(f"Fetching {filename} of {repo_id} from the Hugging Face hub ...", file=sys.stderr, flush=True)
    with asking_hub(repo_id, what, f"{what} could not be fetched from the Hugging Face hub", f", {by_hand}") as client:
        return Path(client.hf_hub_download(repo_id, filename, revision=revision, local_dir=into))


@contextlib.contextmanager
def _silent(package: str) -> Iterator[None]:
    """While entered, a package logs nothing, and warns of nothing."""
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
