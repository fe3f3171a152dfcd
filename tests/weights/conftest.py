from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """Saves a value with torch, in either of its formats, always to the same path."""
    torch = pytest.importorskip("torch")

    def save(value, zipped: bool = True, **options) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
        return path

    return save
