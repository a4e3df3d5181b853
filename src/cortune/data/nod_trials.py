"""The runs of a NOD data set: which stimulus each trial showed, and where it lies."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortune.data.cifti import read_cifti_header
from cortune.data.nod_files import AS_DISTRIBUTED, read_rows
from cortune.errors import InputError
from cortune.files import regular_file

_RESULTS = re.compile(r"ses-(?P<session>\w+?)_task-(?P<task>[a-zA-Z]+)_run-(?P<number>[0-9]{1,3})")
_EVENTS = re.compile(r"sub-[0-9]{2}_" + _RESULTS.pattern + r"_events\.tsv")
_PICTURE = re.compile(r".+?\.(?:jpe?g|png|bmp|tiff?|webp)", re.IGNORECASE)
_COCO = re.compile(r"(?:COCO_[a-z]+20\d\d_)?(?P<id>\d{12})\.[A-Za-z]+")


@dataclass(frozen=True)
class Run:
    """One run of a subject and where its files are.

    Parameters
    ----------
    session, task : str
    number : int
        From 1.
    betas, labels, events : Path
        Which may not exist.
    """

    session: str
    task: str
    number: int
    betas: Path
    labels: Path
    events: Path

    @property
    def name(self) -> str:
        """Name as in the results folder."""
        return f"ses-{self.session}_task-{self.task}_run-{self.number}"


def list_runs(raw: Path, results: Path, is_chosen: Callable[[str], bool]) -> list[Run]:
    """List the runs that anything on disk speaks of, and the gaps among their numbers.

    Parameters
    ----------
    raw : Path
        Folder of the subject that holds the events; runs are padded there.
    results : Path
        Folder of the subject that holds the betas; runs are not padded there.
    is_chosen : callable
        Whether to list the runs of a session.
    """
    events = {
        _key(match): path
        for path in sorted(raw.glob("ses-*/func/*_events.tsv"))
        if (match := _EVENTS.fullmatch(path.name))
    }
    folders = {
        _key(match): path
        for path in sorted(results.glob("ses-*_run-*"))
        if (match := _RESULTS.fullmatch(path.name))
    }
    last: dict[tuple[str, str], int] = {}
    for session, task, number in {**events, **folders}:
        if is_chosen(session):
            last[session, task] = max(number, last.get((session, task), 0))
    runs = []
    for (session, task), most in sorted(last.items()):
        for number in range(1, most + 1):
            name = f"ses-{session}_task-{task}_run-{number}"
            padded = f"{raw.name}_ses-{session}_task-{task}_run-{number:02d}_events.tsv"
            default = raw / f"ses-{session}" / "func" / padded
            folder = folders.get((session, task, number), results / name)
            runs.append(
                Run(
                    session,
                    task,
                    number,
                    betas=folder / f"{folder.name}_beta.dscalar.nii",
                    labels=folder / f"{folder.name}_label.txt",
                    events=events.get((session, task, number), default),
                )
            )
    return runs


def _key(match: re.Match[str]) -> tuple[str, str, int]:
    return match["session"], match["task"], int(match["number"])


def read_events(path: str | Path) -> list[str]:
    """Read the stimulus of every trial from an ``events.tsv``, relative to ``stimuli/``.

    A table of the COCO session has a column ``condition`` instead of ``stim_file``, with
    ``n/a`` where no picture was shown; the maps of its runs are in the order of names, and so
    are those returned, each once.

    Raises
    ------
    InputError
        If the table has neither column, or no rows.
    """
    expected = "a table with the columns onset, duration, trial_type and stim_file"
    header, *rows = read_rows(path, expected, delimiter="\t") or [[]]
    header = [name.strip() for name in header]
    name = next((name for name in ("stim_file", "condition") if name in header), None)
    if name is None:
        raise InputError(path, f"the columns {', '.join(header)}", expected, AS_DISTRIBUTED)
    column = header.index(name)
    if not rows or any(len(row) <= column or not row[column].strip() for row in rows):
        raise InputError(path, f"trials without {name}", expected, AS_DISTRIBUTED)
    stimuli = [row[column].strip() for row in rows]
    return sorted({*stimuli} - {"n/a"}) if name == "condition" else stimuli


def read_labels(path: str | Path) -> list[str]:
    """Read the stimulus names of a ``label.txt``, written with newlines or without.

    Returns
    -------
    list of str
        Empty if the file holds something else than names of pictures.
    """
    try:
        text = regular_file(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    names = [name for line in text.splitlines() for name in _PICTURE.findall(line.strip())]
    return names if "".join(names) == "".join(text.split()) else []


def trial_stimuli(run: Run) -> list[str]:
    """Return the stimulus of every row of a run's betas.

    The names of the maps count; the events, and the labels where they can be told apart,
    must agree with them. The maps usually carry file names and the events whole paths, and
    the path is then what is returned.

    Raises
    ------
    InputError
        If the sources disagree, naming both and the first trial, or if there is none.
    """
    header = read_cifti_header(run.betas)
    events = read_events(run.events) if run.events.exists() else []
    labels = read_labels(run.labels)
    maps = list(header.names) if all(map(_PICTURE.fullmatch, header.names)) else []
    if run.task == "coco":  # by name
        order = {name.rsplit("/", 1)[-1]: row for row, name in enumerate(maps or labels)}
        events.sort(key=lambda path: order.get(path.rsplit("/", 1)[-1], len(order)))
    stimuli = maps or events or labels
    if not stimuli:
        raise InputError(
            run.betas,
            "maps that are not named after stimuli, and no events or labels beside them",
            f"stimulus names, or {run.events.name}",
            AS_DISTRIBUTED,
        )
    source = run.betas if maps else run.events if events else run.labels
    if len(stimuli) != header.shape[0]:
        found = f"{len(stimuli)} trials"
        wanted = f"{header.shape[0]}, as in {run.betas}"
        raise InputError(source, found, wanted, AS_DISTRIBUTED)
    for path, others in ((run.events, events), (run.labels, labels)):
        if others and path != source:
            _compare(source, stimuli, path, others)
    return events or stimuli


def _compare(source: Path, stimuli: Sequence[str], other: Path, others: Sequence[str]) -> None:
    for trial, (mine, theirs) in enumerate(zip(stimuli, others, strict=False), start=1):
        if not (_ends_with(mine, theirs) or _ends_with(theirs, mine)):
            raise InputError(
                other, f"{theirs!r} in trial {trial}", f"{mine!r}, as in {source}", AS_DISTRIBUTED
            )
    if len(stimuli) != len(others):
        trial = min(len(stimuli), len(others)) + 1
        found = f"{len(others)} trials, so that trial {trial} differs"
        raise InputError(other, found, f"{len(stimuli)}, as in {source}", AS_DISTRIBUTED)


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")


# Stimuli.


def locate(folder: Path, stimulus: str) -> Path:
    """Return where a stimulus lies, whether it exists or not.

    A bare file name, which the maps of a run without events give, is looked for in the
    folders where NOD keeps its pictures.

    Parameters
    ----------
    folder : Path
        ``stimuli`` of the data set.
    stimulus : str
        Relative to it.

    Raises
    ------
    InputError
        If the name leaves `folder`, by itself or through a link. Links into git-annex's
        store of the same data set, which DataLad makes of every picture, are followed.
    """
    parts = stimulus.split("/")
    unsafe = Path(stimulus).is_absolute() or ".." in parts or "\\" in stimulus or "\0" in stimulus
    path = folder if unsafe else folder / stimulus
    if len(parts) == 1 and not unsafe and not path.exists():
        options = (f"imagenet/{stimulus.split('_')[0]}", "imagenet", "coco")
        found = [folder / option / stimulus for option in options]
        path = next((option for option in found if option.exists()), path)
    if not unsafe:
        real, base = os.path.realpath(path), os.path.realpath(folder)
        store = os.path.realpath(folder.parent / ".git" / "annex")
        unsafe = not any(real.startswith(home + os.sep) for home in (base, store))
    if unsafe:
        raise InputError(
            folder,
            f"the stimulus {stimulus!r}, which lies elsewhere",
            "stimuli inside this folder",
            "Correct the name in the events and maps, or copy the picture here.",
        )
    return path


def coco_id(stimulus: str) -> int | None:
    """Return the COCO id that a file name carries, such as ``000000123456.jpg``."""
    match = _COCO.fullmatch(stimulus.rsplit("/", 1)[-1])
    return int(match["id"]) if match else None


def read_coco_table(path: str | Path) -> dict[str, int]:
    """Read the COCO id of stimuli whose names do not tell it.

    Raises
    ------
    InputError
        If the file is not a CSV with the columns ``stim_file`` and ``cocoId``.
    """
    expected = "a CSV with the columns stim_file and cocoId"
    header, *rows = read_rows(path, expected, delimiter=",") or [[]]
    cure = "Correct the table, or leave coco_of out."
    try:
        name, number = header.index("stim_file"), header.index("cocoId")
        return {row[name]: int(row[number]) for row in rows}
    except (ValueError, IndexError) as error:
        raise InputError(path, f"another table ({error})", expected, cure) from None
