"""What the tests of ops share; segjax is imported where it is needed, after jaxtyping's plugin has been set up."""

from collections.abc import Callable, Iterator

import jax
import pytest


@pytest.fixture
def without_cpu_forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on this CPU as on any other platform."""
    from segjax.ops.multilinear import Multilinear

    monkeypatch.setattr(Multilinear, "on", lambda form, platform: None)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def as_on_tpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on this CPU in the forms for TPUs."""
    from segjax.ops.multilinear import Multilinear

    def form_of_tpus(form: Multilinear, platform: str) -> Multilinear | None:
        return None if form.on_tpu is None else Multilinear(form.on_tpu, form.static)

    monkeypatch.setattr(Multilinear, "on", form_of_tpus)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def choose_eigen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on what is lowered is what suits XLA's convolutions by Eigen, whatever it is compiled to here."""
    flag = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    return lambda: monkeypatch.setenv("XLA_FLAGS", flag)
