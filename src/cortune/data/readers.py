"""What every layout's reader offers, and the registry of layouts.

A layout is a subclass of :class:`Reader` under ``@layout(name)`` in a module of this
package; importing the package registers them all.
"""

from __future__ import annotations

import os
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cortune.data.algonauts_files import read_coco_ids
from cortune.data.images import same_pictures
from cortune.data.problems import Problems, count, nearest, some
from cortune.data.records import Halves, Images, Responses
from cortune.data.rois import WHOLE, select_rois
from cortune.errors import InputError

PHOTOGRAPHS = "photographs.csv"
_ABOVE = 4
"""Folders above a root in which a data set is looked for."""
LAYOUTS: dict[str, type[Reader]] = {}
"""Reader of every layout, by the layout's name."""

_Class = TypeVar("_Class", bound="type[Reader]")


def layout(name: str) -> Callable[[_Class], _Class]:
    """Register a reader as that of a layout."""

    def register(reader: _Class) -> _Class:
        LAYOUTS[name] = reader
        return reader

    return register


def open_dataset(layout: str, root: str | Path, **options: Any) -> Reader:
    """Return the reader of a data set; nothing is read yet.

    Parameters
    ----------
    layout : str
        A key of :data:`LAYOUTS`.
    root : path
        Folder of the data set.
    **options
        The reader's :attr:`Reader.options`, such as ``stim_info``.

    Raises
    ------
    InputError
        If the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise InputError(
            "layout",
            repr(layout),
            f"one of {', '.join(LAYOUTS)}",
            "Change the data set's layout in the configuration.",
        )
    return LAYOUTS[layout](Path(root), **options)


@dataclass(frozen=True)
class Reader(ABC):
    """Reader of a data set.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    stim_info : path, optional
        ``nsd_stim_info_merged.csv``, which gives the COCO id of every NSD id.
    whole : bool
        Whether :meth:`responses` has every vertex, not only those of ROIs.

    Attributes
    ----------
    options : tuple of str
        The keys of a data set's configuration that the reader takes.
    example : str
        A subject's name; others differ by the number at its end.
    keeps_repeats : bool
        Whether responses to single repeats of an image are there (:meth:`halves`).
    fetched : str
        What ``cortune fetch`` calls the data set; empty where it knows none.
    """

    options: ClassVar[tuple[str, ...]] = ("stim_info",)
    example: ClassVar[str] = "subj01"
    keeps_repeats: ClassVar[bool] = False
    fetched: ClassVar[str] = ""

    root: Path
    stim_info: str | Path | None = None
    whole: bool = field(default=False, kw_only=True)

    def n_vertices(self, subject: str, hemisphere: str) -> int:
        """Return the number of vertices with responses, or the most that there can be."""
        return len(replace(self, whole=True).responses(subject, hemisphere).vertices)

    @abstractmethod
    def roi_sizes(self, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of each ROI, empty ones included.

        Reads masks only and is fast: the job graph is built from it.
        """

    @abstractmethod
    def images(self, subject: str) -> Images:
        """Return the images of a subject in the order of the response rows."""

    @abstractmethod
    def responses(self, subject: str, hemisphere: str) -> Responses:
        """Return the responses of one hemisphere, memory-mapped where possible."""

    def halves(self, subject: str, hemisphere: str, wanted: Container[str]) -> Halves:
        """Return responses to odd and to even repeats apart, of a layout that keeps repeats.

        Parameters
        ----------
        subject : str
        hemisphere : {"lh", "rh"}
        wanted : container of str
            Identities of the images to return; those shown once are left out.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no repeats")

    def has_ids(self, subject: str) -> bool:
        """Return whether the numbers of a subject's pictures are NSD's.

        Those of photographs that responses were simulated to are not.
        """
        return not self._photographs(subject).exists()

    def _photographs(self, subject: str) -> Path:
        """Return where the simulator lists a user's photographs, if these were shown."""
        return self._home(subject) / PHOTOGRAPHS

    def same(self) -> dict[str, str]:
        """Return the names that the whole stimulus set has twice, with what stands for both.

        Empty where the stimuli of all subjects do not lie in one place.
        """
        return {}

    def twins(self, subjects: Sequence[str]) -> list[list[str]]:
        """Return the names under which subjects have the same picture, a list for each.

        As far as that is found in seconds (:func:`cortune.data.images.same_pictures`).
        """
        images = [self.images(subject) for subject in subjects]
        named = {
            name: file
            for each in images
            for name, file in zip(each.identities, each.files, strict=True)
            if isinstance(file, Path)
        }
        names = {file: name for name, file in named.items()}
        return [[names[file] for file in group] for group in same_pictures([*names])]

    def listing(self, subject: str) -> list[str]:
        """Return the names of files that tell which images the subject saw, in order.

        Relative to the root; none where the content of :meth:`sources` tells it.
        """
        return []

    @abstractmethod
    def _home(self, subject: str) -> Path:
        """Return the folder by which a subject is known to be there."""

    @property
    def _folders(self) -> str:
        """The folders that subjects have, for a message."""
        return self.name_of(self._home(self.example))

    @abstractmethod
    def _files(self, subject: str, hemisphere: str | None) -> Iterable[Path]:
        """Return what :meth:`sources` may return, whether it exists or not."""

    @abstractmethod
    def _inspect(self, subject: str, rois: str | Sequence[str], log: Problems) -> Iterable[str]:
        """Log every problem of a subject and return the ROI names it knows."""

    def _inspect_shared(self, log: Problems) -> None:
        """Log every problem of what belongs to no subject."""
        log.attempt(lambda: self._coco_ids)

    @classmethod
    def subject(cls, number: int) -> str:
        """Return the name of a subject; numbers count from 1."""
        return f"{cls.example[:-2]}{number:02d}"

    def subjects(self, wanted: str | Sequence[str] = "all") -> list[str]:
        """Return the subjects on disk, sorted.

        Parameters
        ----------
        wanted : "all" or sequence of str
            Subjects that the message names where there is none.

        Raises
        ------
        InputError
            If there is none.
        """
        if present := self._present():
            return present
        found = "no subject" if self.root.is_dir() else "no folder"
        if self.root.exists() and not self.root.is_dir():
            found = "a file"
        cure = "Set the data set's root to the folder that holds them"
        parents = list(self.root.parents)[:_ABOVE]
        meant = next((up for up in parents if replace(self, root=up)._present()), None)
        if meant is not None:
            cure = f"Did you mean {meant}?"
        elif self.fetched:
            named = [wanted] if isinstance(wanted, str) else wanted
            cure += f", or download it: {self._fetch_command(named)}"
        else:
            cure += "."
        raise InputError(self.root, found, f"folders {self._folders}", cure)

    def _present(self) -> list[str]:
        """Return the subjects on disk, sorted, or none."""
        names = map(self.subject, range(1, 1000))
        return [name for name in names if self._home(name).is_dir()]

    def _fetch_command(self, subjects: Sequence[str]) -> str:
        """Return the command that downloads subjects, or `all`, to the root."""
        out = shlex.quote(str(self.root))
        return f"cortune fetch {self.fetched} --subjects {' '.join(subjects)} --out {out}"

    def require(self, wanted: Sequence[str]) -> list[str]:
        """Return the subjects that are wanted, all of which must be on disk.

        Raises
        ------
        InputError
            If there is no data set, or one of them is not in it.
        """
        present = self.subjects(wanted)
        for name in wanted:
            if name not in present:
                raise self._unknown("subject", name, present)
        return list(wanted)

    def usable(self) -> list[str]:
        """Return the subjects that `subjects: all` stands for."""
        return self.subjects()

    def sources(self, subject: str, hemisphere: str | None = None) -> list[Path]:
        """Return the files that make what is prepared of a subject, each once.

        Parameters
        ----------
        subject : str
        hemisphere : {"lh", "rh"}, optional
            With one, the files that :meth:`responses` and :meth:`roi_sizes` read;
            otherwise those that :meth:`images` reads, and the pictures.

        Returns
        -------
        list of Path
            Under the root as far as they lie there, links not resolved; files that do not
            exist are left out. No large file is read for it.
        """
        files = [*self._files(subject, hemisphere), self._photographs(subject)]
        return [path for path in dict.fromkeys(files) if path.is_file()]

    def facts(self, subject: str) -> dict[str, str]:
        """Return what there is of a subject, for people; headers and masks are read."""
        return {"images": str(len(self.images(subject)))}

    def name_of(self, path: Path) -> str:
        """Name a file by its place in the data set, not on this machine."""
        # As text: planning names every picture, and paths take ten times as long.
        name, root = str(path), f"{self.root}{os.sep}"
        return name[len(root) :] if name.startswith(root) else path.name

    def problems(self, subjects: str | Sequence[str], rois: str | Sequence[str]) -> list[str]:
        """Return everything wrong with the data set, in seconds.

        Every header, table, label and name is read; of responses and pictures, samples.
        What these miss is found when the data are prepared.

        Parameters
        ----------
        subjects : "all" or sequence of str
        rois : "all", "early", "higher" or sequence of str

        Returns
        -------
        list of str
            One message per problem; empty if the data set is fine.
        """
        log = Problems()
        present = log.attempt(self.subjects, subjects)
        if present is None:
            return log.messages
        self._inspect_shared(log)
        known: set[str] = set()
        chosen = log.attempt(self.usable) if isinstance(subjects, str) else subjects
        for subject in chosen or ():
            if subject in present:
                known |= set(self._inspect(subject, rois, log))
            else:
                log.add(self._unknown("subject", subject, present))
        for roi in select_rois(rois, known):
            if known and roi not in {*known, WHOLE}:
                log.add(self._unknown("ROI", roi, sorted(known)))
        return log.messages

    def _unknown(self, what: str, name: str, known: Sequence[str]) -> InputError:
        cure = f"Change the data set's {what.lower()}s in the configuration."
        expected = f"one of {some(known, 40)}"
        return InputError(self.root, f"no {what} {name!r}", expected, nearest(name, known) or cure)

    def _number(self, subject: str) -> int:
        """Return the number at the end of a subject's name, which must be like the example."""
        if not re.fullmatch(self.example.replace("01", "([0-9]{2}|[1-9][0-9]{2})"), subject):
            raise InputError(
                self.root,
                f"the subject name {subject!r}",
                f"a name like {self.example}",
                "Change the data set's subjects in the configuration.",
            )
        return int(subject.removeprefix(self.example[:-2]))

    # Identities of images that are NSD's.

    @property
    def _table(self) -> Path | None:
        """The table of COCO ids, if there is one."""
        return None if self.stim_info is None else Path(self.stim_info)

    @cached_property
    def _coco_ids(self) -> dict[int, int]:
        return {} if self._table is None else read_coco_ids(self._table)

    def identities(self, nsd_ids: Sequence[int]) -> tuple[str, ...]:
        """Return the names of NSD ids: COCO ids where the table is given, which must have all."""
        if self._table is None:
            return tuple(f"nsd:{nsd_id:05d}" for nsd_id in nsd_ids)
        coco = self._coco_ids
        if missing := [nsd_id for nsd_id in nsd_ids if nsd_id not in coco]:
            raise InputError(
                self._table,
                f"no row for {count(missing, 'NSD id')}: {some(missing)}",
                "a row for every picture of the data set",
                "Give the whole nsd_stim_info_merged.csv of NSD.",
            )
        return tuple(f"coco:{coco[nsd_id]}" for nsd_id in nsd_ids)
