"""Saved models to the Hugging Face hub and from it, with `huggingface_hub`, an extra: `segjax[weights]`."""

import json
import tempfile
from pathlib import Path

from segjax import cache
from segjax.errors import DataError
from segjax.models import saved
from segjax.models.pretrained import open_pretrained

_NEEDED = (saved.CONFIG, saved.WEIGHTS)
_FILES = (*_NEEDED, saved.CARD)
"""All that goes to the hub or comes from it: nothing that anyone could run."""


def push_pretrained(folder: str | Path, repo_id: str, *, private: bool = False) -> str:
    """Writes the folder of a saved model to the hub, as one commit of its three files; gives the commit.

    Args:
        folder: What `segjax.save_pretrained` wrote, in either layout, or another that `from_pretrained` opens.
        repo_id: OWNER/NAME, made where it is not there.
        private: Whether a repository that is made is seen by its owner alone.

    Raises:
        DataError: the folder is no saved model, or the hub cannot be reached or does not take it; the sentence says
            what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name the one that segjax.save_pretrained wrote.")
    if (folder / "run.json").exists():
        raise DataError(f"{folder} is a run: save its model first, with segjax.save_pretrained, and push that folder.")
    open_pretrained(folder)
    failed = f"{folder} could not be written to {repo_id} of the Hugging Face hub"
    with cache.asking_hub(repo_id, repo_id, failed) as client:
        if client.get_token() is None:
            raise DataError(f"{failed} without a token: run `hf auth login`, or set HF_TOKEN, and run this again.")
        api = client.HfApi()
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        files = [file for file in _FILES if (folder / file).is_file()]
        changes = [client.CommitOperationAdd(file, folder / file) for file in files]
        return api.create_commit(repo_id, changes, commit_message="Model saved by segjax").oid


def pull_pretrained(repo_id: str, folder: str | Path, revision: str = "main") -> str:
    """Brings a saved model of the hub into a folder that `segjax.from_pretrained` opens; gives the commit it is of.

    Config, weights and card are fetched, and nothing else of the repository. The commit is written beside them, and
    stands in the `About` and the card of what is made from the model. Files of these names are replaced, when all have
    come.

    Args:
        repo_id: OWNER/NAME.
        folder: Made where it is not there.
        revision: A commit, a branch or a tag.

    Raises:
        DataError: it cannot be had or written; the sentence says what to do.
    """
    folder = Path(folder)
    what = f"{repo_id} at {revision}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pulling-") as aside,
            cache.asking_hub(repo_id, what, f"{what} could not be fetched from the Hugging Face hub") as client,
        ):
            found = client.HfApi().model_info(repo_id, revision=revision)
            there = {file.rfilename for file in found.siblings or ()}
            if missing := [file for file in _NEEDED if file not in there]:
                raise DataError(f"{what} has no {missing[0]}: it is no saved model; name another.")
            files = [file for file in _FILES if file in there]
            for file in files:
                client.hf_hub_download(repo_id, file, revision=found.sha, local_dir=aside)
            pulled = {"repository": repo_id, "revision": found.sha}
            (Path(aside) / saved.PULLED).write_text(json.dumps(pulled, indent=2))
            folder.mkdir(exist_ok=True)
            for file in (*files, saved.PULLED):
                (Path(aside) / file).replace(folder / file)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): choose another folder.") from error
    return found.sha
