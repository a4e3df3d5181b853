"""Reading variables of MATLAB files that others wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortune.data.problems import reason
from cortune.errors import InputError
from cortune.files import regular_file

MAX_BYTES = 1 << 24


def load_variables(path: Path, names: Sequence[str], expected: str, cure: str) -> dict[str, Any]:
    """Read the named variables of a MATLAB file of version 7 or older, those that it has.

    Parameters
    ----------
    path : Path
    names : sequence of str
    expected, cure : str
        For the message.

    Raises
    ------
    InputError
        If the file is missing, larger than `MAX_BYTES`, or no MATLAB file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        if (size := regular_file(path).stat().st_size) > MAX_BYTES:
            raise InputError(path, f"{size} bytes", f"{expected} of at most {MAX_BYTES}", cure)
        with path.open("rb") as file:
            return dict(loadmat(file, variable_names=list(names)))
    except FileNotFoundError as error:
        raise InputError(path, reason(error), expected, cure) from None
    except NotImplementedError:
        raise InputError(path, "a MATLAB 7.3 file", expected, "Save it with -v7.") from None
    # NameError: scipy names a variable that it has not set when a file says that data are of
    # a type that it does not know.
    except (
        *(OSError, ValueError, TypeError, LookupError, OverflowError, EOFError, MemoryError),
        *(NameError, MatReadError),
    ) as error:
        raise InputError(path, f"no MATLAB file ({error})", expected, cure) from None
