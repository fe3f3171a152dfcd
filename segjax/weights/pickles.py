"""Pickles read as data, by an interpreter of its own: it imports nothing and calls nothing but what a table offers.

Python's unpickler is a machine that calls what the file names. This one knows the opcodes of data (protocols 2 to 5);
a global is a look-up in a closed table, a call runs only a `Function` of it, and all other opcodes are refused.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segjax.weights.mapped import Refused, printable

LONGEST = 1 << 26
"""Bytes of a pickle: that of the largest models, with the names of all their arrays, is a few MB."""
_MOST_WORK = 1_000_000
"""Opcodes, and values that they copy."""
_LONGEST_INT = 16

SAVE_AGAIN = "open it with torch where you trust it, and save `model.state_dict()` alone"


@dataclass(frozen=True, eq=False)
class Function:
    """What a pickle may call: a function of ours that stands for one of torch's."""

    call: Callable[[tuple], Any]


@dataclass(frozen=True, eq=False)
class Aside:
    """A class of what training scripts keep beside the weights, and an object of it: nothing that it holds is kept."""

    within: str | None = None
    """What a file asks for where another object may hold it, and nothing else may."""


def read_pickle(
    data: memoryview, table: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any]
) -> tuple[Any, int]:
    """The value of the pickle that `data` begins with, and the bytes that it took.

    The value may hold itself, or one part many million times: whoever walks it minds that.

    Args:
        data: Of any length; bytes after the pickle are not looked at.
        table: What globals stand for, by module and name: a `Function` may be called, an `Aside` made and filled with
            anything, which is dropped; anything else is a value.
        persistent: What a persistent id, a value of the pickle, stands for.

    Raises:
        Refused: It is no such pickle, asks for what the table lacks, is damaged, or too much work.
    """
    machine = _Machine(data[:LONGEST], table, persistent)
    try:
        return machine.run(), machine.at
    except (IndexError, KeyError, UnicodeDecodeError) as error:  # an empty stack, an unknown memo, no text
        raise machine.damaged() from error


class _Machine:
    def __init__(self, data: memoryview, table: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any]):
        self.data, self.table, self.persistent = data, table, persistent
        self.at = 0
        self.work = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)) != b".":
            self.spend(1)
            step = _STEPS.get(code)
            if step is None:
                raise self.unknown(code)
            step(self)
        if len(self.stack) != 1:
            raise self.damaged()
        return self.stack.pop()

    def unknown(self, code: bytes) -> Refused:
        return Refused(
            f"has the pickle opcode {_NAMES.get(code, f'0x{code.hex()}')} at byte {self.at - 1}, which no state dict "
            "needs, and nothing of it was run",
            SAVE_AGAIN,
        )

    def damaged(self) -> Refused:
        return Refused(f"has a pickle that ends early or is damaged (at byte {self.at})")

    def spend(self, work: int) -> None:
        self.work += work
        if self.work > _MOST_WORK:
            raise Refused(f"has a pickle of more than {_MOST_WORK} steps, as only a bomb has", SAVE_AGAIN)

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise self.damaged()
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        start = self.at
        while self.take(1) != b"\n":
            if self.at - start > 1024:
                raise self.damaged()
        return str(bytes(self.data[start : self.at - 1]), "utf-8")

    def integer(self, length: int) -> None:
        if length > _LONGEST_INT:
            raise Refused(f"has an integer of {length} bytes", SAVE_AGAIN)
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def text(self, length: int) -> None:
        self.stack.append(str(self.take(length), "utf-8"))

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def tuple_of(self, n: int) -> None:
        if len(self.stack) < n:
            raise self.damaged()
        self.stack[len(self.stack) - n :] = [tuple(self.stack[len(self.stack) - n :])]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise self.damaged()
        target.extend(items)

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is Aside:
            return
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise self.damaged()
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def look_up(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise self.damaged()
        if (module, name) not in self.table:
            raise asks_for(f"{printable(module)}.{printable(name)}")
        self.stack.append(self.table[module, name])

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.look_up(module, name)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is Aside:
            self.stack.append(function)
            return
        if type(function) is not Function or type(arguments) is not tuple:
            raise Refused("calls what is no function of a state dict, and nothing of it was run", SAVE_AGAIN)
        # OrderedDict([...]) copies what it is given, as often as it is called.
        self.spend(sum(len(argument) for argument in arguments if isinstance(argument, (list, tuple, dict))))
        self.stack.append(function.call(arguments))

    def new(self) -> None:
        self.stack.pop()  # what it is made of
        if type(self.stack[-1]) is not Aside:
            raise self.unknown(b"\x81")

    def build(self) -> None:
        self.stack.pop()  # attributes of the dict: the versions of torch's modules
        if type(self.stack[-1]) not in (OrderedDict, Aside):
            raise Refused("sets the attributes of an object, and nothing of it was run", SAVE_AGAIN)


def asks_for(what: str) -> Refused:
    """The sentence of a file with something else than weights."""
    return Refused(f"asks for {what}, which no state dict needs, and nothing of it was run", SAVE_AGAIN)


def checked_key(key: Any) -> str | int:
    """A key of a dict, if it is one that costs nothing to compare.

    Raises:
        Refused: It is neither text nor an integer of 64 bits: a tuple may take forever to hash.
    """
    if type(key) is str or (type(key) is int and key.bit_length() < 64):
        return key
    raise Refused(f"has a dict with a {type(key).__name__} as key", SAVE_AGAIN)


_STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"K": lambda m: m.stack.append(m.number("<B")),
    b"M": lambda m: m.stack.append(m.number("<H")),
    b"J": lambda m: m.stack.append(m.number("<i")),
    b"\x8a": lambda m: m.integer(m.number("<B")),
    b"\x8b": lambda m: m.integer(m.number("<I")),
    b"G": lambda m: m.stack.append(m.number(">d")),
    b"U": lambda m: m.text(m.number("<B")),  # Python 2's strings
    b"T": lambda m: m.text(m.number("<I")),
    b"\x8c": lambda m: m.text(m.number("<B")),
    b"X": lambda m: m.text(m.number("<I")),
    b"\x8d": lambda m: m.text(m.number("<Q")),
    b"C": lambda m: m.stack.append(m.take(m.number("<B"))),
    b"B": lambda m: m.stack.append(m.take(m.number("<I"))),
    b"\x8e": lambda m: m.stack.append(m.take(m.number("<Q"))),
    b")": lambda m: m.tuple_of(0),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": lambda m: m.stack.append(tuple(m.since_mark())),
    b"]": lambda m: m.stack.append([]),
    b"l": lambda m: m.stack.append(m.since_mark()),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.stack.append({}),
    b"s": lambda m: m.fill([m.stack.pop(), m.stack.pop()][::-1]),
    b"u": lambda m: m.fill(m.since_mark()),
    b"q": lambda m: m.memo.__setitem__(m.number("<B"), m.stack[-1]),
    b"r": lambda m: m.memo.__setitem__(m.number("<I"), m.stack[-1]),
    b"\x94": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    b"h": lambda m: m.stack.append(m.memo[m.number("<B")]),
    b"j": lambda m: m.stack.append(m.memo[m.number("<I")]),
    b"c": lambda m: m.look_up(m.line(), m.line()),
    b"\x93": lambda m: m.stack_global(),
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
    b"\x81": lambda m: m.new(),
    b"Q": lambda m: m.stack.append(m.persistent(m.stack.pop())),
}
_NAMES = {b"P": "PERSID", b"i": "INST", b"o": "OBJ", b"\x81": "NEWOBJ", b"\x92": "NEWOBJ_EX"}
_NAMES |= {b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER"}
