import subprocess
from pathlib import Path

import pytest

from segjax.cache import fetch_git
from segjax.errors import DataError

LATER = "lay it there"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept."""
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return tmp_path / "data" / "git"


@pytest.fixture
def repository(tmp_path: Path) -> tuple[str, list[str]]:
    """One of two commits, and those; `some/photos` is in both, with another file in the second."""
    place = tmp_path / "repository"

    def git(*said: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", *identity, *said], cwd=place, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (place / "some" / "photos").mkdir(parents=True)
    git("init", "--quiet")
    commits = []
    for content in ("one\r\n", "two\r\n"):
        (place / "some" / "photos" / "a.txt").write_bytes(content.encode())
        (place / "other").write_text(content)
        git("add", ".")
        git("commit", "--quiet", "--message", content.strip())
        commits.append(git("rev-parse", "HEAD"))
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    return place.as_uri(), commits


def test_a_folder_is_fetched_as_it_was_at_a_commit_and_found_again_without_the_network(
    repository: tuple[str, list[str]], data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    url, commits = repository
    monkeypatch.setenv("GIT_DIR", "/nowhere/of/a/hook")
    for commit, content in zip(commits, (b"one\r\n", b"two\r\n"), strict=True):
        found = fetch_git(url, commit, "some/photos", LATER)
        assert found == data / f"photos-{commit[:12]}"
        assert [file.name for file in found.iterdir()] == ["a.txt"]
        assert (found / "a.txt").read_bytes() == content
        assert fetch_git("file:///nowhere", commit, "some/photos", LATER) == found
    assert capfd.readouterr().err == f"Fetching some/photos of {url} with git ...\n" * 2
    assert sorted(each.name for each in data.iterdir()) == sorted(f"photos-{commit[:12]}" for commit in commits)


def test_what_cannot_be_fetched_is_one_sentence_and_leaves_nothing(
    repository: tuple[str, list[str]], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url, (first, _) = repository
    nowhere = (tmp_path / "nowhere").as_uri()
    for asked, said in {
        (nowhere, first, "some/photos"): rf"some/photos of {nowhere} \(.*nowhere.*\): check .* or lay it there\.$",
        (url, "0" * 40, "some/photos"): r"could not fetch some/photos of .* \(.*0{40}.*\): check the network",
        (url, first, "some/films"): r"could not fetch some/films of .* \(pathspec 'some/films' did not match",
    }.items():
        with pytest.raises(DataError, match=said) as caught:
            fetch_git(*asked, LATER)
        assert "\n" not in str(caught.value)
        assert not any(data.iterdir())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"is fetched with git, which is not there: install it, or lay it there\."):
        fetch_git(url, first, "some/photos", LATER)
