"""An order from the command line, or from a configuration, carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cortune.data.problems import count
from cortune.errors import CortuneError, InputError
from cortune.fetch import algonauts, nod, nsd
from cortune.fetch.web import AGAIN, connect, plan_of, record
from cortune.lock import hold, release

TERMS = {"nod": nod.TERMS, "nsd": nsd.TERMS, "algonauts2023": algonauts.TERMS}
"""What is shown before anything of a data set is fetched, by layout."""


@dataclass(frozen=True)
class Order:
    """What to fetch, and how.

    Parameters
    ----------
    layout : str
        A key of `TERMS`.
    out : Path
        Folder of the data set.
    subjects : "all" or sequence of str
    sessions : sequence of str, optional
        Of NOD names, of NSD one number: so many from the first.
    space : str
        Of NSD, as in a configuration.
    fits : bool
        Of NOD, whether pRF fits are wanted.
    source : str, optional
        Address that stands for the public one.
    support : str, optional
        Address of NOD's parcellation.
    checksums : str, optional
        Of NOD: table of sizes and hashes that stands for the shipped one, or ``none``.
    jobs : int
    timeout : float
        Seconds.
    dry_run : bool
        Whether to stop after the plan.
    """

    layout: str
    out: Path
    subjects: str | Sequence[str]
    sessions: Sequence[str] | None = None
    space: str = "fsaverage"
    fits: bool = True
    source: str | None = None
    support: str | None = None
    checksums: str | None = None
    jobs: int = 8
    timeout: float = 60.0
    dry_run: bool = False


def fetch(order: Order) -> str:
    """Carry an order out, and return what was done; the plan is printed before.

    Raises
    ------
    InputError
        If something asked for is not there, or could not be had as it should be.
    ResourceError
        If the disk is too full.
    """
    made = [folder for folder in (order.out, *order.out.parents) if not folder.exists()]
    was_locked = (order.out / ".lock").exists()
    order.out.mkdir(parents=True, exist_ok=True)
    hold(order.out)
    try:
        return asyncio.run(_algonauts(order) if order.layout == "algonauts2023" else _bucket(order))
    except BaseException:
        if not was_locked:
            _tidy(order.out, made)
        raise


def _tidy(out: Path, made: Sequence[Path]) -> None:
    """Remove the lock where nothing was fetched, and the folders that were made for it."""
    if any(path.is_file() for path in out.rglob("*") if path.name != ".lock"):
        return
    release(out)
    below = sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True)
    for folder in (*(below if out in made else ()), *made):
        with contextlib.suppress(OSError):
            folder.rmdir()


async def _bucket(order: Order) -> str:
    async with connect(jobs=order.jobs, timeout=order.timeout) as web:
        if order.layout == "nod":
            items = await nod.items(
                web,
                order.out,
                order.subjects,
                order.sessions,
                fits=order.fits,
                base=(order.source or nod.BUCKET).rstrip("/"),
                support=(order.support or nod.SUPPORT).rstrip("/"),
                table=nod.checksums(order.checksums),
            )
        else:
            items = await nsd.items(
                web,
                order.subjects,
                nsd.n_sessions(order.sessions),
                space=order.space,
                base=(order.source or nsd.BUCKET).rstrip("/"),
            )
        print(plan_of(items, order.out), flush=True)
        if order.dry_run:
            return "Nothing was downloaded but the events that tell the pictures (--dry-run)."
        problems = await web.download(items, order.out)
    summary = record(items, order.out, problems)
    _raise(problems, summary)
    return summary


async def _algonauts(order: Order) -> str:
    if order.source is None:
        raise InputError("--from", "nothing", "the place of the challenge's archives", TERMS_CURE)
    if isinstance(order.subjects, str):
        raise InputError("--subjects", "all", "the subjects by name", "Give subj01 and so on.")
    wanted = [name for name in order.subjects if not (order.out / name).is_dir()]
    items = algonauts.archives(order.source, wanted)
    there = len(order.subjects) - len(wanted)
    print(f"{count(wanted, 'archive')} to get and unpack; {there} subjects are there already.")
    if order.dry_run:
        return "Nothing was downloaded (--dry-run)."
    problems: list[InputError] = []
    is_web = "://" in order.source
    if is_web:
        async with connect(jobs=order.jobs, timeout=order.timeout) as web:
            problems = await web.download(items, order.out)
    n_files = 0
    for name, item in zip(wanted, items, strict=True):
        archive = order.out / item.path if is_web else Path(item.url).expanduser()
        if item.url in {problem.where for problem in problems}:
            continue
        n_files += algonauts.unpack(archive, order.out / name)
        if is_web:
            archive.unlink()
    summary = f"{count(wanted, 'subject')} in {order.out}: {n_files} files, each by its CRC-32."
    _raise(problems, summary)
    return summary


TERMS_CURE = "It is in the mail that the challenge's form answers with."


def _raise(problems: Sequence[InputError], summary: str) -> None:
    if problems:
        lines = [
            *map(str, problems),
            f"{count(problems, 'file')} could not be had. {summary} {AGAIN}",
        ]
        raise CortuneError("\n".join(lines))
