"""Linear maps whose transposes are spelled out, in every mode of differentiation.

JAX derives the gradients of many ops in a form that is slow or large, and a `custom_vjp`, which gives them another one,
has no forward mode. Here an op is given by a number that is linear in each of several arrays, such as
`sum(conv(x, kernel) * y)`. Its derivative by one of them is a map of the others: the convolution itself by `y`, and the
gradients of `x` and `kernel` by those. Whatever JAX differentiates, transposes or maps is then one of these maps again.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial, reduce
from itertools import product
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.experimental.jet import jet_rules
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from segjax.ops.meshes import varying_alike, varying_over


class Like(NamedTuple):
    """An array's shape and dtype."""

    shape: tuple[Any, ...]
    """Of numbers, or of symbols of `jax.export`."""
    dtype: np.dtype


class Form(Protocol):
    """A number that is linear in each of its first `degree` arrays; it may depend on further ones, of integers."""

    @property
    def degree(self) -> int:
        """How many arrays it is linear in."""
        ...

    def on(self, platform: str) -> "Form | None":
        """The same as a program for one CPU ("cpu") or for TPUs ("tpu") computes it best, where that is another way."""
        ...

    def derivative(self, by: int, *others: Array) -> Array:
        """Its derivative by one of the arrays, which is a map of the others."""
        ...

    def array(self, number: int) -> Like | None:
        """Shape and dtype of one of them, where they are known: those of the derivative by it, not traced to see."""
        ...


@dataclasses.dataclass(frozen=True)
class Multilinear:
    """A form given by its derivatives, functions of the other arrays and of `static`, for example a geometry."""

    derivatives: tuple[Callable[..., Array], ...]
    static: Hashable
    on_cpu: tuple[Callable[..., Array], ...] | None = None
    """Other derivatives for a program for a CPU: for one device alone, as they may cut along sharded axes."""
    on_tpu: tuple[Callable[..., Array], ...] | None = None
    """Other derivatives for TPUs, whose tiles hold the last two axes."""
    arrays: tuple[Like, ...] | None = None
    """Those that it is linear in, by shape and dtype, so that tracing a network need not trace its ops' insides."""

    @property
    def degree(self) -> int:
        """How many arrays it is linear in."""
        return len(self.derivatives)

    def on(self, platform: str) -> "Multilinear | None":
        """The same as a program for one CPU ("cpu") or for TPUs ("tpu") computes it best, where that is another way."""
        derivatives = {"cpu": self.on_cpu, "tpu": self.on_tpu}[platform]
        return None if derivatives is None else Multilinear(derivatives, self.static, arrays=self.arrays)

    def derivative(self, by: int, *others: Array) -> Array:
        """Its derivative by one of the arrays, which is a map of the others."""
        return self.derivatives[by](*others, self.static)

    def array(self, number: int) -> Like | None:
        """Shape and dtype of one of them, where they are known: those of the derivative by it, not traced to see."""
        return None if self.arrays is None else self.arrays[number]


@dataclasses.dataclass(frozen=True)
class _Mapped:
    """The sum of a form over the first axis of some of its arrays, as `vmap` makes it."""

    form: Form
    batched: tuple[bool, ...]
    length: Any

    @property
    def degree(self) -> int:
        return self.form.degree

    def on(self, platform: str) -> "_Mapped | None":
        form = self.form.on(platform)
        return None if form is None else _Mapped(form, self.batched, self.length)

    def derivative(self, by: int, *others: Array) -> Array:
        axes = [0 if batched else None for i, batched in enumerate(self.batched) if i != by]
        each = jax.vmap(partial(self.form.derivative, by), axes)(*others)
        return each if self.batched[by] else each.sum(0)

    def array(self, number: int) -> Like | None:
        one = self.form.array(number)
        return Like((self.length, *one.shape), one.dtype) if one and self.batched[number] else one


def like(x: Array, shape: Sequence[int] | None = None) -> Like:
    """Its shape, or another one, and its dtype: what a form says of the arrays that it is linear in."""
    dtype = jax.typeof(x).dtype  # of an array of NumPy that JAX has in fewer bits
    return Like(tuple(x.shape if shape is None else shape), dtype)


def derivative(form: Form, by: int, *others: Array) -> Array:
    """The derivative of a form by its array number `by`, at the others; linear in each that the form is linear in."""
    return _derivative.bind(*varying_alike(*map(jnp.asarray, others)), form=form, by=by)


_derivative = Primitive("multilinear")


@_derivative.def_impl
@partial(jax.jit, static_argnames=("form", "by"))
def _evaluated(*others: Array, form: Form, by: int) -> Array:
    return derivative(form, by, *others)


@_derivative.def_abstract_eval
@lru_cache(maxsize=4096)  # a network has the same convolution many times, and is traced more than once
def _shape(*others: ShapedArray, form: Form, by: int) -> ShapedArray:
    known = form.array(by)
    if known is not None and all(other.sharding.mesh.empty for other in others):
        return ShapedArray(known.shape, known.dtype)
    if not varying_over(others[0]):
        return jax.make_jaxpr(partial(form.derivative, by))(*others).out_avals[0]
    # Inside all arrays vary alike, so that nothing there need say over which axes of the mesh it does.
    result = jax.make_jaxpr(partial(form.derivative, by))(*map(_alike, others)).out_avals[0]
    sharding, mesh = result.sharding, others[0].sharding.mesh
    if sharding.mesh.empty:  # its shape was known
        sharding = NamedSharding(mesh, PartitionSpec(*[None] * result.ndim))
    return others[0].update(result.shape, result.dtype, result.weak_type, sharding=sharding)


