"""The registry of simulated layouts, and writing a whole data set in any of them.

A simulator is a subclass of :class:`Simulator` under ``@simulator(layout)`` in a module of
this package; importing the package registers them all.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cortune.artifacts import PathLike
from cortune.data.readers import LAYOUTS, open_dataset
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
    added_to : tuple of str
        Folders that every subject adds files to, relative to the root.
    signed : str, optional
        The file among `shared` that says in its first bytes that Cortune wrote it.
    """

    spec: ClassVar[Any]
    shared: ClassVar[tuple[str, ...]] = ()
    added_to: ClassVar[tuple[str, ...]] = ()
    signed: ClassVar[str | None] = None

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
        writer.simulate_subject(spec, subject, out, truth_of(out, subject), seed)


def truth_of(root: PathLike, subject: str) -> Path:
    """Return where :func:`simulate_layout` writes what is true of a subject."""
    return Path(root).parent / "truth" / subject


def is_simulated(layout: str, root: PathLike, subject: str) -> bool:
    """Return whether a subject of a data set was written by :func:`simulate_layout`.

    The sign is its truth beside the root. Since data sets side by side have that place in
    common, the truth must also be of the images that the subject saw.

    Parameters
    ----------
    layout : str
    root : path
        Of the data set.
    subject : str
    """
    truth = truth_of(root, subject) / "lh.h5"
    if not truth.is_file():
        return False
    import h5py

    try:
        with h5py.File(truth, "r") as file:
            known = file["images"][:].tolist()
        found = open_dataset(layout, Path(root)).images(subject)
    except (OSError, KeyError, InputError):
        return False
    if known and isinstance(known[0], bytes):
        names = {getattr(source, "name", "") for source in found.files}
        return names == {name.decode().rsplit("/", 1)[-1] for name in known}
    if found.nsd_ids is not None:
        return set(found.nsd_ids) == set(known)
    return len(set(found.identities)) == len(known)


def require_replaceable(layout: str, out: PathLike, subjects: Sequence[str]) -> None:
    """Refuse to simulate where something lies that no simulation wrote.

    Parameters
    ----------
    layout : str
        A key of :data:`SIMULATORS`.
    out : path
        Root of the data set to write.
    subjects : sequence of str

    Raises
    ------
    InputError
        Naming the first file or folder that would be replaced.
    """
    out, writer = Path(out), SIMULATORS[layout]
    expected, cure = "nothing, or what was simulated there before", "Choose another --out."
    common = [out / name for name in (*writer.shared, *writer.added_to)]
    for path in [path for path in common if os.path.lexists(path)]:
        if writer.signed is None or not _written_by_cortune(out / writer.signed):
            raise InputError(path, "a part of a data set that was not simulated", expected, cure)
    for subject in subjects:
        folders = [out / name for name in writer.folders(subject)]
        there = [folder for folder in folders if os.path.lexists(folder)]
        if there and not is_simulated(layout, out, subject):
            found = f"{subject} without its simulated truth ({truth_of(out, subject)})"
            raise InputError(there[0], found, expected, cure)
        truth = truth_of(out, subject)
        if os.path.lexists(truth) and not (truth / "lh.h5").is_file():
            raise InputError(truth, "no truth of a simulation", expected, cure)


def _written_by_cortune(path: Path) -> bool:
    """Return whether the text that a MATLAB file begins with names Cortune."""
    try:
        with path.open("rb") as file:
            return b"by Cortune" in file.read(116)
    except OSError:
        return False
