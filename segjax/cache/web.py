"""Files of the web."""

import http.client
import shutil
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from segjax.cache.store import data_dir, first_line, store, verify
from segjax.errors import DataError


def fetch_url(url: str, sha256: str, name: str | None = None) -> Path:
    """The path of a file of the web whose checksum was verified.

    It is kept in `files` of `data_dir()`, under the first twelve digits of its checksum and its name, where anyone may
    lay it. Only a whole and verified file ever appears there, also when several processes fetch at once.

    Args:
        url: Where it is: http, https or file.
        sha256: Of the file, in lower-case hexadecimal; or its first digits, as torch's files have them in their names.
        name: What to call it; by default the last part of the URL.

    Raises:
        DataError: No network, no such file, a wrong checksum, no permission or no space; the sentence says what to do.
    """
    name = name or Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    folder = data_dir() / "files"
    kept = folder / f"{sha256[:12]}-{name}"
    if kept.is_file():
        verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept
    by_hand = f"or lay it by hand in {folder} as {kept.name}"
    return store(folder, lambda aside: _read_url(url, aside / kept.name, by_hand), sha256, f"run again, {by_hand}")


def _read_url(url: str, into: Path, by_hand: str) -> Path:
    print(f"Fetching {url} ...", file=sys.stderr, flush=True)
    try:
        answer = urllib.request.urlopen(url, timeout=60)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: what is no URL
        reason = first_line(getattr(error, "reason", None) or error)
        raise DataError(
            f"{url} could not be fetched ({reason}): check the network and run again, {by_hand}."
        ) from error
    with answer, into.open("wb") as file:
        try:
            shutil.copyfileobj(answer, file, 2**20)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise DataError(f"{url} broke off ({first_line(error)}): run again, {by_hand}.") from error
    return into
