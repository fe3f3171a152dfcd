"""The commands that bring saved models to the Hugging Face hub and from it."""

import argparse


def push(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax push FOLDER OWNER/NAME`: the saved model of a folder to the hub; prints its commit."""
    from segjax.models.hub import push_pretrained

    print(f"{parsed.repository}@{push_pretrained(parsed.folder, parsed.repository, private=parsed.private)}")
    return 0


def pull(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax pull OWNER/NAME[@REVISION] FOLDER`: a saved model of the hub to a folder; prints its commit."""
    from segjax.models.hub import pull_pretrained

    repository, _at, revision = parsed.repository.removeprefix("hub:").partition("@")
    print(f"{repository}@{pull_pretrained(repository, parsed.folder, revision or 'main')}")
    return 0
