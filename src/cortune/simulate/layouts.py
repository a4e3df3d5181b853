"""The registry of simulated layouts, and writing a whole data set in any of them.

A simulator is a subclass of :class:`Simulator` under ``@simulator(layout)`` in a module of
this package; importing the package registers them all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cortune.artifacts import PathLike
from cortune.data.readers import LAYOUTS
from cortune.errors import InputError
from cortune.simulate.layout import make_layout, roi_sizes

SIMULATORS: dict[str, Simulator] = {}
"""Simulator of every layout that can be simulated, by the layout's name."""

_Class = TypeVar("_Class", bound="type[Simulator]")


def simulator(layout: str) -> Callable[[_Class], _Class]:
    """Register a simulator as that of a layout."""

    def register(kind: _Class) -> _Class:
        SIMULATORS[layout] = kind(layout)
        return kind

    return register


class Simulator(ABC):
    """Writer of a layout.

    Attributes
    ----------
    layout : str
    spec : type
        What describes a data set; the configuration's ``simulate`` block by
        ``spec.from_mapping``.
    shared : tuple of str
        Files and folders that belong to no subject, relative to the root.
    """

    spec: ClassVar[Any]
    shared: ClassVar[tuple[str, ...]] = ()

    def __init__(self, layout: str) -> None:
        self.layout = layout

    def subject(self, number: int) -> str:
        """Return the name of a subject; numbers count from 1."""
        return LAYOUTS[self.layout].subject(number)

    @abstractmethod
    def folders(self, subject: str) -> list[str]:
        """Return the folders that belong to a subject alone, relative to the root."""

    def roi_sizes(self, spec: Any, subject: str, hemisphere: str, **options: Any) -> dict[str, int]:
        """Return the number of vertices of every ROI, before anything is written.

        Parameters
        ----------
        spec : object
            Of the class `spec`.
        subject, hemisphere : str
        **options
            Of the layout's reader, such as ``top_vertices``.
        """
        return roi_sizes(spec, subject, hemisphere)

    def n_vertices(self, spec: Any, subject: str, hemisphere: str) -> int:
        """Return the number of vertices that will have responses."""
        return len(make_layout(spec, hemisphere).vertices)

    @abstractmethod
    def check(self, spec: Any, subject: str, seed: int) -> None:
        """Raise an InputError if the subject cannot be simulated, as far as it can be told."""

    def simulate_shared(self, spec: Any, root: PathLike, seed: int) -> list[Path]:
        """Write what belongs to no subject; return the files and folders."""
        return []

    @abstractmethod
    def simulate_subject(
        self, spec: Any, subject: str, root: PathLike, truth: PathLike, seed: int
    ) -> list[Path]:
        """Write one subject, and into `truth` what is true of it.

        Returns
        -------
        list of Path
            The files and folders written under `root`; other subjects may share some.
        """


def simulate_layout(
    layout: str, out: PathLike, subjects: Sequence[str], spec: Any, seed: int
) -> None:
    """Write a simulated data set, and what is true of it into ``truth`` beside it.

    Parameters
    ----------
    layout : str
        A key of :data:`SIMULATORS`.
    out : path
        Root of the data set.
    subjects : sequence of str
        ``subj01`` and so on, or ``sub01`` for NOD.
    spec : SimulationSpec or NodSpec
        As the layout's simulator takes it.
    seed : int

    Raises
    ------
    InputError
        If the layout and the specification do not belong together, there is no subject or
        one that cannot be simulated, or `out` is a file.
    """
    out, writer = Path(out), SIMULATORS[layout]
    if not isinstance(spec, writer.spec):
        raise InputError(
            "layout", layout, "one that fits the specification", f"Use {writer.spec.__name__}."
        )
    if not subjects:
        raise InputError("subjects", "0 subjects", "at least one", "Raise the number.")
    if out.exists() and not out.is_dir():
        raise InputError(out, "a file", "a folder, or nothing yet", "Choose another folder.")
    for subject in subjects:
        writer.check(spec, subject, seed)
    writer.simulate_shared(spec, out, seed)
    for subject in subjects:
        writer.simulate_subject(spec, subject, out, out.parent / "truth" / subject, seed)
