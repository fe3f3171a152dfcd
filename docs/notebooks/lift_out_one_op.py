# %% [markdown]
# # Lift out one op
#
# `segjax.ops` needs jax and numpy alone: pure functions, to be used in any JAX code. Here it is max-pooling that
# remembers where it found its maxima, and the unpooling that puts values back there.

# %%
import jax
import jax.numpy as jnp

from segjax import ops

x = jnp.arange(2 * 7 * 9 * 3, dtype=jnp.float32).reshape(2, 7, 9, 3)
values, indices = ops.max_pool_with_argmax(x, window=2, ceil_mode=True)
values.shape, indices.offsets.dtype

# %% [markdown]
# A place within its window is a byte, whatever the image's size, where PyTorch keeps an int64 of the whole image.
# `flat()` gives PyTorch's numbers.

# %%
back = ops.max_unpool(values, indices)
assert back.shape == x.shape
assert (back.max(axis=(1, 2)) == x.max(axis=(1, 2))).all()
indices.flat()[0, :2, :2, 0]

# %% [markdown]
# Both have gradients, and work under `jit` and `vmap`. The gradient of the pooling is the unpooling of what comes back.


# %%
@jax.jit
def pooled(x):
    values, _ = ops.max_pool_with_argmax(x, window=2, ceil_mode=True)
    return values.sum()


gradient = jax.grad(pooled)(x)
assert (gradient == ops.max_unpool(jnp.ones_like(values), indices)).all()

# %% [markdown]
# In a module of one's own it is a line. Here the decoder's half of a network that pools once.

# %%
from flax import linen as nn


class Tiny(nn.Module):
    """Pools once, and climbs back by the indices."""

    @nn.compact
    def __call__(self, image):
        x = nn.relu(nn.Conv(8, (3, 3))(image))
        x, indices = ops.max_pool_with_argmax(x, window=2, ceil_mode=True)
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        return nn.Conv(2, (1, 1))(ops.max_unpool(x, indices))


logits, variables = jax.jit(Tiny().init_with_output)(jax.random.key(0), x)
logits.shape
