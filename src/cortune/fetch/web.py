"""Files over HTTP: listed by a public bucket, downloaded in parallel, resumed, checked.

A file is written under a hidden name, ``.<name>.part``, and renamed once its checks have
passed; what a stopped download left under that name is where the next one goes on. Buckets are
asked by ListObjectsV2 of Amazon's S3, without signing in.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from xml.etree import ElementTree

from cortune.artifacts import atomic
from cortune.data.images import open_rgb
from cortune.data.problems import count, some
from cortune.disk import amount, disk_problem, free_space, require_space
from cortune.errors import CortuneError, InputError, ResourceError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from tqdm import tqdm

AGAIN = "Run the same command again: it goes on where it stopped."
RECORD = "fetched.tsv"
"""Table in the data set's folder: which check every file had."""

_ATTEMPTS = 5  # in a row without a byte
_FAILURES = 20  # files, after which the rest is not tried
_CHUNK = 1 << 18
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_MD5 = re.compile(r'"?(?P<md5>[0-9a-f]{32})"?')  # of several parts the ETag is another hash
_T = TypeVar("_T")


@dataclass(frozen=True)
class Entry:
    """A file as a bucket lists it: its size, and its MD5 where the ETag is one."""

    size: int
    md5: str | None


@dataclass(frozen=True)
class Item:
    """A file to get.

    Parameters
    ----------
    kind : str
        What it is, for the plan.
    path : str
        Relative to the data set's folder.
    url : str
    size : int, optional
        Bytes, if known beforehand.
    sha256, md5 : str, optional
    picture : bool
        Whether it is decoded whole.
    """

    kind: str
    path: str
    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    picture: bool = False

    @property
    def checks(self) -> str:
        """The checks that the file gets, for people."""
        size = "size" if self.size is not None else ""
        hashed = "SHA-256" if self.sha256 else "MD5" if self.md5 else size
        return " and ".join(filter(None, [hashed, "decoded whole" if self.picture else ""]))

    def listed(self, entry: Entry) -> Item:
        """Return the item with what a bucket says of it."""
        return replace(self, size=entry.size, md5=entry.md5)


class _NotNow(Exception):
    """An answer that may be another the next time."""


