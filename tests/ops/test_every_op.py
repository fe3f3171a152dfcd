"""What holds for all ops: every mode of differentiation, programs for other platforms, and batches of any size."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export
from jax.experimental.jet import jet
from op_cases import Case, cases, noise

from segjax import ops
from segjax.ops.multilinear import Multilinear

CASES = cases()
BY_DEFINITION = {"boxes", "center_targets", "max_unpool, overlapping"}
"""Differences say otherwise: no gradient passes through CIoU's trade-off, nor through targets, and all windows have the
gradient of a cell that the last of them wrote."""


def first(case: Case, *arrays: Array) -> Array:
    """The op's output, the first where there are more."""
    output = case.op(*arrays)
    return output[0] if isinstance(output, tuple) else output


def curved(run: Callable[..., Array], *arrays: Array) -> Array:
    """A number with derivatives of every order."""
    return jnp.sum(jnp.sin(run(*arrays)))


def in_float64(case: Case) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The arrays, and a direction."""
    rng = np.random.default_rng(5)
    arrays = tuple(np.asarray(array, np.float64) for array in case.arrays)
    return arrays, tuple(rng.standard_normal(array.shape) for array in arrays)


def dot(a: tuple[Array, ...], b: tuple[Array, ...]) -> Array:
    return sum((jnp.vdot(x, y) for x, y in zip(a, b, strict=True)), start=jnp.zeros(()))


# jax's own rule of `select` for jet does not take scalars.
WITHOUT_JET = {"boxes", "dysample", "grid_sample, zeros", "grid_sample, reflection", "grid_sample, nearest"}
WITHOUT_JET |= {"warp", "warp_boxes"}


@pytest.mark.parametrize("name", CASES)
def test_all_modes_of_differentiation_agree(name: str) -> None:
    """In one program, which traces the op once."""
    run = jax.jit(partial(first, CASES[name]))
    number = partial(curved, run)

    @jax.jit
    def in_every_mode(arrays, direction):
        output, forward = jax.jvp(run, arrays, direction)
        step = 1e-6
        ahead, behind = (run(*(x + s * d for x, d in zip(arrays, direction, strict=True))) for s in (step, -step))
        upstream = jnp.cos(jnp.arange(output.size, dtype=output.dtype)).reshape(output.shape)
        gradients = jax.vjp(run, *arrays)[1](upstream)
        linearized = jax.linearize(run, *arrays)[1](*direction)
        first_order = forward, (ahead - behind) / (2 * step), linearized
        dots = jnp.vdot(upstream, forward), dot(gradients, direction)

        _, forward_over_reverse = jax.jvp(jax.grad(number, tuple(range(len(arrays)))), arrays, direction)
        _, reverse_over_forward = jax.vjp(lambda *arrays: jax.jvp(number, arrays, direction)[1], *arrays)
        one = jnp.ones((), jax.eval_shape(number, *arrays).dtype)
        second_order = forward_over_reverse, reverse_over_forward(one)

        if name in WITHOUT_JET:
            return first_order, dots, second_order, ()
        none = tuple(map(jnp.zeros_like, arrays))
        series = jet(run, arrays, [list(terms) for terms in zip(direction, none, strict=True)])
        twice = jax.jvp(lambda *arrays: jax.jvp(run, arrays, direction)[1], arrays, direction)
        return first_order, dots, second_order, tuple(zip(series[1], twice, strict=True))

    with jax.enable_x64(True):
        first_order, dots, second_order, taylor = in_every_mode(*in_float64(CASES[name]))
    (forward, difference, linearized), (along, against) = first_order, dots
    np.testing.assert_array_equal(forward, linearized)
    scale = max(float(abs(forward).max()), 1e-3)
    single = forward.dtype == jnp.float32
    if name not in BY_DEFINITION:
        np.testing.assert_allclose(forward, difference, rtol=0, atol=(1e-1 if single else 1e-6) * scale)
    np.testing.assert_allclose(along, against, rtol=1e-5 if single else 1e-10, atol=1e-12)
    for found, expected in zip(*second_order, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(float(abs(expected).max()), 1e-6))
    for found, expected in taylor:
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-10)


WIDE = {
    "conv, wide": Case(lambda x, k: ops.conv(x, k, "SAME"), (noise(1, 16, 16, 128), noise(3, 3, 128, 128)), 1),
    "conv, strips": Case(lambda x, k: ops.conv(x, k, "SAME"), (noise(1, 16, 16, 8), noise(3, 3, 8, 8)), 1),
}
"""What has other forms in a program for a CPU."""


def programs(case: Case, *platforms: str) -> dict[str, str]:
    """Of the op and its gradients, for platforms whatever this one is, traced once."""
    gradients = jax.grad(partial(curved, partial(first, case)), tuple(range(len(case.arrays))))
    traced = jax.jit(gradients).trace(*case.arrays)
    return {platform: traced.lower(lowering_platforms=(platform,)).as_text() for platform in platforms}


def test_programs_for_other_platforms_have_no_form_for_cpus_and_the_precision_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None asks what a CPU computes best; and products are of float32 where a GPU's own default is fewer bits."""
    asked: list[Multilinear] = []
    on = Multilinear.on
    of_platform = lambda form, platform: asked.append(form) if platform == "cpu" else on(form, platform)  # noqa: E731
    monkeypatch.setattr(Multilinear, "on", of_platform)
    for name, case in (CASES | WIDE).items():
        with jax.default_matmul_precision("highest"):
            found = programs(case, "cuda", "tpu")
        assert not asked, name
        for program in found.values():
            products = re.findall(r"stablehlo\.(?:convolution|dot_general)[^\n]*", program)
            assert not [one for one in products if one.count("HIGHEST") != 2], name
    programs(WIDE["conv, wide"], "cpu")
    assert asked


