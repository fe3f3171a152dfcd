"""The command that looks at the machine."""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from segjax import __version__
from segjax.cache import data_dir
from segjax.cli.process import no_device
from segjax.cores import usable_cores
from segjax.errors import DataError
from segjax.memory import usable_memory
from segjax.strict_json import as_json

EXTRAS = {
    "": "`import segjax`",
    "train": "every command that trains, scores, predicts or reads data",
    "launch": "`segjax launch --slurm` and `segjax sweep --slurm`",
    "export": "`segjax export`",
    "serve": "`segjax serve`",
    "geo": "large GeoTIFFs packed by JPEG, WebP or LERC",
    "micro": "OME-Zarr and Zarr",
    "buckets": "runs and packed sets in s3:// and gs://",
    "track": "`segjax predict --video IN --track`",
    "wandb": "`segjax train --log wandb`",
    "mlflow": "`segjax train --log mlflow`",
    "weights": "Keras files, and files of the Hugging Face hub",
}
"""What the packages of each extra are for; of `dev` only who changes segjax has need."""


def doctor(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax doctor`: versions, devices, memory and caches, and what is missing for which command."""
    if not parsed.json:
        print("Looking for devices ...", file=sys.stderr)
    import jax

    missing = no_device()
    found = {
        "segjax": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "memory": usable_memory(),
        "packages": _packages(),
        "devices": [] if missing else [_device(one) for one in jax.local_devices()],
        "no_device": missing,
        **_kept(),
    }
    if parsed.json:
        print(as_json(found, indent=2))
    else:
        _print(found)
    return 0


def _packages() -> dict[str, dict[str, str | None]]:
    """The version of each package of each extra, None where it is not installed; nothing where segjax is not itself."""
    if _version("segjax") is None:
        return {}
    found: dict[str, dict[str, str | None]] = {extra: {} for extra in EXTRAS}
    for requirement in importlib.metadata.requires("segjax") or []:
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"""extra == ['"](\w+)['"]""", requirement)
        packages = found.get(extra[1] if extra else "")
        if name is not None and packages is not None:
            packages[name[0]] = _version(name[0])
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device(device: Any) -> dict[str, Any]:
    """What jax says of it, with its memory in bytes where it says it."""
    memory = (device.memory_stats() or {}).get("bytes_limit")
    return {"kind": device.device_kind, "platform": device.platform, "memory": memory}


def _kept() -> dict[str, Any]:
    """The folder of what is kept, the bytes of each of its entries, and why nothing can be added, a sentence."""
    try:
        folder = data_dir()
    except DataError as error:
        return {"kept_in": None, "caches": {}, "no_cache": str(error)}
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    writable = there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)
    why = f"{there} cannot be written: set SEGJAX_DATA to a folder that you may write to."
    return {
        "kept_in": str(folder),
        "caches": {str(entry): _size(entry) for entry in sorted(folder.glob("*"))},
        "no_cache": None if writable else why,
    }


def _size(entry: Path) -> int:
    """Bytes of a file, or of all below a folder, of which other commands may be removing some."""
    size = 0
    for file in [entry, *(Path(folder, name) for folder, _, names in os.walk(entry) for name in names)]:
        with contextlib.suppress(OSError):
            size += 0 if file.is_dir() else file.stat().st_size
    return size


def _print(found: dict[str, Any]) -> None:
    print(f"segjax {found['segjax']}, Python {found['python']}, {found['platform']}")
    memory = f", {found['memory'] / 2**30:.1f} GiB" if found["memory"] else ""
    print(f"{found['cores']} CPU cores{memory}")
    for device in found["devices"]:
        memory = f", {device['memory'] / 2**30:.1f} GiB" if device["memory"] else ""
        print(f"device: {device['kind']} ({device['platform']}{memory})")
    if found["no_device"]:
        print(f"no device: {found['no_device']}")
    if not found["packages"]:
        print("\nsegjax is imported from where it lies, and not installed: what a command lacks is not known")
    for extra, packages in found["packages"].items():
        missing = [name for name, version in packages.items() if version is None]
        install = f"pip install 'segjax[{extra}]'" if extra else "pip install segjax"
        said = f"missing: {', '.join(missing)}; `{install}` brings it" if missing else "all there"
        print(f"\nfor {EXTRAS[extra]}: {said}")
        print("  " + ", ".join(f"{name} {version}" for name, version in packages.items() if version is not None))
    if found["kept_in"]:
        runs = ", but for what of runs/ is not in its bucket yet"
        runs = runs if os.path.join(found["kept_in"], "runs") in found["caches"] else ""
        print(f"\nkept in {found['kept_in']}, all of which is fetched or made again where it is deleted{runs}:")
        for entry, size in found["caches"].items():
            print(f"  {size / 2**20:8.1f} MiB  {entry}")
        if not found["caches"]:
            print("  nothing yet")
    if found["no_cache"]:
        print(f"\nnothing new can be kept: {found['no_cache']}")
