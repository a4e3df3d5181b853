"""Files of the Algonauts 2023 layout: masks and their names, training pictures, NSD's identities.

The readers of NSD and NOD share what the layouts have in common.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cortune.data.images import read_size
from cortune.data.npy import load_array
from cortune.data.problems import Problems, count, some
from cortune.data.rois import UNKNOWN
from cortune.data.unpickle import load_names
from cortune.errors import InputError
from cortune.files import regular_file

N_FSAVERAGE = 163_842
N_NSD = 73_000

_PICTURE = r"{split}-(?P<counter>[0-9]{{4,5}})_nsd-(?P<nsd>[0-9]{{5}})\.png"
_KINDS = {"train": "training", "test": "test"}
# ROI names become folder names.
_ROI_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
AS_DISTRIBUTED = "Copy the file as distributed by the challenge."
# How many pictures of a data set are opened, and how many unreadable ones reported.
_SAMPLED_PICTURES = 2000
_SHOWN_PICTURES = 5


class Picture(NamedTuple):
    """A picture of the challenge, as its name says."""

    counter: int
    nsd_id: int
    path: Path


def load_mask(path: str | Path) -> NDArray[np.int64]:
    """Load a mask: one integer label per vertex.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not a 1-d array of integers.
    """
    return load_array(path, kind="integer", ndim=1).astype(np.int64, copy=False)


def load_mapping(path: str | Path) -> dict[int, str]:
    """Load the ROI name of each label of a mask family, 'Unknown' (0) included.

    The file is a pickle; it is read without running it (:mod:`cortune.data.unpickle`).
    Spaces around names are dropped.

    Raises
    ------
    InputError
        If the file holds anything but names by number, a name twice, a name that cannot
        be a folder's, or another name than 'Unknown' for 0.
    """
    names = {label: name.strip() for label, name in load_names(path).items()}
    check_names(path, names)
    return names


def check_names(path: str | Path, names: Mapping[int, str]) -> None:
    """Require names by label that can be folders' names, each once; 0 is 'Unknown'.

    Raises
    ------
    InputError
        Naming the first that does not fit.
    """
    cure = "Download the file again."
    if names.get(0, UNKNOWN) != UNKNOWN:
        raise InputError(
            path, f"the ROI {names[0]!r} for label 0", f"{UNKNOWN!r} for label 0", cure
        )
    for name, times in Counter(names.values()).items():
        if times > 1:
            raise InputError(path, f"the ROI {name!r} {times} times", "each name once", cure)
        if not _ROI_NAME.fullmatch(name):
            expected = "ROI names of letters, digits, - and _"
            raise InputError(path, f"the ROI name {name!r}", expected, cure)


def list_pictures(
    folder: str | Path, split: str = "train"
) -> tuple[list[Picture], list[InputError]]:
    """Read the names of a split's pictures.

    Parameters
    ----------
    folder : path
        Holds ``train-0001_nsd-00013.png`` and so on; hidden files are ignored.
    split : {"train", "test"}

    Returns
    -------
    pictures : list of Picture
        By counter, which is the order of the response rows.
    problems : list of InputError
        Malformed names, gaps and duplicates among the counters (from 1), NSD ids that
        are duplicate or not in 0..72999.
    """
    try:
        # By name, which costs less than to make as many paths.
        there = {path.name: path for path in Path(folder).iterdir() if path.name[0] != "."}
    except OSError as error:
        found = "no folder" if isinstance(error, FileNotFoundError) else str(error.strerror)
        cure = f"Copy the {_KINDS[split]} pictures there."
        return [], [InputError(folder, found, f"the folder of {_KINDS[split]} pictures", cure)]
    pattern = re.compile(_PICTURE.format(split=split))
    matches = {name: pattern.fullmatch(name) for name in sorted(there)}
    malformed = [name for name, match in matches.items() if not match]
    pictures = sorted(
        Picture(int(match["counter"]), int(match["nsd"]), there[name])
        for name, match in matches.items()
        if match
    )
    return pictures, [*_name_problems(Path(folder), split, malformed, pictures)]


def _name_problems(
    folder: Path, split: str, malformed: Sequence[str], pictures: Sequence[Picture]
) -> Iterator[InputError]:
    if malformed:
        yield InputError(
            folder,
            f"{count(malformed, 'file')} with other names: {some([*map(repr, malformed)])}",
            f"pictures named like {split}-0001_nsd-00013.png only",
            "Rename or remove them.",
        )
    if not pictures:
        found = f"no {_KINDS[split]} picture"
        yield InputError(folder, found, "one per response row", AS_DISTRIBUTED)
        return
    counters = Counter(picture.counter for picture in pictures)
    expected = f"each number of {split}-NNNN once, from 1 to {len(pictures)}"
    if twice := [counter for counter, count in counters.items() if count > 1]:
        found = f"{count(twice, 'duplicate number')}: {some(twice)}"
        yield InputError(folder, found, expected, "Remove the duplicates.")
    elif gaps := sorted(set(range(1, len(pictures) + 1)) - set(counters)):
        found = f"{count(gaps, 'missing number')}: {some(gaps)}"
        yield InputError(folder, found, expected, "Copy the missing pictures.")
    if outside := [p.path.name for p in pictures if p.nsd_id >= N_NSD]:
        found = f"{count(outside, 'NSD id')} out of range: {some(outside)}"
        yield InputError(folder, found, f"ids from 0 to {N_NSD - 1}", AS_DISTRIBUTED)
    ids = Counter(picture.nsd_id for picture in pictures)
    if twice := sorted(nsd_id for nsd_id, count in ids.items() if count > 1):
        found = f"{count(twice, 'duplicate NSD id')}: {some(twice)}"
        yield InputError(folder, found, "each image once (repeats are averaged)", AS_DISTRIBUTED)


def read_coco_ids(path: str | Path) -> dict[int, int]:
    """Read the COCO id of every NSD id from ``nsd_stim_info_merged.csv``.

    Raises
    ------
    InputError
        If the file is missing or lacks the columns ``nsdId`` and ``cocoId``.
    """
    expected = "a table with integer columns nsdId (from 0) and cocoId"
    cure = "Give nsd_stim_info_merged.csv of NSD, or leave stim_info out."
    try:
        with regular_file(path).open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            return {int(row["nsdId"]): int(row["cocoId"]) for row in table}
    except OSError as error:
        raise InputError(path, error.strerror or "no file", expected, cure) from None
    except KeyError as error:
        raise InputError(path, f"no column {error}", expected, cure) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(path, f"an unreadable row ({error})", expected, cure) from None


def inspect_pictures(paths: Sequence[Path], log: Problems) -> None:
    """Log the first unreadable pictures of an evenly spaced sample, and how many more."""
    step = max(1, -(-len(paths) // _SAMPLED_PICTURES))
    with ThreadPoolExecutor(8) as pool:
        problems = [problem for problem in pool.map(_picture_problem, paths[::step]) if problem]
    for problem in problems[:_SHOWN_PICTURES]:
        log.add(problem)
    if more := problems[_SHOWN_PICTURES:]:
        found = f"{count(more, 'more unreadable picture')}: {some([p.where for p in more])}"
        cure = "Copy or download them again."
        log.add(InputError(paths[0].parent, found, "readable pictures", cure))


def _picture_problem(path: Path) -> InputError | None:
    try:
        read_size(path)
    except InputError as problem:
        return problem
    return None
