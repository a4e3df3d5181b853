"""Cortune: fine-tune image models to the visual cortex and measure what they gain.

What is public is imported when it is first used.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortune.api import Run, features, load, open_run, predict
    from cortune.encoding.estimator import Encoding
    from cortune.export.encoder import Encoder

try:
    __version__ = version("cortune")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["Encoder", "Encoding", "Run", "features", "load", "open_run", "predict"]
_HOMES = {"Encoding": "cortune.encoding.estimator", "Encoder": "cortune.export.encoder"}


class _Package(ModuleType):
    """The package, whose function `features` is not hidden by its module of that name."""

    def __getattr__(self, name: str) -> Any:
        if name in __all__:
            return getattr(import_module(_HOMES.get(name, "cortune.api")), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "features" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *__all__]


sys.modules[__name__].__class__ = _Package
