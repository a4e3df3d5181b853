"""Cortune: fine-tune image models to the visual cortex and measure what they gain.

What is public is imported when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortune.api import Run, features, load, open_run, predict
    from cortune.encoding.estimator import Encoding
    from cortune.export.encoder import Encoder

__version__: str
__all__ = ["Encoder", "Encoding", "Run", "features", "load", "open_run", "predict"]
_HOMES = {"Encoding": "cortune.encoding.estimator", "Encoder": "cortune.export.encoder"}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cortune")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+unknown"


class _Package(ModuleType):
    """The package, whose function `features` is not hidden by its module of that name."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return _version()
        if name in __all__:
            return getattr(import_module(_HOMES.get(name, "cortune.api")), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "features" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *__all__]


sys.modules[__name__].__class__ = _Package
