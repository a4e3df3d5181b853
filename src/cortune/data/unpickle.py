"""A restricted unpickler for the one kind of pickle the data sets hold: names by number.

The ``mapping_*.npy`` files of Algonauts 2023 are dictionaries that NumPy pickled, and a
pickle is a program. The standard unpickler, even with ``find_class`` restricted, still
calls what it admits and lets a file choose how much memory and time it takes. This one
interprets the few instructions such a dictionary needs, on inert stand-ins: no name in
the file is ever imported or called, keys must be integers, and anything else is refused
by name.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cortune.data.npy import read_header
from cortune.errors import InputError

MAX_BYTES = 1 << 20

# NumPy 2 moved numpy.core to numpy._core; files of both generations are around.
_RECONSTRUCT = {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
_SCALAR = {(f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")}
_DTYPE = ("numpy", "dtype")
_ENCODE = ("_codecs", "encode")  # how protocols below 3 spell bytes
_ADMITTED = {*_RECONSTRUCT, *_SCALAR, _DTYPE, _ENCODE, ("numpy", "ndarray")}

_SCALAR_CODE = re.compile(r"[iu][1248]|U[0-9]{1,4}")
_SKIPPED = {"PROTO", "FRAME", "STOP"}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("STRING", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Refused(Exception):
    """What was found in place of something admitted."""


@dataclass(frozen=True)
class _Name:
    module: str
    name: str


@dataclass
class _Dtype:
    code: str
    order: str = "="


@dataclass
class _Array:
    items: list[Any] = field(default_factory=list)


def load_names(path: str | Path) -> dict[int, str]:
    """Read a pickled ``{number: name}`` from a ``.npy`` file without running it.

    Parameters
    ----------
    path : path
        A ``.npy`` file with a 0-d object array, such as ``mapping_streams.npy``.

    Returns
    -------
    dict of int to str
        As stored.

    Raises
    ------
    InputError
        If the file is missing or holds anything but a dictionary of integers and
        strings; the message names what it holds.
    """
    header = read_header(path)
    if not header.dtype.hasobject or header.shape not in ((), (1,)):
        raise _error(path, f"an array of {header.dtype} with shape {header.shape}")
    size = Path(path).stat().st_size
    if size > MAX_BYTES:
        raise _error(path, f"{size} bytes (more than {MAX_BYTES})")
    pickled = Path(path).read_bytes()[header.offset :]
    try:
        array = _interpret(pickled)
    except _Refused as refused:
        raise _error(path, str(refused)) from None
    # The stand-ins cannot run code, so these only mean that the instructions make no sense.
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _error(path, f"a damaged pickle ({error})") from None
    if not (isinstance(array, _Array) and len(array.items) == 1):
        raise _error(path, f"a pickled {_kind(array)}")
    return _names(path, array.items[0])


def _names(path: str | Path, value: Any) -> dict[int, str]:
    if not isinstance(value, dict):
        raise _error(path, f"a pickled {_kind(value)}")
    for number, name in value.items():
        if not isinstance(name, str):
            raise _error(path, f"{_kind(name)} as the name of {number}")
    return value


def _error(path: str | Path, found: str) -> InputError:
    return InputError(
        path,
        found,
        "a dictionary of integers and strings, saved by NumPy, and nothing else",
        "Nothing in it was run; download the file again from the data set's own site.",
    )


def _kind(value: Any) -> str:
    return type(value).__name__.lstrip("_").lower()


def _interpret(pickled: bytes) -> Any:
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(pickled):
        machine.step(opcode.name, argument)
    return machine.stack.pop()


class _Machine:
    """The instructions of a pickled dictionary, without the power to call anything."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one instruction."""
        if opcode in _SKIPPED:
            return
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            self.stack.append(_EMPTY[opcode]())
        elif opcode in _SHORT_TUPLES:
            self.stack.append(tuple(self._pop(_SHORT_TUPLES[opcode])))
        else:
            handler = getattr(self, f"_{opcode.lower()}", None)
            if handler is None:
                raise _Refused(f"the pickle instruction {opcode}")
            handler(argument)

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("nothing left on the stack")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _pop_to_mark(self) -> list[Any]:
        return self._pop(len(self.stack) - self.marks.pop())

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self._put(len(self.memo))

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_to_mark()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._pop_to_mark())

    def _append(self, _: Any) -> None:
        self._extend(self._pop(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _Refused(f"items appended to a {_kind(self.stack[-1])}")
        self.stack[-1].extend(items)

    def _dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self.stack.append({})
        self._update(items)

    def _setitem(self, _: Any) -> None:
        self._update(self._pop(2))

    def _setitems(self, _: Any) -> None:
        self._update(self._pop_to_mark())

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise _Refused(f"items set in a {_kind(target)}")
        for number, value in zip(items[::2], items[1::2], strict=True):
            if type(number) is not int:
                raise _Refused(f"{_kind(number)} as a key")
            if not -(2**63) <= number < 2**63:
                raise _Refused("a key of more than 64 bits")
            target[number] = value

    def _global(self, argument: str) -> None:
        module, name = argument.split(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        self._name(*self._pop(2))

    def _name(self, module: Any, name: Any) -> None:
        if (_text(module), _text(name)) not in _ADMITTED:
            raise _Refused(f"the Python name {module}.{name}")
        self.stack.append(_Name(module, name))

    def _reduce(self, _: Any) -> None:
        function, arguments = self._pop(2)
        key = (function.module, function.name)
        if key in _RECONSTRUCT:
            self.stack.append(_Array())
        elif key == _DTYPE:
            self.stack.append(_Dtype(_text(arguments[0])))
        elif key in _SCALAR:
            self.stack.append(_scalar(*arguments))
        elif key == _ENCODE:
            self.stack.append(arguments[0].encode("latin-1"))
        else:
            raise _Refused(f"a call of {function.module}.{function.name}")

    def _build(self, _: Any) -> None:
        (state,) = self._pop(1)
        target = self.stack[-1]
        if isinstance(target, _Array):
            target.items = list(state[4])
        elif isinstance(target, _Dtype):
            target.order = _text(state[1])
        else:
            raise _Refused(f"a state for a {_kind(target)}")


def _text(value: Any) -> str:
    """Require a string: hashing or printing a nested tuple can take for ever."""
    if not isinstance(value, str):
        raise _Refused(f"{_kind(value)} in place of text")
    return value


def _scalar(dtype: _Dtype, data: bytes | str) -> int | str:
    """Return the value of a pickled NumPy integer or string."""
    if not _SCALAR_CODE.fullmatch(dtype.code):
        raise _Refused(f"a NumPy scalar of type {dtype.code}")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    order = dtype.order if dtype.order in "<>" else "="
    (value,) = np.frombuffer(raw, np.dtype(order + dtype.code))
    item: int | str = value.item()
    return item
