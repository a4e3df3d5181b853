"""Libraries that only some configurations need."""

from __future__ import annotations

import importlib
from typing import Any

from cortune.errors import ResourceError


def extra(library: str, name: str, key: str) -> Any:
    """Import a library of one of the package's extras.

    Parameters
    ----------
    library : str
        The module.
    name : str
        Of the extra.
    key : str
        Of the configuration, that asks for it.

    Raises
    ------
    ResourceError
        If it cannot be imported, saying how to install it.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ResourceError(
            f"{key}: found no {library} here ({error}), expected it to be installed. Install it "
            f"with pip install 'cortune[{name}]'."
        ) from error
