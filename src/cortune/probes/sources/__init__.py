"""Labelled images that probes classify: where they lie, and what is wrong with them.

A source is a class that :func:`probe_source` registers; every module of this package is
imported when a source is first asked for, so that a file added here is all that a new one
takes.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cortune.data.images import read_size, scaled_size
from cortune.errors import InputError

SCENES = "scenes"
_MAX_FILES = 20_000


@dataclass(frozen=True)
class ProbeSpec:
    """Which images a probe classifies.

    Parameters
    ----------
    kind : str
        Name of a source (:func:`sources`).
    root : str
        Folder of the images; unused for ``scenes``.
    split : str
        Part of the data set that is probed, where it has parts: of ``imagenet`` train or
        val, of ``places365`` train-standard, train-challenge or val.
    images_per_class : int
        At most so many of each class, drawn by the seed; 0 for all.
    n_images, n_classes : int
        Of ``scenes``.
    """

    kind: str
    root: str = ""
    split: str = "val"
    images_per_class: int = 0
    n_images: int = 0
    n_classes: int = 0


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Pictures and their classes.

    Parameters
    ----------
    root : Path
    files : tuple of Path
        Below `root`.
    labels : array (n_files,), int64
        Positions in `classes`.
    classes : tuple of str
    lists : tuple of Path
        Files that name the classes or the pictures.
    """

    root: Path
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    lists: tuple[Path, ...] = ()

    def names(self) -> list[str]:
        """Return the files' paths below the root."""
        return [file.relative_to(self.root).as_posix() for file in self.files]


class ProbeSource(ABC):
    """Labelled pictures in one layout."""

    layout = ""
    """What its root holds."""
    get = ""
    """Where to get the images."""

    @abstractmethod
    def listed(self, root: Path, split: str) -> LabelledFiles:
        """List the pictures below an existing root; none is read.

        Raises
        ------
        InputError
            If the data set is not whole below its root.
        """

    def images(self, spec: ProbeSpec) -> LabelledFiles:
        """List the pictures of a probe, as :meth:`listed`, once its root is there."""
        root = Path(spec.root).expanduser()
        if not spec.root or not root.is_dir():
            raise InputError(
                spec.root or "probes", "no folder", f"the root of {spec.kind}", self.get
            )
        return self.listed(root, spec.split)

    def files(self, spec: ProbeSpec) -> list[Path]:
        """Return every raw file that the probe's images are made from."""
        listed = self.images(spec)
        return sorted({*listed.lists, *listed.files})

    def problems(self, spec: ProbeSpec, shorter: int, max_files: int) -> Iterator[InputError]:
        """Yield what is wrong, from names and headers."""
        listed = self.images(spec)
        yield from class_problems(listed)
        step = -(-len(listed.files) // max_files) or 1
        for file in listed.files[::step]:
            try:
                scaled_size(*read_size(file), shorter, file)
            except InputError as error:
                yield error

    def opened(self, dataset: Callable[..., Any], root: Path, **options: Any) -> Any:
        """Open one of torchvision's data sets, with its errors as ours."""
        try:
            return dataset(str(root), **options)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            found = f"no {dataset.__name__} that torchvision can read ({first})"
            raise InputError(root, found, self.layout, self.get) from error


Source = TypeVar("Source", bound=type[ProbeSource])
_SOURCES: dict[str, ProbeSource] = {}


def probe_source(name: str) -> Callable[[Source], Source]:
    """Register a class of labelled pictures under a name."""

    def register(source: Source) -> Source:
        _SOURCES[name] = source()
        return source

    return register


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)


def sources() -> dict[str, ProbeSource]:
    """Return the registered sources by name."""
    _discover()
    return _SOURCES


def find_source(kind: str) -> ProbeSource:
    """Return the source of a kind.

    Raises
    ------
    InputError
        If there is none.
    """
    if kind not in sources():
        known = ", ".join(sorted(sources()))
        raise InputError("probes", f"kind {kind!r}", f"one of {known}", "Correct the probe's kind.")
    return sources()[kind]


def list_images(spec: ProbeSpec) -> LabelledFiles:
    """List the pictures of a probe; none is read.

    Raises
    ------
    InputError
        If the kind is unknown, or the data set is not whole below its root; the message
        says where to get it.
    """
    return find_source(spec.kind).images(spec)


def source_files(spec: ProbeSpec) -> list[Path]:
    """Return every raw file that a probe's images are made from.

    Pictures, lists of classes and of pictures, sorted; none for simulated scenes. Their
    names and content decide the probe's images, together with the spec.

    Raises
    ------
    InputError
        As for :func:`list_images`.
    """
    return find_source(spec.kind).files(spec)


def probe_problems(
    spec: ProbeSpec, shorter: int = 256, *, max_files: int = _MAX_FILES
) -> list[str]:
    """Return everything wrong with a probe's images, from names and headers.

    Parameters
    ----------
    spec : ProbeSpec
    shorter : int
        Edge that pictures will be scaled to, pixels.
    max_files : int
        Of more pictures than this, so many, evenly spaced, have their headers read; what
        the sample misses is found when the probe is prepared.

    Returns
    -------
    list of str
        One message per problem; empty if the probe is fine.
    """
    try:
        return [str(error) for error in find_source(spec.kind).problems(spec, shorter, max_files)]
    except InputError as error:
        return [str(error)]


def class_problems(listed: LabelledFiles) -> Iterator[InputError]:
    """Yield what makes classes unusable: too few of them or of their images, equal names."""
    counts = np.bincount(listed.labels, minlength=len(listed.classes))
    if len(listed.classes) < 2:
        found = f"{len(listed.classes)} classes"
        cure = "Point the probe's root at the folder that holds the class folders."
        yield InputError(listed.root, found, "a folder for each of at least two classes", cure)
    for few, what in ((0, "no picture"), (1, "one picture")):
        names = [name for name, n in zip(listed.classes, counts, strict=True) if n == few]
        if names:
            yield InputError(
                listed.root,
                f"{what} of class {_some(names)}",
                "at least two of each, one to train and one to test on",
                "Add pictures, or remove the class.",
            )
    same = defaultdict(list)
    for name in listed.classes:
        same[name.casefold()].append(name)
    for names in same.values():
        if len(names) > 1:
            yield InputError(
                listed.root,
                f"classes {_some(names)}",
                "names that differ by more than upper and lower case",
                "Merge or rename them.",
            )


def _some(names: Sequence[str], n: int = 5) -> str:
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(map(repr, names[:n])) + more


def labelled(
    root: Path,
    pairs: Sequence[tuple[Any, int]],
    classes: Sequence[str],
    lists: Sequence[Path] = (),
) -> LabelledFiles:
    """Return pictures from pairs of file and class."""
    files = tuple(Path(file) for file, _ in pairs)
    labels = np.array([label for _, label in pairs], np.int64)
    return LabelledFiles(root, files, labels, tuple(classes), tuple(lists))
