import jax
import jax.numpy as jnp
import optax

from segjax.train.state import TrainState


def test_no_array_is_there_twice_as_a_step_uses_each_up():
    sam = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.05))  # begins with the weights themselves, to return to
    shared = jnp.zeros(2)
    twice = optax.GradientTransformation(lambda params: (shared, shared), optax.identity().update)
    params = {"w": jnp.arange(3.0)}
    state = TrainState.initial({"params": params}, optax.chain(sam, twice), (), ema=True)
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.params, state.ema, state.opt_state))]
    assert len({*places}) == len(places)
    assert state.params["w"] is params["w"]
