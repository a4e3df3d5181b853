"""Reading ``.npy`` files that others wrote: mapped, never unpickled, errors by name."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cortune.data.problems import AGAIN, CHECK_ROOT, reason
from cortune.disk import allocate
from cortune.errors import InputError
from cortune.files import regular_file

_Real = TypeVar("_Real", bound=np.floating[Any])

_KINDS = {"integer": "iu", "float": "f", "number": "iuf"}


class Header(NamedTuple):
    """What a ``.npy`` file says of its array, and where the array begins."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int


def read_header(path: str | Path) -> Header:
    """Have NumPy read the header of a ``.npy`` file.

    Raises
    ------
    InputError
        If the file is missing, unreadable or no ``.npy`` file.
    """
    try:
        with regular_file(path).open("rb") as file:
            old = npy_format.read_magic(file) == (1, 0)
            read = npy_format.read_array_header_1_0 if old else npy_format.read_array_header_2_0
            shape, _, dtype = read(file)
            return Header(tuple(shape), dtype, file.tell())
    except FileNotFoundError as error:
        raise InputError(path, reason(error), "a .npy file", CHECK_ROOT) from None
    except OSError as error:
        found = error.strerror or str(error)
        raise InputError(path, found, "a readable .npy file", "Check its permissions.") from None
    except Exception:  # whatever else NumPy says of it
        raise InputError(path, "no .npy header", "an array saved by NumPy", AGAIN) from None


def map_array(
    path: str | Path, *, kind: str, ndim: int, expected: str | None = None
) -> NDArray[Any]:
    """Memory-map an array of numbers, read only.

    Parameters
    ----------
    path : path
    kind : str
        ``number``, ``integer`` or ``float``, which admit any width and byte order, or the
        name of a data type.
    ndim : int
        Required number of dimensions, none of them empty.
    expected : str, optional
        How the message describes the array; default from `kind` and `ndim`.

    Raises
    ------
    InputError
        As :func:`read_header`; for another type or shape, or a file shorter or longer than
        its header says.
    """
    shape, dtype, offset = read_header(path)
    expected = expected or f"{ndim}-d {kind}"
    if dtype.hasobject:
        cure = "Pickled arrays are not read; save the numbers themselves."
        raise InputError(path, "a pickled object array", expected, cure)
    if not (dtype.kind in _KINDS[kind] if kind in _KINDS else dtype == kind):
        cure = "Convert the array, or copy the file as distributed."
        raise InputError(path, f"numbers of type {dtype}", expected, cure)
    if len(shape) != ndim or min(shape, default=0) < 1:
        raise InputError(path, f"shape {shape}", expected, "Copy the file as distributed.")
    size, n_bytes = Path(path).stat().st_size, offset + math.prod(shape) * dtype.itemsize
    if size != n_bytes:
        state = "truncated" if size < n_bytes else "too long"
        wanted = f"{n_bytes} bytes for shape {shape}"
        raise InputError(path, f"{size} bytes ({state})", wanted, AGAIN)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def load_array(path: str | Path, *, kind: str, ndim: int) -> NDArray[Any]:
    """Load a whole array; as :func:`map_array`."""
    return np.array(map_array(path, kind=kind, ndim=ndim))


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


def check_finite(path: str | Path, values: NDArray[Any]) -> None:
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
