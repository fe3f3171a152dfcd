import importlib.metadata
import json
import os
from pathlib import Path

import jax
import pytest

from segjax.cli import main


def test_it_says_what_is_there_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    version = importlib.metadata.version

    def without_grain(name: str) -> str:
        if name == "grain":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_grain)
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "one.whl").write_bytes(bytes(3 * 2**20))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"][""]["jax"] == jax.__version__
    assert found["packages"]["train"]["grain"] is None
    assert found["packages"]["train"]["optax"] == version("optax")
    assert "submitit" in found["packages"]["launch"]
    assert "torch" not in str(found["packages"])
    assert [device["kind"] for device in found["devices"]] == [device.device_kind for device in jax.devices()]
    assert found["caches"] == {str(tmp_path / "wheels"): 3 * 2**20}
    assert found["no_cache"] is None

    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "reads data: missing: grain; `pip install 'segjax[train]'` brings it\n" in said
    assert f"  {3:8.1f} MiB  {tmp_path / 'wheels'}\n" in said
    assert f"kept in {tmp_path}, all of which is fetched or made again where it is deleted:\n" in said

    (tmp_path / "runs").mkdir()  # of buckets, which may have been out of reach
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "made again where it is deleted, but for what of runs/ is not in its bucket yet:\n" in said


def test_without_a_device_and_not_installed_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def no_version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    def no_devices() -> None:
        raise RuntimeError("Unable to initialize backend 'tpu': no chip. (set JAX_PLATFORMS='' to choose)")

    monkeypatch.setattr(importlib.metadata, "version", no_version)
    monkeypatch.setattr(jax, "local_devices", no_devices)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "jax finds no such device: Unable to initialize backend 'tpu': no chip. Leave it out, or name cpu.\n" in said
    assert "segjax is imported from where it lies, and not installed" in said


def test_a_folder_that_keeps_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "laid by hand").write_bytes(bytes(2**20))
    (tmp_path / "gone").symlink_to("nowhere")
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to every folder
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"  {1:8.1f} MiB  {tmp_path / 'laid by hand'}\n" in said
    assert f"\nnothing new can be kept: {tmp_path} cannot be written: set SEGJAX_DATA to a folder" in said
    for chosen, why in {
        tmp_path / "laid by hand" / "below": f"{tmp_path / 'laid by hand'} cannot be written",
        "~nobody of this name/data": "No home folder is known to keep files in: set SEGJAX_DATA to the path",
    }.items():
        monkeypatch.setenv("SEGJAX_DATA", str(chosen))
        assert main(["doctor"]) == 0
        assert f"\nnothing new can be kept: {why}" in capsys.readouterr().out
