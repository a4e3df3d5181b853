"""Cortune: fine-tune image models to the visual cortex and measure what they gain."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cortune")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"
