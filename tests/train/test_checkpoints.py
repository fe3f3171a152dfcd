import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import linen as nn

from segjax.errors import ExperimentError
from segjax.train.checkpoints import Checkpoints, read_variables
from segjax.train.state import TrainState


def test_random_keys_of_an_optimizer_and_a_model_come_back(tmp_path: Path):
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
            self.variable("noise", "key", lambda: jax.random.key(0, impl="rbg"))
            return self.param("w", nn.initializers.ones, 3) * image

    def state(seed: int) -> TrainState:
        variables = {"params": {"w": jnp.ones(3)}, "noise": {"key": jax.random.key(seed, impl="rbg")}}
        optimizer = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(seed)), optax.sgd(0.1))
        return TrainState.initial(variables, optimizer, (), ema=True)

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(3, state(7), {"next_batch": 3, "image": (1, 1, 3)})
    checkpoints.wait()
    restored, progress = checkpoints.restore(3, state(0))
    checkpoints.close()
    assert progress["next_batch"] == 3
    assert jax.tree.structure(restored) == jax.tree.structure(state(7))
    keys = 0
    for found, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(state(7)), strict=True):
        assert found.dtype == expected.dtype
        if jnp.issubdtype(expected.dtype, jax.dtypes.prng_key):
            found, expected, keys = jax.random.key_data(found), jax.random.key_data(expected), keys + 1
        np.testing.assert_array_equal(found, expected)
    variables, _ = read_variables(tmp_path / "checkpoints", Noisy(), 3)
    assert variables["noise"]["key"] == jax.random.key(7, impl="rbg")
    assert keys == 3  # the model's, its average and the optimizer's
    shutil.rmtree(tmp_path / "checkpoints" / "3" / "ema")
    with pytest.raises(ExperimentError, match=r"checkpoints/3 is damaged .*ema.*; delete that folder"):
        read_variables(tmp_path / "checkpoints", Noisy(), 3)


def test_a_folder_that_is_removed_while_it_is_written_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def removed(_: Any, directory: Any) -> None:  # what Orbax says of it depends on what it writes at that moment
        raise ValueError(f"No ArrayMetadata found for process_index=0 in the checkpoint directory: {directory}")

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    state = TrainState.initial({"params": {"w": jnp.ones(3)}}, optax.sgd(0.1), (), ema=False)
    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", removed)
    checkpoints.save(3, state, {"next_batch": 3})
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*checkpoints'"):
        checkpoints.wait()