def _alike(array: ShapedArray) -> ShapedArray:
    return ShapedArray(array.shape, array.dtype, array.weak_type) if varying_over(array) else array


def _lower(context: mlir.LoweringRuleContext, *others: Any, form: Form, by: int) -> Sequence[Any]:
    module = context.module_context
    platforms = context.platforms or module.platforms
    one_device = getattr(module.axis_context, "num_devices", None) == 1
    asked = [name for name in platforms if name == "tpu" or (name == "cpu" and one_device)]
    best = {name: partial(own.derivative, by) for name in asked if (own := form.on(name)) is not None}
    run = partial(form.derivative, by)
    if best:
        run = best[platforms[0]] if len(platforms) == 1 else partial(lax.platform_dependent, default=run, **best)
    arrays: Sequence[Any] = context.avals_in
    context = context.replace(avals_in=[_alike(array) for array in arrays])
    return mlir.lower_fun(run, multiple_results=False)(context, *others)


mlir.register_lowering(_derivative, _lower)


def _tangent(others: Sequence[Array], tangents: Sequence[Any], form: Form, by: int) -> Array:
    terms = [
        derivative(form, by, *others[:i], tangent, *others[i + 1 :])
        for i, tangent in enumerate(tangents)
        if type(tangent) is not ad.Zero
    ]
    return reduce(jnp.add, terms)


def _jvp(others: Sequence[Array], tangents: Sequence[Any], *, form: Form, by: int) -> tuple[Array, Array]:
    return derivative(form, by, *others), _tangent(others, tangents, form, by)


ad.primitive_jvps[_derivative] = _jvp


def _transpose(cotangent: Any, *others: Any, form: Form, by: int) -> list[Any]:
    place = next(i for i, other in enumerate(others) if ad.is_undefined_primal(other))
    if type(cotangent) is ad.Zero:
        return [ad.Zero(other.aval) if i == place else None for i, other in enumerate(others)]
    arrays: list[Any] = [*others[:by], cotangent, *others[by:]]
    to = place + (place >= by)
    del arrays[to]
    gradient = derivative(form, to, *arrays)
    return [gradient if i == place else None for i in range(len(others))]


ad.primitive_transposes[_derivative] = _transpose


def _moved(arrays: Sequence[Array], axes: Sequence[int | None]) -> tuple[list[Array], list[bool]]:
    """The arrays with their batch axes first, and which have one."""
    moved = [x if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(arrays, axes, strict=True)]
    return moved, [axis is not None for axis in axes]


def _length(moved: Sequence[Array], batched: Sequence[bool]) -> Any:
    """How many are mapped over: a number, or a symbol of `jax.export`."""
    return next(x.shape[0] for x, is_batched in zip(moved, batched, strict=True) if is_batched)


def _batch(others: Sequence[Array], axes: Sequence[int | None], *, form: Form, by: int) -> tuple[Array, int]:
    moved, batched = _moved(others, axes)
    length = _length(moved, batched)
    batched.insert(by, True)
    return derivative(_Mapped(form, tuple(batched), length), by, *moved), 0


batching.primitive_batchers[_derivative] = _batch


def _jet(
    others: Sequence[Array], series: Sequence[Sequence[Array]], *, form: Form, by: int
) -> tuple[Array, list[Array]]:
    """The product of power series, whose terms jet gives and takes divided by their factorials."""
    linear = form.degree - 1
    factors = [[x, *terms] for x, terms in zip(others[:linear], series[:linear], strict=True)]

    def term(order: int) -> Array:
        shares = (shares for shares in product(range(order + 1), repeat=linear) if sum(shares) == order)
        chosen = ([factor[i] for factor, i in zip(factors, each, strict=True)] for each in shares)
        return reduce(jnp.add, (derivative(form, by, *each, *others[linear:]) for each in chosen))

    return term(0), [term(order) for order in range(1, len(series[0]) + 1)]


jet_rules[_derivative] = _jet


def known(value: Array, form: Form, by: int, *others: Array) -> Array:
    """What has this value and is differentiated as `derivative(form, by, *others)`, with which it need not agree."""
    return _known.bind(lax.stop_gradient(value), *others, form=form, by=by)


_known = Primitive("known_multilinear")
_known.def_impl(lambda value, *others, form, by: value)
_known.def_abstract_eval(lambda value, *others, form, by: value)
mlir.register_lowering(_known, lambda context, value, *others, form, by: [value])


def _known_jvp(arrays: Sequence[Array], tangents: Sequence[Any], *, form: Form, by: int) -> tuple[Array, Array]:
    value, *others = arrays
    return known(value, form, by, *others), _tangent(others, tangents[1:], form, by)


ad.primitive_jvps[_known] = _known_jvp


def _batch_known(arrays: Sequence[Array], axes: Sequence[int | None], *, form: Form, by: int) -> tuple[Array, int]:
    moved, batched = _moved(arrays, axes)
    value, *others = moved
    length = _length(moved, batched)
    if not batched[0]:
        value = jnp.broadcast_to(value, (length, *value.shape))
    _, *batched = batched
    batched.insert(by, True)
    return known(value, _Mapped(form, tuple(batched), length), by, *others), 0


batching.primitive_batchers[_known] = _batch_known


def _known_jet(
    arrays: Sequence[Array], series: Sequence[Sequence[Array]], *, form: Form, by: int
) -> tuple[Array, list[Array]]:
    value, *others = arrays
    return known(value, form, by, *others), _jet(others, series[1:], form=form, by=by)[1]


jet_rules[_known] = _known_jet
