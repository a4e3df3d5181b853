"""Tuning methods: what is trained on images and responses, and by which loss.

Every module of this package is imported, so a method is added by writing one: a function under
:func:`method`, and its recipe, if it has one of its own. Configuration, versions, figures and
documentation take all they know of methods from :data:`METHODS`. Modules import in their
functions what is heavy, since every job imports them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cortune.address import ALL, Address
from cortune.section import Section

if TYPE_CHECKING:
    from cortune.tuning.task import Task

Build = Callable[..., "Task"]


@dataclass(frozen=True)
class Method:
    """A way to tune networks.

    Parameters
    ----------
    name : str
    about : str
        One sentence: the first line of the function's docstring.
    order : int
        Place among the methods in figures and in the configuration.
    colour : str
        In figures.
    label : str
        In figures.
    recipe : type, optional
        Model of its section of the configuration.
    section : str, optional
        Name of that section.
    pools : {"all", "others"}, optional
        Whether a network is tuned to an ROI of all subjects at once, or of all but the one
        that it is evaluated on.
    joins : tuple of str
        What a network does not tell apart beside subjects: ``roi``, ``hemisphere``.
    largest : bool
        Whether `build` is given ``largest`` too, the voxels of the data set's largest ROI.
    embeds : bool
        Whether the network embeds held-out images and responses, as contrastive ones do.
    build : callable, optional
        ``build(backbone, n_scores, n_voxels, recipe)`` returns the
        :class:`~cortune.tuning.task.Task` for a backbone whose output has `n_scores`
        columns. Of a network of several units, `n_voxels` is a mapping by their names. None
        tunes nothing.
    """

    name: str
    about: str
    order: int
    colour: str
    label: str
    recipe: type[Section] | None = None
    section: str | None = None
    pools: Literal["all", "others"] | None = None
    joins: tuple[str, ...] = ()
    largest: bool = False
    embeds: bool = False
    build: Build | None = None


METHODS: dict[str, Method] = {}
"""All methods by name, in their order."""


def register(new: Method) -> None:
    """Add a method to :data:`METHODS`.

    Raises
    ------
    ValueError
        If there is one of its name, or its section has another recipe.
    """
    if new.name in METHODS:
        raise ValueError(f"there are two tuning methods called {new.name}")
    for other in METHODS.values():
        if new.section and other.section == new.section and other.recipe is not new.recipe:
            raise ValueError(f"{new.name} and {other.name} have two recipes called {new.section}")
    METHODS[new.name] = new
    ordered = sorted(METHODS.values(), key=lambda each: (each.order, each.name))
    METHODS.clear()
    METHODS.update((each.name, each) for each in ordered)


def method(
    name: str,
    *,
    about: str | None = None,
    recipe: type[Section],
    order: int,
    colour: str,
    label: str | None = None,
    section: str | None = None,
    pools: Literal["all", "others"] | None = None,
    joins: tuple[str, ...] = (),
    largest: bool = False,
    embeds: bool = True,
) -> Callable[[Build], Build]:
    """Register the function below as the method `name`; parameters are those of `Method`.

    `section` is `name` by default, and `about` the first line of the docstring; methods may share
    both a section and a function.
    """

    def decorate(build: Build) -> Build:
        register(
            Method(
                name,
                about or (build.__doc__ or "").strip().partition("\n")[0],
                order,
                colour,
                label or name,
                recipe,
                section or name,
                pools,
                joins,
                largest,
                embeds,
                build,
            )
        )
        return build

    return decorate


UNTUNED = "untuned"
EVERY_ROI = ("hemisphere", "roi")
"""What a network of a subject's whole cortex joins."""
register(Method(UNTUNED, "The backbone as it is.", 0, "#7f7f7f", UNTUNED, joins=EVERY_ROI))
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def joined(address: Address) -> Address:
    """Return an address with ``all`` for what its method's networks do not tell apart."""
    return address.but(**dict.fromkeys(METHODS[address.method].joins, ALL))


POOLED = tuple(name for name, each in METHODS.items() if each.pools)
"""Methods that tune a network to several subjects."""
OF_SEVERAL = tuple(name for name, each in METHODS.items() if each.pools or each.joins)
"""Methods that tune a network to several units, and the one that tunes to none."""
(LOSO,) = (name for name, each in METHODS.items() if each.pools == "others")


def recipes() -> dict[str, type[Section]]:
    """Return the recipes by the name of their section, in the order of names."""
    found = METHODS.values()
    named = {each.section: each.recipe for each in found if each.section and each.recipe}
    return dict(sorted(named.items()))
