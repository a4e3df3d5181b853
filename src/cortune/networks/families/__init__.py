"""Families of backbones: where networks come from, one file each.

A family is a class that :func:`backbone_family` registers; every module of this package is
imported when a family is first asked for, so that a file added here is all that a new one
takes. Modules stay light: torch and its relatives are imported where they are used.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from cortune.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a network's makers show it images.

    Parameters
    ----------
    mean, std : tuple of float
        Of each colour, on the scale from 0 to 1.
    interpolation : str
        ``bilinear`` or ``bicubic``.
    input_size : int
        Edge of the square that it sees, pixels.
    resize_size : int
        Shorter edge that pictures are scaled to before they are cropped.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    input_size: int = 224
    resize_size: int = 256


class BackboneFamily(ABC):
    """Networks of one source."""

    readout = "logits"
    """What their output is: ``logits``, ``pooled`` features or a ``projection``."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all networks."""

    @abstractmethod
    def build(self, name: str, **options: Any) -> nn.Module:
        """Build a network with random weights, drawn from torch's current state.

        Parameters
        ----------
        name : str
        **options
            ``num_classes``, the width of its output, and what :meth:`options` gives.
        """

    def options(self, name: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the options that a network with these weights is built with."""
        return {}

    def key(self, key: str) -> str:
        """Return today's name of a parameter, given one that files of old may have."""
        return key

    def is_auxiliary(self, key: str) -> bool:
        """Return whether a parameter of a file serves training alone."""
        return False

    def weights_entry(self, name: str, weights: str) -> Any:
        """Return the entry of published weights; nothing is downloaded.

        Raises
        ------
        InputError
            If there are no such weights.
        """
        raise InputError(
            "backbone.weights",
            repr(weights),
            f"`pretrain`, `random` or a local file for {name}",
            "No weights of it are published.",
        )

    def published_state(self, name: str, weights: str) -> Mapping[str, Tensor]:
        """Return published weights, downloaded once.

        Raises
        ------
        InputError
            If there are no such weights, or they cannot be had offline.
        """
        self.weights_entry(name, weights)
        raise NotImplementedError

    def preprocessing(self, name: str, weights: str) -> Preprocessing:
        """Return how images are shown to a network with some weights."""
        return Preprocessing()


Family = TypeVar("Family", bound=type[BackboneFamily])
_FAMILIES: dict[str, BackboneFamily] = {}


def backbone_family(name: str) -> Callable[[Family], Family]:
    """Register a class of backbones under a name."""

    def register(family: Family) -> Family:
        _FAMILIES[name] = family()
        return family

    return register


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)


def families() -> dict[str, BackboneFamily]:
    """Return the registered families by name."""
    _discover()
    return _FAMILIES


def find_family(name: str) -> tuple[BackboneFamily, str]:
    """Return the family of a network, and the network's name within it.

    Parameters
    ----------
    name : str
        ``family/network``, or a network's name alone where one family has it.

    Raises
    ------
    InputError
        If no family has such a network, with the nearest names.
    """
    source, _, rest = name.partition("/")
    if rest and source in families():
        if rest in families()[source].names():
            return families()[source], rest
    else:
        for family in families().values():
            if name in family.names():
                return family, name
    known = [each for family in families().values() for each in family.names()]
    close = difflib.get_close_matches(rest or name, known, n=3)
    raise InputError(
        "backbone.name",
        repr(name),
        f"a network of {' or '.join(sorted(families()))}",
        f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}.",
    )
