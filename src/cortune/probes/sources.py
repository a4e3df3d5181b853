"""Labelled images that probes classify: where they lie, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortune.data.images import MAX_PIXELS, read_size
from cortune.errors import InputError

SCENES = "scenes"
_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
)
_MAX_FILES = 20_000


@dataclass(frozen=True)
class ProbeSpec:
    """Which images a probe classifies.

    Parameters
    ----------
    kind : str
        A key of :data:`KINDS`, or ``scenes``: the simulator's labelled scenes.
    root : str
        Folder of the images; unused for ``scenes``.
    split : str
        Split of ``imagenet`` (train, val) or ``places365`` (train-standard,
        train-challenge, val) that is probed.
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
    """

    root: Path
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def names(self) -> list[str]:
        """Return the files' paths below the root."""
        return [file.relative_to(self.root).as_posix() for file in self.files]


def list_images(spec: ProbeSpec) -> LabelledFiles:
    """List the pictures of a probe; none is read.

    Raises
    ------
    InputError
        If the kind is unknown, or the data set is not whole below its root; the message
        says where to get it.
    """
    if spec.kind not in KINDS:
        raise InputError(
            "probes",
            f"kind {spec.kind!r}",
            f"one of {', '.join([*KINDS, SCENES])}",
            "Correct the probe's kind.",
        )
    root = Path(spec.root).expanduser()
    if not spec.root or not root.is_dir():
        raise InputError(
            spec.root or "probes", "no folder", f"the root of {spec.kind}", _GET[spec.kind]
        )
    return KINDS[spec.kind](root, spec.split)


def probe_problems(spec: ProbeSpec, size: int = 224, *, max_files: int = _MAX_FILES) -> list[str]:
    """Return everything wrong with a probe's images, from names and headers.

    Parameters
    ----------
    spec : ProbeSpec
    size : int
        Edge that pictures will be cropped to, pixels.
    max_files : int
        Of more pictures than this, so many, evenly spaced, have their headers read; what
        the sample misses is found when the probe is prepared.

    Returns
    -------
    list of str
        One message per problem; empty if the probe is fine.
    """
    if spec.kind == SCENES:
        enough = spec.n_images >= 2 * spec.n_classes and spec.n_classes >= 2
        return [] if enough else [str(_few_scenes(spec))]
    try:
        listed = list_images(spec)
    except InputError as error:
        return [str(error)]
    problems = [str(error) for error in class_problems(listed)]
    step = -(-len(listed.files) // max_files) or 1
    for file in listed.files[::step]:
        try:
            scaled_size(*read_size(file), size, file)
        except InputError as error:
            problems.append(str(error))
    return problems


def scaled_size(width: int, height: int, size: int, where: object) -> tuple[int, int]:
    """Return width and height with the shorter side at `size`·256/224.

    Parameters
    ----------
    width, height : int
    size : int
        Edge of the square that is to be cropped.
    where : object
        File of the picture, for the message.

    Raises
    ------
    InputError
        If the picture is so narrow that it would become too large.
    """
    target = round(size * 256 / 224)
    longer = int(target * max(width, height) / min(width, height))
    if longer * target > MAX_PIXELS:
        raise InputError(
            where,
            f"{width} x {height} pixels, {target} x {longer} when scaled",
            f"a picture of at most {MAX_PIXELS} pixels",
            "Remove it, or cut it to what it shows.",
        )
    return (target, longer) if width <= height else (longer, target)


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


def _few_scenes(spec: ProbeSpec) -> InputError:
    return InputError(
        "probes",
        f"n_images: {spec.n_images} scenes of n_classes: {spec.n_classes}",
        "at least two classes and two scenes of each",
        "Raise n_images or n_classes.",
    )


def _some(names: Sequence[str], n: int = 5) -> str:
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(map(repr, names[:n])) + more


def _image_folder(root: Path, split: str) -> LabelledFiles:
    """List ``<root>/<class>/<picture>``; other files and hidden ones do not count."""
    for entry in root.iterdir():
        if entry.is_symlink() and not _leads_somewhere(entry):
            raise InputError(
                entry, "a link that leads nowhere", "a folder of one class", "Remove the link."
            )
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        pictures = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        )
        files += pictures
        labels += [label] * len(pictures)
    classes = tuple(folder.name for folder in folders)
    return LabelledFiles(root, tuple(files), np.array(labels, np.int64), classes)


