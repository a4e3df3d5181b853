"""What to get of the raw Natural Scenes Dataset, for those who have accepted its terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cortune.data.nsd_tree import DESIGN, SESSIONS, STIM_INFO, STIMULI, SURFACE, NsdTree
from cortune.data.rois import FAMILIES, HEMISPHERES
from cortune.errors import InputError
from cortune.fetch.web import Entry, Item, Web, lacking, url_of

BUCKET = "https://natural-scenes-dataset.s3.amazonaws.com"
TERMS = (
    "The Natural Scenes Dataset is for those who have agreed to its terms and conditions,\n"
    "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions, and have sent its data access\n"
    "agreement (https://naturalscenesdataset.org). Among them: it is used for research and\n"
    "education, it is not passed on, no one in it is to be identified, and publications cite\n"
    "Allen et al. 2022 (Nature Neuroscience)."
)
_N_SUBJECTS = 8


async def items(
    web: Web,
    subjects: str | Sequence[str],
    sessions: int | None,
    *,
    space: str,
    base: str,
) -> list[Item]:
    """List the files of some subjects.

    The reader reads the labels of all families, whichever ROIs are asked for: they are small.

    Parameters
    ----------
    web : Web
    subjects : "all" or sequence of str
        Such as ``subj01``.
    sessions : int, optional
        Number of sessions, from the first; all if None.
    space : {"fsaverage", "func1pt8mm"}
    base : str
        Address of the bucket.

    Raises
    ------
    InputError
        If the bucket lacks what was asked for.
    """
    tree = NsdTree(Path(), space)
    every = [f"subj{number:02d}" for number in range(1, _N_SUBJECTS + 1)]
    chosen = every if isinstance(subjects, str) else list(subjects)
    if odd := [name for name in chosen if name not in every]:
        raise InputError("--subjects", ", ".join(odd), f"some of {', '.join(every)}", "Correct it.")
    paths: dict[Path, tuple[str, bool]] = {
        Path(DESIGN): ("design", True),
        Path(STIM_INFO): ("design", False),
        Path(STIMULI): ("pictures", True),
    }
    listed: dict[str, Entry] = {}
    for path in (DESIGN, STIM_INFO, STIMULI):
        listed |= await web.listing(base, path)
    for subject in chosen:
        folders = {tree.betas_folder(subject), tree.labels_folder(subject)}
        for side in HEMISPHERES:
            if space == SURFACE:
                paths[tree.transform(subject, side)] = ("transforms", False)
            paths[tree.ncsnr(subject, side)] = ("noise ceilings", False)
            for family in FAMILIES:
                paths[tree.labels(subject, side, family)] = ("ROIs", True)
                paths[tree.table(subject, family)] = ("ROIs", False)
        for folder in folders | {path.parent for path in paths if subject in path.parts}:
            listed |= await web.listing(base, f"{folder.as_posix()}/")
        prefix = f"{tree.betas_folder(subject).as_posix()}/"
        numbers = {
            int(match["number"])
            for key in listed
            if key.startswith(prefix)
            and (match := SESSIONS[space].fullmatch(key.removeprefix(prefix)))
        }
        last = sessions or max(numbers, default=1)
        for side in HEMISPHERES:
            for number in range(1, last + 1):
                paths[tree.session(subject, side, number)] = ("betas", True)
    keys = {path.as_posix(): value for path, value in paths.items()}
    if absent := [key for key, (_, needed) in keys.items() if needed and key not in listed]:
        raise lacking(base, absent)
    return [
        Item(kind, key, url_of(base, key)).listed(listed[key])
        for key, (kind, _) in keys.items()
        if key in listed
    ]


def n_sessions(names: Sequence[str] | None) -> int | None:
    """Read the number of sessions from the command line.

    Raises
    ------
    InputError
        If it is not one number.
    """
    if names is None:
        return None
    if len(names) != 1 or not re.fullmatch(r"[1-9][0-9]?", names[0]):
        expected = "one number: so many sessions are taken, from the first"
        raise InputError("--sessions", " ".join(names), expected, "Correct it.")
    return int(names[0])
