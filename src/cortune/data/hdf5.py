"""Reading HDF5 arrays that others wrote: header first, errors by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cortune.artifacts import unreadable_hdf5
from cortune.data.problems import AGAIN, CHECK_ROOT, reason
from cortune.errors import InputError
from cortune.files import regular_file

if TYPE_CHECKING:
    import h5py


@contextmanager
def hdf5_array(path: str | Path, name: str, *, kind: str, ndim: int) -> Iterator[h5py.Dataset]:
    """Open an array of an HDF5 file after a look at its type and dimensions.

    Parameters
    ----------
    path : path
    name : str
        The data set inside the file.
    kind : str
        Required data type, such as ``int16``.
    ndim : int
        Required number of dimensions, none of them empty.

    Raises
    ------
    InputError
        If the file is missing, truncated or no HDF5 file, the array is another, or what is
        read of it turns out to be damaged.
    """
    import h5py

    expected = f"a {ndim}-d {kind} array {name!r}"
    try:
        file = h5py.File(regular_file(path), "r")
    except FileNotFoundError as error:
        raise InputError(path, reason(error), "an HDF5 file", CHECK_ROOT) from None
    except OSError as error:
        raise unreadable_hdf5(path, error, f"an HDF5 file with {expected}", AGAIN) from None
    with file:
        array = file.get(name)
        if not isinstance(array, h5py.Dataset):
            raise InputError(path, f"no array {name!r}", expected, AGAIN)
        if array.dtype.newbyteorder("=") != kind:
            raise InputError(path, f"numbers of type {array.dtype}", expected, AGAIN)
        if array.ndim != ndim or 0 in array.shape:
            raise InputError(path, f"shape {array.shape}", expected, AGAIN)
        try:
            yield array
        except OSError as error:
            if "read data" not in str(error):
                raise
            raise InputError(path, f"{name!r} unreadable ({error})", expected, AGAIN) from None
