import os
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from segjax import memory
from segjax.errors import InferenceError

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("said", "usable"), [(("max\n",), MACHINE), (("1048576\n",), 2**20), ((str(2**62), "4096"), 4096), ((), MACHINE)]
)
def test_a_container_may_use_less_than_its_machine_has(
    said: tuple[str, ...], usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    for file, text in zip(files, said, strict=False):
        file.write_text(text)
    monkeypatch.setattr(memory, "_LIMITS", files)
    assert memory.usable_memory() == usable


def test_a_machine_that_does_not_say_is_not_guessed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sysconf_names")
    assert memory.usable_memory() is None


@pytest.mark.parametrize(
    ("platform", "stats", "said"),
    [
        ("gpu", {"bytes_limit": 6 * 2**30}, r"Less\. jax has 6\.0 GiB of this GPU; where other processes use it, too,"),
        ("gpu", None, r"Less\.$"),
        ("tpu", {"bytes_limit": 2**34}, r"Less\.$"),
    ],
)
def test_on_a_gpu_it_may_be_others_who_hold_the_memory(
    platform: str, stats: dict[str, int] | None, said: str, monkeypatch: pytest.MonkeyPatch
):
    card = SimpleNamespace(platform=platform, memory_stats=lambda: stats)
    monkeypatch.setattr(jax, "local_devices", lambda: [card])
    with pytest.raises(InferenceError, match=said), memory.advice_where_it_runs_out(InferenceError, "Less."):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.")


def test_other_errors_are_not_the_memorys():
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        memory.advice_where_it_runs_out(InferenceError, "Less."),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
