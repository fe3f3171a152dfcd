"""What XLA is told, by the platform that is compiled for."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
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


def test_an_optimizers_state_is_written_over_without_copies_of_it():
    optimizer = optax.adamw(0.1)

    def step(weights: Any, state: Any, gradient: jax.Array) -> Any:
        updates, after = optimizer.update(gradient, state, weights)
        applied = jnp.isfinite(optax.tree.norm(gradient))  # as in a step of the loop
        return jax.tree.map(
            partial(jnp.where, applied), (optax.apply_updates(weights, updates), after), (weights, state)
        )

    weights = jnp.ones(1000)
    given = weights, optimizer.init(weights), weights

    def copies(compile_by: Any) -> int:
        return compile_by(step, donate_argnums=(0, 1)).lower(*given).compile().as_text().count(" copy(")

    assert copies(jax.jit) > 1  # else there is nothing to tell XLA
    assert copies(compiling.jit) == 0
