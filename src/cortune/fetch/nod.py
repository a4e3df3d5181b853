"""What to get of NOD: OpenNeuro's ds004496, whose license (CC0) asks for no form.

The parcellation is not in the data set but in its authors' repository. SHA-256 of the annexed
files are facts of the data set (CC0), shipped as ``nod_sha256.csv.gz``.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from cortune.data.nod import LEFT_OUT
from cortune.data.nod_trials import locate, read_events
from cortune.errors import InputError
from cortune.fetch.web import Entry, Item, Web, lacking, url_of

BUCKET = "https://s3.amazonaws.com/openneuro.org"
SUPPORT = "https://raw.githubusercontent.com/BNUCNL/NOD-fmri/main/validation/supportfiles"
TERMS = (
    "The Natural Object Dataset, OpenNeuro ds004496: CC0, cite Gong et al. 2023 (Scientific Data). "
    "The parcellation is its authors' (BNUCNL/NOD-fmri, MIT)."
)
_DATASET = "ds004496"
_SUPPORT_FILES = ("MMP_mpmLR32k.mat", "roilbl_mmp.csv")
_BETAS = re.compile(
    r"derivatives/ciftify/sub-(?P<subject>[0-9]{2})/results/"
    r"(?P<run>ses-(?P<session>imagenet[0-9]{2})_task-imagenet_run-(?P<number>[0-9]{1,2}))/"
    r"(?P=run)_beta\.dscalar\.nii"
)
_FITS = "derivatives/ciftify/sub-{}/results/ses-prf_task-prf/ses-prf_task-prf_params.dscalar.nii"


def checksums(path: str | None = None) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of files by their place in the data set.

    Parameters
    ----------
    path : path, optional
        CSV with the columns path, bytes and sha256 (a mirror's own); ``none`` for no
        hashes; the shipped table if None.

    Raises
    ------
    InputError
        If it is no such table.
    """
    if path == "none":
        return {}
    try:
        if path is None:
            text = gzip.decompress((files("cortune.fetch") / "nod_sha256.csv.gz").read_bytes())
        else:
            text = Path(path).read_bytes()
        rows = csv.DictReader(io.StringIO(text.decode()))
        return {row["path"]: (int(row["bytes"]), row["sha256"].lower()) for row in rows}
    except (OSError, KeyError, ValueError, AttributeError) as error:
        expected = "a CSV with the columns path, bytes and sha256"
        raise InputError(
            path, f"no such table ({error})", expected, "Correct --checksums."
        ) from None


