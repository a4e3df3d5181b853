"""A restricted unpickler for the one kind of pickle the data sets hold: names by number.

The ``mapping_*.npy`` files of Algonauts 2023 are dictionaries that NumPy pickled, and a
pickle is a program. Python's own unpickler runs it here with the few instructions that
such a dictionary needs, and NumPy's constructors are the only names it may ask for; what it
then gets are inert stand-ins, since NumPy's own obey a file that asks for terabytes or for
memory to be taken for objects. Anything else is refused by name. The interpreter is the
one in Python: that in C sets aside whatever a memo index claims.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cortune.data.npy import read_header
from cortune.errors import InputError

MAX_BYTES = 1 << 16  # a hundred times what a mapping takes; bounds time and memory

_ADMITTED = re.compile(
    "PROTO|FRAME|STOP|MARK|MEMOIZE|PUT|GET|(LONG_)?BIN(PUT|GET)|INT|BININT[12]?|LONG[14]?|"
    "STRING|UNICODE|(SHORT_)?BIN(STRING|UNICODE|BYTES)|BIN(UNICODE|BYTES)8|"
    "NONE|NEWTRUE|NEWFALSE|(EMPTY_)?(DICT|LIST|TUPLE)|TUPLE[123]|SETITEMS?|APPENDS?|"
    "(STACK_)?GLOBAL|REDUCE|BUILD"
)
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_SCALAR_CODE = re.compile(r"[iu][1248]|U[0-9]{1,4}")


class _Refused(Exception):
    """What was found in place of something admitted."""


class _Dict(dict[int, str]):
    """A dictionary that looks at keys before they are hashed, which can take for ever."""

    def __setitem__(self, number: Any, name: Any) -> None:
        if type(number) is not int:
            raise _Refused(f"{_kind(number)} as a key")
        if not -(2**63) <= number < 2**63:
            raise _Refused("a key of more than 64 bits")
        if not isinstance(name, str):
            raise _Refused(f"{_kind(name)} as the name of {number}")
        super().__setitem__(number, name)


class _Array:
    """Stands in for an array."""

    def __init__(self, *_: Any) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        self.items = list(state[4])


class _Dtype:
    """Stands in for a data type, of which code and byte order count."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str):  # printing a nested tuple can take for ever
            raise _Refused(f"{_kind(code)} as a data type")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="


def _scalar(dtype: Any, data: Any) -> Any:
    """Return the value of a pickled NumPy integer or string."""
    if not _SCALAR_CODE.fullmatch(dtype.code):
        raise _Refused(f"a NumPy scalar of type {dtype.code}")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    (value,) = np.frombuffer(raw, np.dtype(dtype.order + dtype.code))
    return value.item()


# NumPy 2 moved numpy.core to numpy._core; files of both generations are around. Protocols
# below 3 spell bytes by _codecs.encode.
_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": lambda text, _: text.encode("latin-1"),
}


class _Instructions(dict[int, Callable[..., None]]):
    def __missing__(self, code: int) -> Callable[..., None]:
        raise _Refused(f"the pickle instruction {_NAMES.get(code, code)}")


_Python: Any = pickle._Unpickler


class _Unpickler(_Python):  # type: ignore[misc]
    """Python's unpickler without the power to import, or to call or change what it likes."""

    dispatch = _Instructions(
        {code: run for code, run in _Python.dispatch.items() if _ADMITTED.fullmatch(_NAMES[code])}
    )

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _CONSTRUCTORS:
            raise _Refused(f"the Python name {' '.join(f'{module}.{name}'.split())[:80]}")
        return _CONSTRUCTORS[f"{module}.{name}"]

    def load_empty_dict(self) -> None:
        self.append(_Dict())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_Dict())
        for number, name in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][number] = name

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], _Array | _Dtype):
            raise _Refused(f"a state for a {_kind(self.stack[-2])}")
        super().load_build()

    dispatch[ord("}")] = load_empty_dict
    dispatch[ord("d")] = load_dict
    dispatch[ord("b")] = load_build


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
    shape, dtype, offset = read_header(path)
    if not dtype.hasobject or shape not in ((), (1,)):
        raise _error(path, f"an array of {dtype} with shape {shape}")
    with Path(path).open("rb") as file:
        pickled = file.read(MAX_BYTES + 1)
    if len(pickled) > MAX_BYTES:
        raise _error(path, f"more than {MAX_BYTES} bytes")
    try:
        value = _Unpickler(io.BytesIO(pickled[offset:]), encoding="latin-1").load()
    except _Refused as refused:
        raise _error(path, str(refused)) from None
    except Exception as error:  # of instructions that make no sense
        what = str(error).partition("\n")[0][:80] or type(error).__name__
        raise _error(path, f"a damaged pickle ({what})") from None
    names = value.items[0] if isinstance(value, _Array) and len(value.items) == 1 else value
    if names is value or not isinstance(names, _Dict):
        raise _error(path, f"a pickled {_kind(names)}")
    return dict(names)


def _error(path: str | Path, found: str) -> InputError:
    return InputError(
        path,
        found,
        "a dictionary of integers and strings, saved by NumPy, and nothing else",
        "Nothing in it was run; download the file again from the data set's own site.",
    )


def _kind(value: Any) -> str:
    return type(value).__name__.lstrip("_").lower()
