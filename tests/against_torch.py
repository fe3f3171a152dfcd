"""Encoders beside the torch modules whose weights they take."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.torch_zoo import torchvision  # noqa: F401 before timm imports it
from segjax.weights import convert

KEY = jax.random.key(0)


class Reference(NamedTuple):
    """What an encoder is compared with."""

    module: Any
    levels: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    unused: str | None = None
    """Names of the module's that the encoder has no place for."""


def randomized(module: Any) -> Any:
    """The module in double precision and evaluation, with no parameter at a value that hides what it does."""
    generator = torch.Generator().manual_seed(0)
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + noise.abs())
        elif name.endswith(".weight") and value.ndim > 1:
            value.copy_(noise / value[0].numel() ** 0.5)
        elif name.endswith((".weight", "gamma")):
            value.copy_(1 + 0.2 * noise)
        else:
            value.copy_(value + 0.2 * noise)
    return module.eval().double()


def images(rows: int, columns: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, rows, columns, channels)).astype(np.float32)


def state_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.float().numpy() for name, value in module.state_dict().items()}


def variables_of(encoder: nn.Module, reference: Reference) -> Mapping[str, Any]:
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    like = jax.eval_shape(partial(encoder.init, train=False), KEY, image)
    return convert.from_torch(state_of(reference.module), like, unused=reference.unused)


def check_levels(encoder: nn.Module, reference: Reference, size: tuple[int, int]) -> None:
    """Every level in double precision."""
    x = images(*size)
    with torch.no_grad():
        expected = reference.levels(to_torch(x))
    variables = variables_of(encoder, reference)
    with jax.enable_x64(True):
        found = jit(partial(features, encoder.clone(dtype=jnp.float64)))(double(variables), double(x))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float64
        close(ours, theirs, 1e-10)


def check_single_precision_and_gradients(encoder: nn.Module, reference: Reference, size: tuple[int, int]) -> None:
    """Every level in single precision, and the gradients by the image and all parameters in double precision."""
    image = images(*size)
    x = to_torch(image).requires_grad_()
    reference.module.zero_grad()
    expected = reference.levels(x)
    weights = [np.random.default_rng(i).standard_normal(y.shape) for i, y in enumerate(expected)]
    torch.stack([(y * torch.from_numpy(w)).sum() for y, w in zip(expected, weights, strict=True)]).sum().backward()
    variables = variables_of(encoder, reference)

    for ours, theirs in zip(jit(partial(features, encoder))(variables, image), expected, strict=True):
        close(ours, theirs.detach(), 1e-5)

    def weighed(params: Any, image: jax.Array) -> jax.Array:
        found = features(wide, {**exact, "params": params}, image)
        return jnp.stack([(y * w.transpose(0, 2, 3, 1)).sum() for y, w in zip(found, weights, strict=True)]).sum()

    with jax.enable_x64(True):
        wide, exact = encoder.clone(dtype=jnp.float64), double(variables)
        by_params, by_image = jit(jax.grad(weighed, (0, 1)))(exact["params"], double(image))
    close(by_image, x.grad, 1e-10)
    ours = convert.to_torch({"params": by_params})
    theirs = {name: p.grad.numpy() for name, p in reference.module.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(gradient).max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        np.testing.assert_allclose(ours[name], gradient, rtol=1e-9, atol=1e-10 * largest, err_msg=name)


def features(encoder: nn.Module, variables: Any, image: jax.Array) -> list[jax.Array]:
    return [level.features for level in encoder.apply(variables, image, train=False)]  # type: ignore[union-attr]


def jit(function: Callable) -> Callable:
    """Compiled without optimisation: it runs once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def to_torch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(0, 3, 1, 2)).double()


def close(ours: Any, theirs: torch.Tensor | None, share: float) -> None:
    """Equal but for a share of the largest value."""
    assert theirs is not None
    expected = theirs.permute(0, 2, 3, 1).numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=0, atol=share * np.abs(expected).max())


def check_round_trip(encoder: nn.Module, reference: Reference) -> None:
    """What was taken from torch goes back bit for bit."""
    back = convert.to_torch(variables_of(encoder, reference))
    state = state_of(reference.module)
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name])
