"""Which taps of a transposed convolution reach which outputs, all plain Python integers."""

from typing import NamedTuple

from segjax.ops.geometry import Pair, extent


class Reach(NamedTuple):
    """What one output phase reads along an axis: step m takes inputs m + first, m + first + dilation, ..., m + last."""

    taps: slice
    """In the flipped kernel."""
    first: int
    last: int
    dilation: int


class Axis(NamedTuple):
    """One spatial axis: input i reaches output o through tap t where i * stride + t * dilation == o + padding."""

    stride: int
    padding: int
    output_padding: int
    dilation: int
    taps: int
    size: int

    @property
    def extent(self) -> int:
        """Cells from the first tap to the last, both counted."""
        return extent(self.taps, self.dilation)

    @property
    def out(self) -> int:
        """Pixels of the output, not positive where the padding eats them all."""
        return (self.size - 1) * self.stride + self.extent - 2 * self.padding + self.output_padding

    @property
    def steps(self) -> int:
        """Pixels of a phase: outputs r, r + stride, ... for one r below the stride; those past `out` are surplus."""
        return -(-self.out // self.stride)

    @property
    def outer_padding(self) -> Pair:
        """The padding of the convolution that this one transposes; negative where output padding goes past it."""
        return self.padding, self.padding - self.output_padding

    def phase(self, r: int) -> Reach | None:
        """What outputs r, r + stride, ... read; None where no tap lands on them."""
        reach = [self.padding + r - (self.taps - 1 - t) * self.dilation for t in range(self.taps)]
        taps = [t for t in range(self.taps) if reach[t] % self.stride == 0]
        if not taps:
            return None
        inputs = [reach[t] // self.stride for t in taps]
        every, dilation = (taps[1] - taps[0], inputs[1] - inputs[0]) if len(taps) > 1 else (1, 1)
        return Reach(slice(taps[0], taps[-1] + 1, every), inputs[0], inputs[-1], dilation)

    def blocks(self) -> tuple[int, int, int]:
        """How the kernel, dilated with zeros, falls into blocks of `stride` taps, each of which reads one input.

        Returns the number of blocks, the zeros that go before the first tap, and the input, past m, that step m reads
        through the first block; the next block reads the one before, and so on.
        """
        last = -(-self.padding // self.stride)
        zeros = last * self.stride - self.padding
        return -(-(zeros + self.extent) // self.stride), zeros, last


class Geometry(NamedTuple):
    """Everything about a transposed convolution that is known when it is traced."""

    rows: Axis
    cols: Axis

    @property
    def tiles(self) -> bool:
        """Whether each input pixel becomes a block of the output of its own: one tap for each phase."""
        return all((axis.taps, axis.padding, axis.dilation) == (axis.stride, 0, 1) for axis in self)
