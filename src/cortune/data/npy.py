"""Reading ``.npy`` files that others wrote: the header first, never a pickle."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cortune.disk import allocate
from cortune.errors import InputError
from cortune.files import regular_file

_Real = TypeVar("_Real", bound=np.floating[Any])

_AGAIN = "Copy or download the file again."


@dataclass(frozen=True)
class Header:
    """What a ``.npy`` file says of its array.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    offset : int
        Bytes before the data.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def n_bytes(self) -> int:
        """Size of the whole file, header included."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_header(path: str | Path) -> Header:
    """Read the header of a ``.npy`` file.

    Raises
    ------
    InputError
        If the file is missing, unreadable or no ``.npy`` file.
    """
    try:
        with regular_file(path).open("rb") as file:
            version = npy_format.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = npy_format.read_array_header_1_0(file)
            else:
                shape, _, dtype = npy_format.read_array_header_2_0(file)
            return Header(tuple(shape), dtype, file.tell())
    except FileNotFoundError:
        raise InputError(path, "no file", "a .npy file", "Check the data set's root.") from None
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError(path, found, "a readable .npy file", "Check its permissions.") from None
    except (ValueError, SyntaxError, TokenError, TypeError, RecursionError, MemoryError):
        raise InputError(path, "no .npy header", "an array saved by NumPy", _AGAIN) from None


def check_header(path: str | Path, *, kind: str, ndim: int, expected: str | None = None) -> Header:
    """Read a header and require an array of numbers that is wholly on disk.

    Parameters
    ----------
    path : path
    kind : {"float32", "integer", "float"}
        Required data type; ``integer`` and ``float`` admit any width.
    ndim : int
        Required number of dimensions, none of them empty.
    expected : str, optional
        How the message describes the array; default from `kind` and `ndim`.

    Raises
    ------
    InputError
        For another type or shape, or a file shorter or longer than its header says.
    """
    header = read_header(path)
    expected = expected or f"{ndim}-d {kind}"
    if header.dtype.hasobject:
        cure = "Pickled arrays are not read; save the numbers themselves."
        raise InputError(path, "a pickled object array", expected, cure)
    if not _is_kind(header.dtype, kind):
        cure = "Convert the array, or copy the file as distributed."
        raise InputError(path, f"numbers of type {header.dtype}", expected, cure)
    if len(header.shape) != ndim or min(header.shape, default=0) < 1:
        raise InputError(path, f"shape {header.shape}", expected, "Copy the file as distributed.")
    size = Path(path).stat().st_size
    if size != header.n_bytes:
        wanted = f"{header.n_bytes} bytes for shape {header.shape}"
        state = "truncated" if size < header.n_bytes else "too long"
        raise InputError(path, f"{size} bytes ({state})", wanted, _AGAIN)
    return header


def _is_kind(dtype: np.dtype[Any], kind: str) -> bool:
    if kind == "integer":
        return dtype.kind in "iu"
    if kind == "float":
        return dtype.kind == "f"
    return dtype == np.dtype(kind)


def load_array(path: str | Path, *, kind: str, ndim: int) -> NDArray[Any]:
    """Load a whole array after :func:`check_header`."""
    check_header(path, kind=kind, ndim=ndim)
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def map_array(path: str | Path, *, kind: str, ndim: int, expected: str) -> NDArray[Any]:
    """Memory-map an array, read only, after :func:`check_header`."""
    check_header(path, kind=kind, ndim=ndim, expected=expected)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def create_array(path: str | Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Create a float32 array of zeros on disk, its space set aside, and memory-map it.

    Raises
    ------
    ResourceError
        If the disk cannot hold it.
    """
    array: NDArray[np.float32] = npy_format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=shape
    )
    with Path(path).open("r+b") as file:
        allocate(file, Path(path).stat().st_size, Path(path))
    return array


def check_finite(path: str | Path, values: NDArray[np.floating[Any]]) -> None:
    """Require finite responses.

    Parameters
    ----------
    path : path
        Where `values`, (n_images, n_vertices), come from.

    Raises
    ------
    InputError
        With the number of vertices that hold NaN or infinity.
    """
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=0)))
    if bad:
        raise InputError(
            path,
            f"NaN or infinity in {bad} of {values.shape[1]} vertices",
            "finite responses",
            "Copy the file again, or remove these vertices from responses and masks.",
        )


def sample_rows(values: NDArray[_Real], n_rows: int) -> NDArray[_Real]:
    """Return a copy of about `n_rows` evenly spaced rows.

    From a memory map only these rows are read: the system's read-ahead, which turns a
    sample into the whole file, is switched off for this map.
    """
    _advise(values, "MADV_RANDOM")
    return values[:: max(1, len(values) // n_rows)].copy()


def release_pages(values: NDArray[Any]) -> None:
    """Let go of what was read through a memory map, which would count as our memory."""
    _advise(values, "MADV_DONTNEED")


def _advise(values: NDArray[Any], advice: str) -> None:
    """Advise the system about a memory map, on systems that take advice."""
    if isinstance(values.base, mmap.mmap) and hasattr(mmap, advice):
        values.base.madvise(getattr(mmap, advice))