async def items(
    web: Web,
    out: Path,
    subjects: str | Sequence[str],
    sessions: Sequence[str] | None,
    *,
    fits: bool,
    base: str,
    support: str,
    table: dict[str, tuple[int, str]],
) -> list[Item]:
    """List the files of some subjects; their events, which name the pictures, are downloaded.

    Parameters
    ----------
    web : Web
    out : Path
        The data set's folder.
    subjects : "all" or sequence of str
        Such as ``sub01``; `all` with `fits` are those that have them.
    sessions : sequence of str, optional
        Such as ``imagenet01``; None is every ImageNet session but ``imagenet05``.
    fits : bool
        Whether the pRF fits are wanted.
    base, support : str
        Addresses of the bucket and of the parcellation.
    table : dict
        Size and SHA-256 of the files that must be so.

    Raises
    ------
    InputError
        If the bucket lacks what was asked for.
    """
    listed: dict[str, Item] = {}
    matches: dict[str, re.Match[str]] = {}
    numbers = [""] if isinstance(subjects, str) else [_number(subject) for subject in subjects]
    for number in numbers:
        folder = f"derivatives/ciftify/sub-{number}" + (number and "/results/ses-")
        for key, entry in (await web.listing(base, f"{_DATASET}/{folder}")).items():
            path = key.removeprefix(f"{_DATASET}/")
            listed[path] = _hashed(Item("betas", path, url_of(base, key)).listed(entry), table)
    for path in [*listed, *table]:
        match = _BETAS.fullmatch(path)
        if match and (match["session"] in sessions if sessions else match["session"] != LEFT_OUT):
            matches[path] = match
    if isinstance(subjects, str):
        numbers = sorted({match["subject"] for path, match in matches.items() if path in listed})
        numbers = [number for number in numbers if not fits or _FITS.format(number) in listed]
    chosen: list[Item] = []
    runs: list[re.Match[str]] = []
    for number in numbers:
        own = {path: match for path, match in matches.items() if match["subject"] == number}
        fit = _FITS.format(number)
        if not own:
            raise lacking(base, [f"betas of sub-{number}"])
        if absent := [path for path in own if path not in listed]:
            raise lacking(base, absent)
        if fits and fit not in listed:
            cure = "Leave the subject out, or keep all vertices: `top_vertices: null`, --no-fits."
            raise InputError(base, f"no pRF fits of sub-{number}", "those of sub-01 to 09", cure)
        chosen += [listed[path] for path in own]
        chosen += [replace(listed[fit], kind="pRF fits")] if fits else []
        runs += own.values()
    if not runs:
        raise lacking(base, ["betas"])
    for name in _SUPPORT_FILES:
        item = Item("parcellation", f"supportfiles/{name}", f"{support}/{name}")
        size = table[item.path][0] if item.path in table else None
        chosen.append(_hashed(replace(item, size=size), table))
    events = await _events(web, base, runs)
    if problems := await web.download(events, out):
        raise problems[0]
    return [*chosen, *events, *await _pictures(web, base, out, events)]


async def _events(web: Web, base: str, runs: Sequence[re.Match[str]]) -> list[Item]:
    listed: dict[str, Entry] = {}
    for number in dict.fromkeys(run["subject"] for run in runs):
        listed |= await web.listing(base, f"{_DATASET}/sub-{number}/ses-imagenet")
    events = []
    for run in runs:
        subject, session = f"sub-{run['subject']}", f"ses-{run['session']}"
        name = f"{subject}_{session}_task-imagenet_run-{int(run['number']):02d}_events.tsv"
        path = f"{subject}/{session}/func/{name}"
        events.append(Item("events", path, url_of(base, f"{_DATASET}/{path}")))
    if absent := [item.path for item in events if f"{_DATASET}/{item.path}" not in listed]:
        raise lacking(base, absent)
    return [item.listed(listed[f"{_DATASET}/{item.path}"]) for item in events]


async def _pictures(web: Web, base: str, out: Path, events: Sequence[Item]) -> list[Item]:
    """Return the pictures that events name, each once."""
    folder = out / "stimuli"
    names = {name for item in events for name in read_events(out / item.path)}
    for name in names:
        locate(folder, name)  # which refuses names that leave the folder
    listed: dict[str, Entry] = {}
    for top in sorted({name.split("/")[0] for name in names}):
        listed |= await web.listing(base, f"{_DATASET}/stimuli/{top}/")
    pictures = []
    for name in sorted(names):
        key = f"{_DATASET}/stimuli/{name}"
        item = Item("pictures", f"stimuli/{name}", url_of(base, key), picture=True)
        # One that is not listed is asked for all the same, and is said to be missing then.
        pictures.append(item.listed(listed[key]) if key in listed else item)
    return pictures


def _hashed(item: Item, table: dict[str, tuple[int, str]]) -> Item:
    if item.path not in table:
        return item
    size, sha256 = table[item.path]
    if item.size not in (None, size):
        found = f"{item.size} bytes in the listing"
        cure = "The data set there is another version; give its hashes by --checksums, or none."
        raise InputError(item.url, found, f"{size}", cure)
    return replace(item, sha256=sha256)


def _number(subject: str) -> str:
    if not re.fullmatch(r"sub-?[0-9]{2}", subject):
        raise InputError("--subjects", repr(subject), "names like sub01, or all", "Correct it.")
    return subject[-2:]
