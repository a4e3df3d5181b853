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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cortune.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = "published"
"""The weights that a network's name states, or its makers' first ones."""
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
        ``bilinear``, ``bicubic`` or another of PIL's.
    input_size : int
        Edge of the square that it sees, pixels.
    resize_size : int
        Edge that pictures are scaled to before they are cropped.
    squash : bool
        Whether both edges are scaled to it, rather than the shorter one.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    input_size: int = 224
    resize_size: int = 256
    squash: bool = False

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Preprocessing:
        """Return what :func:`dataclasses.asdict` made plain, also after JSON."""
        colours = {key: tuple(plain[key]) for key in ("mean", "std")}
        return cls(**{**plain, **colours})

    def at(self, size: int) -> Preprocessing:
        """Return the same for another input size, the crop in proportion."""
        resized = round(self.resize_size * size / self.input_size)
        return replace(self, input_size=size, resize_size=resized)


@dataclass(frozen=True)
class Tokens:
    """How layers of a network are laid out that see places as tokens or channels last.

    Parameters
    ----------
    prefix : int
        Tokens before those of patches: of the class, registers.
    has_class : bool
        Whether the first of them is the class's.
    channels_last : bool
        Whether maps are (n, height, width, channels), as in Swin.
    """

    prefix: int = 0
    has_class: bool = False
    channels_last: bool = False


class BackboneFamily(ABC):
    """Networks of one source."""

    by_prefix = False
    """Whether its networks are only known as ``family/network``."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all networks."""

    def has(self, name: str) -> bool:
        """Return whether there is such a network."""
        return name in self.names()

    @abstractmethod
    def build(self, name: str, **options: Any) -> nn.Module:
        """Build a network with random weights, drawn from torch's current state.

        Parameters
        ----------
        name : str
        **options
            ``num_classes``, the width of its class scores, and what :meth:`options` and
            :meth:`sized` give.
        """

    def readout(self, name: str) -> str:
        """Return what its output is: ``logits``, ``pooled`` features or a ``projection``."""
        return "logits"

    def tokens(self, model: nn.Module) -> Tokens:
        """Return how its layers are laid out."""
        return Tokens()

    def sized(self, name: str, makers: int, size: int) -> dict[str, Any]:
        """Return the options that a network for images of some size is built with.

        Parameters
        ----------
        name : str
        makers : int
            The size that its makers show it.
        size : int
            The size that it is shown.
        """
        return {}

    def options(self, name: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the options that a network with these weights is built with."""
        return {}

    def adapted(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights as they are distributed as this model holds them."""
        return state

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

    def published(self, name: str, weights: str) -> Mapping[str, Tensor] | Path:
        """Return published weights or their file, from a cache or downloaded into it once.

        Raises
        ------
        InputError
            If there are no such weights, or they cannot be had offline.
        """
        self.weights_entry(name, weights)
        raise NotImplementedError

    def lora_targets(
        self, model: nn.Module, called: Collection[str]
    ) -> tuple[list[str], list[str]]:
        """Return what low-rank adapters are put beside.

        Parameters
        ----------
        model : nn.Module
        called : collection of str
            Names of the modules from the first block to the last that a forward pass calls. An
            adapter of any other, such as the output of :class:`torch.nn.MultiheadAttention`,
            whose weights are read past it, would change nothing.

        Returns
        -------
        modules : list of str
            By default linear layers and convolutions that mix all channels.
        parameters : list of str
            By default the fused queries, keys and values of
            :class:`torch.nn.MultiheadAttention`, which no layer holds.
        """
        from torch import nn

        modules, parameters = [], []
        for name in called:
            module = model.get_submodule(name)
            if isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "groups", 1) == 1:
                modules.append(name)
            elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
                parameters.append(f"{name}.in_proj_weight")
        return modules, parameters

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
    plain = [family for family in families().values() if not family.by_prefix]
    if rest and source in families():
        plain, name = [families()[source]], rest
    for family in plain:
        if family.has(name):
            return family, name
    known = [each for family in plain for each in family.names()]
    close = difflib.get_close_matches(name, known, n=3)
    raise InputError(
        "backbone.name",
        repr(name),
        f"a network of {' or '.join(sorted(families()))}",
        f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known[:40])} …",
    )


def not_at_hand(name: str, error: Exception, url: str, where: object) -> InputError:
    """Return the error of published weights that are not cached and cannot be fetched.

    Parameters
    ----------
    name : str
        Of the weights.
    error : Exception
        Why.
    url : str
        The file to fetch elsewhere.
    where : object
        Where the cache would have it.
    """
    return InputError(
        "backbone.weights",
        f"{name}, which cannot be downloaded here ({str(error).strip().splitlines()[0][:160]})",
        f"a connection, or the file in the cache ({where})",
        f"On a machine with a connection, download {url}, and set backbone.weights to the path "
        "of that file.",
    )


def hub_file(repo: str, names: Sequence[str]) -> Path:
    """Return a file of a model hub's repository: the first of some names that it has.

    What the cache has already is taken from there without a request.

    Raises
    ------
    InputError
        If none can be had.
    """
    from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        if isinstance(cached := try_to_load_from_cache(repo, name), str):
            return Path(cached)
    failed: Exception = FileNotFoundError(f"{repo} has none of {', '.join(names)}")
    for name in names:
        try:
            return Path(hf_hub_download(repo, name))
        except LocalEntryNotFoundError as error:
            failed = error
            break
        except EntryNotFoundError as error:
            failed = error
        except Exception as error:  # of the connection: each library in between has its own
            failed = error
            break
    raise not_at_hand(repo, failed, hf_hub_url(repo, names[0]), constants.HF_HUB_CACHE) from failed