def _leads_somewhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError:
        return False
    return True


def _imagenet(root: Path, split: str) -> LabelledFiles:
    # Without these torchvision would unpack archives, and write a pickle, into the root.
    for needed in (root / "meta.bin", root / split):
        if not needed.exists():
            raise InputError(
                needed, "nothing", "ImageNet as torchvision lays it out", _GET[IMAGENET]
            )
    from torchvision.datasets import ImageNet

    data = _open(ImageNet, IMAGENET, root, split=split)
    classes = [f"{wnid} {words[0]}" for wnid, words in zip(data.wnids, data.classes, strict=True)]
    return _listed(root, data.samples, classes)


def _places365(root: Path, split: str) -> LabelledFiles:
    from torchvision.datasets import Places365

    large = "val_large" if split == "val" else f"data_large_{split.removeprefix('train-')}"
    small = not (root / large).is_dir()
    data = _open(Places365, PLACES, root, split=split, small=small, download=False)
    if not Path(data.images_dir).is_dir():
        raise InputError(data.images_dir, "no folder", "the pictures of the split", _GET[PLACES])
    return _listed(root, data.imgs, data.classes)


def _sun397(root: Path, split: str) -> LabelledFiles:
    from torchvision.datasets import SUN397

    data = _open(SUN397, SUN, root, download=False)
    pairs = sorted(zip(data._image_files, data._labels, strict=True))
    return _listed(root, pairs, data.classes)


def _open(dataset: Callable[..., Any], kind: str, root: Path, **options: Any) -> Any:
    try:
        return dataset(str(root), **options)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            root, f"no {kind} that torchvision can read ({first})", _LAYOUT[kind], _GET[kind]
        ) from error


def _listed(root: Path, pairs: Sequence[tuple[Any, int]], classes: Sequence[str]) -> LabelledFiles:
    files = tuple(Path(file) for file, _ in pairs)
    labels = np.array([label for _, label in pairs], np.int64)
    return LabelledFiles(root, files, labels, tuple(classes))


IMAGE_FOLDER, IMAGENET, PLACES, SUN = "image_folder", "imagenet", "places365", "sun397"
KINDS: dict[str, Callable[[Path, str], LabelledFiles]] = {
    IMAGE_FOLDER: _image_folder,
    IMAGENET: _imagenet,
    PLACES: _places365,
    SUN: _sun397,
}
_LAYOUT = {
    IMAGENET: "meta.bin and <split>/<wnid>/*.JPEG",
    PLACES: "categories_places365.txt, places365_<split>.txt and the folder of pictures",
    SUN: "SUN397/ClassName.txt and SUN397/<letter>/<class>/sun_*.jpg",
}
_GET = {
    IMAGE_FOLDER: "Set the probe's root to a folder of class folders, such as "
    "256_ObjectCategories of Caltech-256 (data.caltech.edu/records/nyy15-4j048).",
    IMAGENET: "Get ILSVRC2012 (devkit and images) from image-net.org/download-images, place the "
    "archives in the root and open them once with torchvision.datasets.ImageNet(root, split), "
    "or use kind: image_folder on a folder of class folders.",
    PLACES: "Get the file list and images of Places365 from places2.csail.mit.edu/download.html "
    "and unpack both in the root.",
    SUN: "Get SUN397.tar.gz from vision.princeton.edu/projects/2010/SUN and unpack it in the root.",
}
