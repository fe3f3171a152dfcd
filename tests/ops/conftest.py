"""What the tests of ops share."""

from collections.abc import Iterator

import jax
import pytest

from segjax.ops.multilinear import Multilinear


@pytest.fixture
def without_cpu_forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on this CPU as on any other platform."""
    monkeypatch.setattr(Multilinear, "on_a_cpu", property(lambda form: form))
    jax.clear_caches()
    yield
    jax.clear_caches()
