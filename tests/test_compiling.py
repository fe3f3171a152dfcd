"""What XLA is told, by the platform that is compiled for."""

import jax
import jax.numpy as jnp
import pytest

from segjax import compiling


def test_a_program_for_another_platform_has_no_options_of_cpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling, "_for_cpus", lambda: {"an_option_of_cpus": True})
    with pytest.raises(jax.errors.JaxRuntimeError, match="an_option_of_cpus"):
        compiling.jit(lambda x: x).lower(0).compile()
    for platform in ("tpu", "gpu"):
        assert compiling.jit(lambda x: x, platform).lower(0).compile()(3) == 3


@pytest.mark.parametrize("platform", ["gpu", "cuda", "rocm"])  # as jax and its devices call it
def test_a_gpu_is_told_to_give_the_same_bits_in_words_that_this_xla_knows(platform: str):
    options = compiling.compiler_options(platform)
    assert options == {"xla_gpu_exclude_nondeterministic_ops": True}
    jax.jit(jnp.sin, compiler_options=options).lower(1.0).compile()  # an unknown option would be refused
    assert compiling.compiler_options("tpu") is None
