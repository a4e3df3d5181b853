"""Readers of data sets by the name of their layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from cortune.data.algonauts import AlgonautsReader
from cortune.data.nod import NodReader
from cortune.data.nsd import NsdReader
from cortune.data.records import Images, Responses
from cortune.errors import InputError


class Reader(Protocol):
    """What every layout's reader offers."""

    @property
    def root(self) -> Path:
        """Folder of the data set."""

    def subjects(self) -> list[str]:
        """Return the names of the subjects on disk."""

    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, empty ones included.

        Reads masks only and is fast: the job graph is built from it.
        """

    def images(self, subject: str) -> Images:
        """Return the images of a subject in the order of the response rows."""

    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the responses of one hemisphere, memory-mapped where possible."""

    def raw_files(self, subject: str, hemisphere: str) -> list[Path]:
        """Return the files that :meth:`responses` reads, apart from the pictures' names."""

    def problems(self, subjects: str | Sequence[str], rois: str | Sequence[str]) -> list[str]:
        """Return everything wrong with the data set, from headers and samples.

        Parameters
        ----------
        subjects : "all" or sequence of str
        rois : "all", "early", "higher" or sequence of str
        """


READERS: dict[str, Callable[..., Reader]] = {
    "algonauts2023": AlgonautsReader,
    "nsd": NsdReader,
    "nod": NodReader,
}


def open_dataset(layout: str, root: str | Path, **options: Any) -> Reader:
    """Return the reader of a data set; nothing is read yet.

    Parameters
    ----------
    layout : str
        A key of :data:`READERS`.
    root : path
        Folder of the data set.
    **options
        Options of the layout's reader, such as ``stim_info``.

    Raises
    ------
    InputError
        If the layout is unknown.
    """
    if layout not in READERS:
        raise InputError(
            "layout",
            repr(layout),
            f"one of {', '.join(READERS)}",
            "Change the data set's layout in the configuration.",
        )
    return READERS[layout](Path(root), **options)
