"""Writing and reading artifacts: atomic, with provenance inside, never a pickle.

Every artifact is written to a temporary sibling and renamed when it is whole, so a
killed job leaves nothing that looks finished. HDF5, safetensors and parquet carry their
provenance inside; CSV, PNG and ``.npy`` files carry it in ``<name>.json`` beside them.

A job seals what it wrote, whatever the format: the SHA-256 lies in ``.<name>.sha256``
beside the file, and each job that reads it compares.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.errors import CortuneError, InputError, ResourceError
from cortune.versions import Provenance, canonical_json

if TYPE_CHECKING:
    import h5py
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
_ATTRIBUTE = "cortune"
_FULL = 1 << 20  # bytes free below which a failed write is laid to a full disk


@contextmanager
def atomic(path: PathLike) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that becomes `path` if the block succeeds.

    Works for files and for folders (the block may create either). On any exception the
    temporary is removed and an existing `path` stays as it was.

    Raises
    ------
    ResourceError
        If the disk is full or the folder cannot be written to.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        yield temporary
        if target.is_dir() and temporary.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except Exception as error:
        if problem := _disk_problem(target, temporary, error):
            raise problem from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed process left of the same file or folder."""
    beside = re.compile(rf"\.{re.escape(target.name)}\.\d+\.part{re.escape(target.suffix)}")
    for path in target.parent.iterdir():
        if beside.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _disk_problem(target: Path, temporary: Path, error: Exception) -> ResourceError | None:
    """Return what is wrong with the disk, or None if the error has another cause.

    Libraries wrap the system's error, or say only that too few bytes were written: the free
    space tells.
    """
    if isinstance(error, CortuneError):
        return None
    number = getattr(error, "errno", None)
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ResourceError(
            f"{target}: found a folder that cannot be written to ({os.strerror(number)}), "
            "expected a writable one. Change its permissions, or point the results folder "
            "elsewhere, then run again."
        )
    existing = next((folder for folder in target.parents if folder.is_dir()), Path())
    free = shutil.disk_usage(existing).free
    if number in (errno.ENOSPC, errno.EDQUOT) or free < _FULL:
        written = _size(temporary)
        return ResourceError(
            f"{target}: found the disk full after {written / 1e6:.1f} MB of it, with "
            f"{free / 1e6:.1f} MB free; expected room for all of it, at least "
            f"{(written + _FULL) / 1e6:.1f} MB. Free some space or point the results folder "
            "elsewhere, then run again."
        )
    return None


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def seal(path: PathLike) -> None:
    """Write the SHA-256 of an artifact, or of every file of a folder, beside it.

    The format is that of ``sha256sum``, so that ``sha256sum --check`` reads it.
    """
    for file in _files(Path(path)):
        line = f"{sha256(file)}  {file.name}\n"
        with atomic(_seal_of(file)) as temporary:
            temporary.write_text(line, encoding="utf-8")


def verify(path: PathLike) -> None:
    """Compare an artifact, or every file of a folder, with its seal; others pass.

    Raises
    ------
    InputError
        If a sealed file has changed since it was written.
    """
    for file in _files(Path(path)):
        beside = _seal_of(file)
        if not beside.is_file():
            continue
        expected, found = beside.read_text(encoding="utf-8").split()[0], sha256(file)
        if found != expected:
            raise InputError(
                file,
                f"SHA-256 {found[:16]}…",
                f"{expected[:16]}…, as when it was written",
                f"It was changed or damaged: remove it (rm {file}) and run again, and it will be "
                "rebuilt.",
            )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))


def _seal_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity become null."""
    with atomic(path) as temporary:
        text = json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def write_json_beside(path: PathLike, provenance: Provenance) -> None:
    """Write the provenance of `path` to ``<path>.json``."""
    write_json(f"{os.fspath(path)}.json", provenance.as_dict())


@contextmanager
def hdf5_writer(path: PathLike, provenance: Provenance) -> Iterator[h5py.File]:
    """Yield an HDF5 file that appears at `path`, provenance embedded, when it is whole.

    The oldest file format is used: newer ones stamp every group with the time.
    """
    import h5py

    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs[_ATTRIBUTE] = provenance.to_json()
        yield file


@contextmanager
def hdf5_reader(path: PathLike) -> Iterator[h5py.File]:
    """Open an HDF5 artifact for reading.

    Raises
    ------
    InputError
        If the file is missing, truncated or not an artifact of Cortune.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            path,
            "no readable HDF5 file" if Path(path).exists() else "no file",
            "an HDF5 artifact of Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        ) from error
    with file:
        yield file


def write_csv(path: PathLike, table: pd.DataFrame, provenance: Provenance) -> None:
    """Write a tidy table as CSV (7 significant digits, NaN empty), provenance beside."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    write_json_beside(path, provenance)


def write_rows(path: PathLike, rows: Sequence[Mapping[str, float]], provenance: Provenance) -> None:
    """Write equal-keyed rows of numbers as :func:`write_csv` does, without loading pandas."""
    import csv

    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_digits(value) for value in row.values()] for row in rows)
    write_json_beside(path, provenance)


def _digits(value: float) -> str:
    return "" if value != value else f"{value:.7g}" if isinstance(value, float) else str(value)


def write_parquet(path: PathLike, table: pd.DataFrame, provenance: Provenance) -> None:
    """Write a table as parquet with the provenance in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), _ATTRIBUTE.encode(): provenance.to_json().encode()}
    with atomic(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(metadata), temporary, compression="zstd")


def write_safetensors(
    path: PathLike, tensors: Mapping[str, np.ndarray], provenance: Provenance, **notes: Any
) -> None:
    """Write arrays as safetensors with the provenance, and `notes`, in the header.

    Tensors are written in sorted order and the header has a single metadata key, because
    the format does not keep the order of several: equal tensors give equal bytes.
    """
    import numpy as np
    from safetensors.numpy import save_file

    arrays = {key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}
    header = {_ATTRIBUTE: canonical_json({"provenance": provenance.as_dict(), **notes})}
    with atomic(path) as temporary:
        save_file(arrays, temporary, metadata=header)


def save_figure(path: PathLike, figure: Figure, provenance: Provenance) -> None:
    """Save a figure as a 200-dpi PNG without time stamps, provenance beside."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=200, bbox_inches="tight", format="png")
    write_json_beside(path, provenance)


def read_provenance(path: PathLike) -> dict[str, Any]:
    """Return the provenance of an artifact, whatever its format.

    Raises
    ------
    InputError
        If the artifact carries none.
    """
    path = Path(path)
    text: str | None = None
    if path.suffix == ".h5":
        with hdf5_reader(path) as file:
            text = file.attrs.get(_ATTRIBUTE)
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as tensors:
            header = (tensors.metadata() or {}).get(_ATTRIBUTE)
        text = header and json.dumps(json.loads(header)["provenance"])
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        raw = (pq.read_schema(path).metadata or {}).get(_ATTRIBUTE.encode())
        text = raw.decode() if raw else None
    else:
        beside = Path(f"{path}.json")
        text = beside.read_text(encoding="utf-8") if beside.is_file() else None
    if text is None:
        raise InputError(
            path,
            "no provenance",
            "an artifact written by Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        )
    return dict(json.loads(text))