def computations(program: str) -> Counter:
    return Counter(re.findall(r"stablehlo\.(convolution|dot_general)", program))


def test_an_exported_network_has_its_convolutions_and_no_others() -> None:
    def network(x: Array, *kernels: Array) -> Array:
        fine, down, coarse, up, out = kernels
        skip = jax.nn.relu(ops.conv(x, fine, "SAME"))
        y, indices = ops.max_pool_with_argmax(jax.nn.relu(ops.conv(skip, down, "SAME")))
        y = ops.max_unpool(jax.nn.relu(ops.conv(y, coarse, "SAME")), indices)
        y = ops.conv_transpose(ops.avg_pool(y), up, strides=2)
        return ops.conv(jnp.concatenate([skip, ops.resize(y, (32, 32))], axis=-1), out, "SAME")

    wide = noise(3, 3, 128, 128)
    kernels = wide, wide, wide, noise(2, 2, 128, 128), noise(3, 3, 256, 128)
    case = Case(network, (noise(1, 32, 32, 128), *kernels), 5)
    found = {platform: computations(program) for platform, program in programs(case, "cuda", "tpu").items()}
    # Of each of the four convolutions three; the transposed one is three products, too, on TPUs three convolutions.
    assert found == {"cuda": {"convolution": 3 * 4 + 2, "dot_general": 2}, "tpu": {"convolution": 3 * 5}}
    assert computations(programs(case, "cpu")["cpu"])["dot_general"] == 2 * 3 * 4 + 2  # Winograd's: two products each


@pytest.mark.parametrize("name", CASES)
def test_an_exported_program_takes_batches_of_any_size(name: str) -> None:
    case = CASES[name]
    batch = len(case.arrays) - case.kernels
    (n,) = export.symbolic_shape("n")
    shapes = [
        jax.ShapeDtypeStruct((n, *x.shape[1:]) if i < batch else x.shape, x.dtype) for i, x in enumerate(case.arrays)
    ]
    number = partial(curved, partial(first, case))
    both = jax.jit(jax.value_and_grad(number, tuple(range(len(case.arrays)))))
    program = export.export(both)(*shapes)
    arrays = [np.asarray(x)[:3] if i < batch else x for i, x in enumerate(case.arrays)]
    found, expected = jax.jit(lambda *arrays: (program.call(*arrays), both(*arrays)))(*arrays)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(float(abs(b).max()), 1e-6))


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_no_images_has_a_value_and_gradients(name: str) -> None:
    case = CASES[name]
    batch = len(case.arrays) - case.kernels
    arrays = [x[:0] if i < batch else x for i, x in enumerate(case.arrays)]
    number = partial(curved, partial(first, case))
    _, gradients = jax.eval_shape(jax.value_and_grad(number, tuple(range(len(arrays)))), *arrays)
    assert [gradient.shape for gradient in gradients] == [x.shape for x in arrays]


AVERAGING = (
    "avg_pool", "resize, bilinear", "resize, area", "grid_sample, zeros", "conv", "conv, depthwise",
    "conv_transpose, 3x3", "resize_conv", "carafe", "window_similarity", "semi_shift_conv", "dysample",
)  # fmt: skip


@pytest.mark.parametrize("name", AVERAGING)
def test_whole_numbers_are_refused_where_what_lies_between_them_would_be_cut_off(name: str) -> None:
    whole = [x.astype(jnp.int32) for x in CASES[name].arrays]
    with pytest.raises(ValueError, match=r"floating.* got .*int32"):
        jax.eval_shape(CASES[name].op, *whole)
