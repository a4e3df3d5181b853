"""Writing and reading artifacts: atomic, with provenance inside, never a pickle.

Every artifact is written to a temporary sibling and renamed when it is whole, so a
killed job leaves nothing that looks finished. HDF5, safetensors and parquet carry their
provenance inside; CSV, PNG and ``.npy`` files carry it in ``<name>.json`` beside them.

A job seals what it wrote, and each job that reads it compares (:mod:`cortune.seals`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.disk import disk_problem, require_space
from cortune.errors import InputError
from cortune.versions import Provenance, canonical_json

if TYPE_CHECKING:
    import h5py
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
_ATTRIBUTE = "cortune"


@contextmanager
def atomic(
    path: PathLike, *, needs: int = 0, alone: bool = True, sheltered: bool = False
) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that becomes `path` if the block succeeds.

    Works for files and for folders (the block may create either). On any exception the
    temporary is removed and an existing `path` stays as it was.

    Parameters
    ----------
    path : path
    needs : int
        Bytes that will be written, where that is known: a disk too full is refused at once.
    alone : bool
        Whether no other process writes the same `path`; what a killed one left of it is then
        removed.
    sheltered : bool
        Whether to yield a path in a hidden folder of its own, for writers that make other files
        beside the one they are asked for, as safetensors does: killed, they leave nothing else.
        Since such a file may be its owner's alone, it gets the mode that any new file has.

    Raises
    ------
    ResourceError
        If the disk is full or the folder cannot be written to.
    """
    target = Path(path)
    hidden = target.with_name(f".{target.name}.{os.getpid()}.part{target.suffix}")
    temporary = hidden / target.name if sheltered else hidden
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if alone:
            remove_leftovers(target)
        if needs:
            require_space(target, needs)
        if sheltered:
            hidden.mkdir(exist_ok=True)
        yield temporary
        if sheltered and temporary.is_file():
            _as_any_new_file(temporary)
        if target.is_dir() and temporary.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except Exception as error:
        if problem := disk_problem(target, error, _size(hidden)):
            raise problem from error
        raise
    finally:
        if hidden.is_dir():
            shutil.rmtree(hidden)
        elif hidden.exists():
            hidden.unlink()


def _as_any_new_file(path: Path) -> None:
    """Give a file the mode that the umask, or the folder, gives to new ones."""
    example = path.with_name("mode")
    example.touch()
    mode = example.stat().st_mode & 0o777
    example.unlink()
    # Some file systems keep no modes.
    with suppress(PermissionError):
        path.chmod(mode)


def remove_leftovers(target: Path) -> None:
    """Remove what a killed process left of the same file or folder."""
    if not target.parent.is_dir():
        return
    beside = re.compile(rf"\.{re.escape(target.name)}\.\d+\.part{re.escape(target.suffix)}")
    for path in target.parent.iterdir():
        if beside.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a file whose content is at hand."""
    with atomic(path, needs=len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity become null."""
    text = json.dumps(_finite(value), indent=2, sort_keys=True, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


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
def hdf5_writer(path: PathLike, provenance: Provenance, *, needs: int = 0) -> Iterator[h5py.File]:
    """Yield an HDF5 file that appears at `path`, provenance embedded, when it is whole.

    The oldest file format is used: newer ones stamp every group with the time. `needs` is as
    for :func:`atomic`.
    """
    import h5py

    with atomic(path, needs=needs) as temporary, h5py.File(temporary, "w") as file:
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
        cure = "Remove it and run the workflow again: it will be rebuilt."
        raise unreadable_hdf5(path, error, "an HDF5 artifact of Cortune", cure) from error
    with file:
        yield file


def unreadable_hdf5(path: PathLike, error: OSError, expected: str, cure: str) -> InputError:
    """Return what to say of an HDF5 file that cannot be opened; a locked one is not damaged."""
    found = f"no readable HDF5 file ({error})" if Path(path).exists() else "no file"
    if "unable to lock file" in str(error):
        found = "a file that another program is writing, or a file system without locks"
        cure = (
            "Close it there and wait; where nothing writes it, set HDF5_USE_FILE_LOCKING=FALSE "
            "in the environment."
        )
    return InputError(path, found, expected, cure)


def write_csv(path: PathLike, table: pd.DataFrame, provenance: Provenance) -> None:
    """Write a tidy table as CSV (7 significant digits, NaN empty), provenance beside."""
    text = table.to_csv(index=False, float_format="%.7g", lineterminator="\n")
    write_bytes(path, text.encode())
    write_json_beside(path, provenance)


def write_rows(path: PathLike, rows: Sequence[Mapping[str, float]], provenance: Provenance) -> None:
    """Write equal-keyed rows of numbers as :func:`write_csv` does, without loading pandas."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_digits(value) for value in row.values()] for row in rows)
    write_bytes(path, text.getvalue().encode())
    write_json_beside(path, provenance)


def _digits(value: float) -> str:
    return "" if value != value else f"{value:.7g}" if isinstance(value, float) else str(value)


def write_parquet(path: PathLike, table: pd.DataFrame, provenance: Provenance) -> None:
    """Write a table as parquet with the provenance in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), _ATTRIBUTE.encode(): provenance.to_json().encode()}
    buffer = pa.BufferOutputStream()
    pq.write_table(arrow.replace_schema_metadata(metadata), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue().to_pybytes())


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
    needs = sum(array.nbytes for array in arrays.values())
    with atomic(path, needs=needs, sheltered=True) as temporary:
        save_file(arrays, temporary, metadata=header)


def save_figure(path: PathLike, figure: Figure, provenance: Provenance) -> None:
    """Save a figure as a 200-dpi PNG without time stamps, provenance beside."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=200, bbox_inches="tight", format="png")
    write_bytes(path, buffer.getvalue())
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
    elif (beside := Path(f"{path}.json")).is_file():
        text = beside.read_text(encoding="utf-8")
    elif path.suffix == ".json" and path.is_file():  # has it, or is it
        value = read_json(path)
        found = value.get("provenance", value)
        text = json.dumps(found) if {"stage", "version"} <= set(found) else None
    if text is None:
        raise InputError(
            path,
            "no provenance",
            "an artifact written by Cortune",
            "Remove it and run the workflow again: it will be rebuilt.",
        )
    return dict(json.loads(text))