class Web:
    """A session of requests that are tried again.

    Parameters
    ----------
    session : aiohttp.ClientSession
    jobs : int
        Downloads at the same time.
    pause : float
        Seconds before a second attempt; twice as many before each further one.
    """

    def __init__(self, session: ClientSession, jobs: int, pause: float) -> None:
        self.session, self.jobs, self.pause = session, jobs, pause
        self._plain: dict[str, bool] = {}

    async def listing(self, base: str, prefix: str) -> dict[str, Entry]:
        """List the files of a bucket whose keys begin with `prefix`, all pages of them.

        Parameters
        ----------
        base : str
            Address of the bucket, such as ``https://s3.amazonaws.com/openneuro.org``.
        prefix : str

        Raises
        ------
        InputError
            If there is no answer, or none of a bucket.
        """
        found: dict[str, Entry] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = await self._persist(base, lambda: self._page(base, dict(query)))
            for element in page.iter("Contents"):
                key, size, etag = (element.findtext(n, "") for n in ("Key", "Size", "ETag"))
                match = _MD5.fullmatch(etag)
                found[key] = Entry(int(size), match and match["md5"])
            if page.findtext("IsTruncated", "") != "true":
                break
            query["continuation-token"] = page.findtext("NextContinuationToken", "")
        if found and base not in self._plain:
            self._plain[base] = await self._is_plain(f"{base}/{quote(next(iter(found)))}")
        if not self._plain.get(base, True):
            found = {key: replace(entry, md5=None) for key, entry in found.items()}
        return found

    async def _page(self, base: str, query: dict[str, str]) -> ElementTree.Element:
        async with self._get(base, params=query) as answer:
            text = await answer.text()
        try:
            root = ElementTree.fromstring(text)
            for element in root.iter():
                element.tag = element.tag.rpartition("}")[2]
            for size in root.iter("Size"):
                int(size.text or "")
        except (ElementTree.ParseError, ValueError):
            root = ElementTree.Element("")
        if root.tag != "ListBucketResult":
            expected = "the listing of a bucket (ListObjectsV2 of S3)"
            raise InputError(base, "another answer", expected, "Correct --from.")
        return root

    async def _is_plain(self, url: str) -> bool:
        """Return whether ETags are hashes of content, which they are not under a key of KMS."""

        async def head() -> bool:
            async with self.session.head(url) as answer:
                kind = answer.headers.get("x-amz-server-side-encryption", "")
                return not kind.startswith("aws:kms")

        return await self._persist(url, head)

    @asynccontextmanager
    async def _get(self, url: str, **options: Any) -> AsyncIterator[ClientResponse]:
        # Compressed on the way, sizes and ranges would be others.
        headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}
        async with self.session.get(url, headers=headers, **options) as answer:
            if answer.status in _TEMPORARY:
                raise _NotNow(f"status {answer.status}")
            if answer.status not in (200, 206, 416):
                found = f"status {answer.status} ({answer.reason})"
                cure = "Correct --from, or wait until the server has the file again."
                raise InputError(url, found, "a file that everyone can read", cure)
            yield answer

    async def _persist(
        self, url: str, attempt: Callable[[], Awaitable[_T]], done: Callable[[], int] = lambda: 0
    ) -> _T:
        """Try again while the connection fails; the count begins anew with every byte gained."""
        from aiohttp import ClientError, InvalidURL

        failures = 0
        while True:
            before = done()
            try:
                return await attempt()
            except InvalidURL:
                raise InputError(
                    "--from", repr(url), "an address like https://…", "Correct it."
                ) from None
            except (ClientError, TimeoutError, ConnectionError, _NotNow) as error:
                failures = 1 if done() > before else failures + 1
                if failures == _ATTEMPTS:
                    reason = str(error) or "nothing came within the time of --timeout"
                    found = f"no file after {_ATTEMPTS} attempts ({reason})"
                    cure = f"Check the connection. {AGAIN}"
                    raise InputError(url, found, "an answer of the server", cure) from None
                await asyncio.sleep(self.pause * 2 ** (failures - 1))

    async def download(self, items: Iterable[Item], out: Path) -> list[InputError]:
        """Get files that are not there, or not as they should be.

        Parameters
        ----------
        items : iterable of Item
        out : Path

        Returns
        -------
        list of InputError
            Of the files that could not be had; all others are there and checked.

        Raises
        ------
        ResourceError
            If the disk is full; nothing more is then tried.
        """
        from tqdm import tqdm

        waiting, problems = iter(items := list(items)), list[InputError]()
        total = sum(item.size or 0 for item in items)
        with tqdm(total=total, unit="B", unit_scale=True, mininterval=1, desc="download") as bar:

            async def work() -> None:
                for item in waiting:
                    if len(problems) >= _FAILURES:
                        return
                    try:
                        await self._save(item, out / item.path, bar)
                    except InputError as problem:
                        problems.append(problem)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.jobs):
                        group.create_task(work())
            except* CortuneError as errors:
                raise errors.exceptions[0] from None
        return problems

    async def _save(self, item: Item, path: Path, bar: tqdm[Any]) -> None:
        if path.is_file() and not await asyncio.to_thread(_wrong, item, path):
            bar.update(path.stat().st_size)
            return
        part = _part(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            resumed = _size(part)
            bar.update(resumed)
            while True:
                await self._persist(
                    item.url, lambda: self._receive(item, part, bar), lambda: _size(part)
                )
                wrong = await asyncio.to_thread(_wrong, item, part)
                if not wrong:
                    part.replace(path)
                    return
                bar.update(-_size(part))
                part.unlink()
                if not resumed:
                    break
                resumed = 0  # what was there before may have been of another file
        except OSError as error:
            reason = f"{path}: {error.strerror or error}. Free some space. {AGAIN}"
            raise disk_problem(path, error, _size(part)) or ResourceError(reason) from None
        cure = f"Nothing was kept of it. {AGAIN} If it stays so, the file is another there."
        raise InputError(item.url, wrong[0], wrong[1], cure)

    async def _receive(self, item: Item, part: Path, bar: tqdm[Any]) -> None:
        """Add to `part` what it lacks."""
        have = _size(part)
        if have and have == item.size:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and item.md5:
            headers["If-Range"] = f'"{item.md5}"'
        async with self._get(item.url, headers=headers) as answer:
            goes_on = have and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if have and not goes_on:  # a server without ranges, or another file
                bar.update(-have)
            if answer.status == 416:
                part.unlink()
                raise _NotNow("status 416")
            with part.open("ab" if goes_on else "wb") as file:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if item.size is not None and file.tell() > item.size:
                        return  # which the check will say
        if item.size is not None and _size(part) < item.size:
            raise _NotNow("the connection was cut")


@asynccontextmanager
async def connect(*, jobs: int, timeout: float, pause: float = 1.0) -> AsyncIterator[Web]:
    """Open a session.

    Parameters
    ----------
    jobs : int
    timeout : float
        Seconds without a byte after which a connection is given up.
    pause : float
    """
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    limits = ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
    connector = TCPConnector(limit=jobs)
    async with ClientSession(timeout=limits, connector=connector, trust_env=True) as session:
        yield Web(session, jobs, pause)


def url_of(base: str, key: str) -> str:
    """Return the address of a bucket's file."""
    return f"{base}/{quote(key)}"


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _wrong(item: Item, path: Path) -> tuple[str, str] | None:
    """Return what is wrong with a file, and what was expected of it."""
    if item.size is not None and (size := _size(path)) != item.size:
        return f"{size} bytes", f"{item.size}"
    name, wanted = ("sha256", item.sha256) if item.sha256 else ("md5", item.md5)
    if wanted:
        with path.open("rb") as file:
            found = hashlib.file_digest(
                file, lambda: hashlib.new(name, usedforsecurity=False)
            ).hexdigest()
        if found != wanted:
            return f"the {name} {found}", wanted
    if item.picture:
        try:
            open_rgb(path)
        except InputError as problem:
            return problem.found, "a picture that can be decoded"
    return None


# What will be done, and what was.


def plan_of(items: Iterable[Item], out: Path) -> str:
    """Return a table of what is there, what will be downloaded, and which check each kind has.

    Raises
    ------
    ResourceError
        If the disk has too little room for it.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    missing = 0
    for item in items:
        size, path = item.size or 0, out / item.path
        row = rows.setdefault((item.kind, item.checks or "none"), [0, 0, 0])
        there = size if 0 < size == _size(path) else _size(_part(path))
        lacking = max(0, size - there)
        row[0] += 1
        row[1] += size
        row[2] += lacking
        missing += lacking
    lines = [f"{'':22}{'files':>6}{'size':>10}{'to get':>10}  check"]
    for (kind, check), (number, size, lacking) in rows.items():
        lines.append(f"{kind:22}{number:6}{amount(size):>10}{amount(lacking):>10}  {check}")
    lines.append(f"{amount(missing)} to download; {amount(free_space(out))} are free in {out}.")
    require_space(out, missing, f"Free some space, or choose another folder. {AGAIN}")
    return "\n".join(lines)


def record(items: Iterable[Item], out: Path, problems: list[InputError]) -> str:
    """Write which check every file had into the folder, and return a summary."""
    failed = {problem.where for problem in problems}
    kept = [item for item in items if item.url not in failed and (out / item.path).is_file()]
    path = out / RECORD
    rows = {}
    if path.is_file():
        rows = {line.split("\t")[0]: line for line in path.read_text("utf-8").splitlines()[1:]}
    for item in kept:
        rows[item.path] = f"{item.path}\t{_size(out / item.path)}\t{item.checks or 'none'}"
    with atomic(path) as temporary:
        lines = ["path\tbytes\tcheck", *(rows[name] for name in sorted(rows))]
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    checks = [item.checks or "none" for item in kept]
    counted = [f"{checks.count(check)} by {check}" for check in dict.fromkeys(checks)]
    return f"{count(kept, 'file')} in {out}, checked: {'; '.join(counted)}. See {path}."


def lacking(where: str, names: list[str]) -> InputError:
    """Return the error of files that a bucket should hold."""
    found = f"no {some(names)}"
    cure = "Correct --from, or the subjects and sessions asked for."
    return InputError(where, found, f"{count(names, 'more file')} in its listing", cure)
