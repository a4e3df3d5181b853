"""The stages that turn a data set, whatever its layout, into artifacts.

``prepare_images`` decodes a subject's pictures once, ``prepare_responses`` gathers the
responses of every ROI of a hemisphere so that one ROI is read without the others, and
``split_images`` gives every image its set.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import hdf5_reader, hdf5_writer, sha256, write_csv, write_json_beside
from cortune.data.identity import by_content, identities_of, twins
from cortune.data.images import Framing, build_cache
from cortune.data.npy import check_finite, release_pages
from cortune.data.problems import some
from cortune.data.readers import Reader
from cortune.data.records import BrickRow, PictureSource, Responses
from cortune.data.rois import WHOLE
from cortune.data.splits import split_table
from cortune.errors import InputError
from cortune.versions import Provenance

if TYPE_CHECKING:
    import h5py

_log = logging.getLogger(__name__)
# Rows and columns of an HDF5 chunk (128 KiB), and rows held in memory at a time.
_CHUNK = (512, 64)


def prepare_images(
    reader: Reader,
    subject: str,
    framing: Framing,
    cache_path: str | Path,
    index_path: str | Path,
    provenance: Provenance,
    *,
    workers: int = 1,
) -> None:
    """Decode a subject's images into a uint8 memory map and index it by identity.

    Parameters
    ----------
    reader : Reader
    subject : str
    framing : Framing
    cache_path : path
        ``.npy`` to write, (n_pictures, s, s, 3); see
        :func:`cortune.data.images.open_cache`.
    index_path : path
        CSV to write, ``identity,file,name,digest,nsd_id``, one line per row of the cache:
        the identity by content (:mod:`cortune.data.identity`), which twins share; the file,
        ``file#row`` for a row of an HDF5 array; the name that responses have; a digest of
        the decoded pixels. See :func:`cortune.data.images.read_index`.
    provenance : Provenance
        Completed with a SHA-256 over all pictures.
    workers : int
        Decoding threads.
    """
    import pandas as pd

    images = reader.images(subject)
    digest, contents = build_cache(images, framing, cache_path, workers=workers)
    unique = images.unique()
    names = unique.identities
    if reader.has_ids(subject):
        identities = identities_of(names, contents, reader.same())
    else:
        identities = [by_content(content) for content in contents]
    index = {
        "identity": identities,
        "file": [_place(source, reader) for source in unique.files],
        "name": names,
        "digest": contents,
        "nsd_id": unique.nsd_ids or [""] * len(names),
    }
    for group in twins(names, contents):
        _log.warning("%s: pictures that decode alike are one image: %s", subject, some(group))
    provenance = replace(provenance, raw={**provenance.raw, "pictures": digest})
    write_json_beside(cache_path, provenance)
    write_csv(index_path, pd.DataFrame(index), provenance)


def prepare_responses(
    reader: Reader, subject: str, hemisphere: str, path: str | Path, provenance: Provenance
) -> None:
    """Write the responses of every vertex that belongs to an ROI, or of all, ordered by ROI.

    All, if the reader is to read the ``whole`` cortex, which is then an ROI beside the others.

    The HDF5 file holds ``/responses`` (n_images, n_vertices) float32, ``/vertices``,
    ``/mesh_vertices``, ``/noise_ceiling``, ``/constant`` (vertices whose responses are
    all equal, which no model can score), ``/identities`` and the columns of each ROI
    under ``/rois``. Columns are sorted by the ROIs they belong to, so an ROI lies in few
    chunks. Memory is bounded by `_CHUNK` rows.

    Parameters
    ----------
    reader : Reader
    subject : str
    hemisphere : {"lh", "rh"}
    path : path
    provenance : Provenance
        Completed with the SHA-256 of the raw files.

    Raises
    ------
    InputError
        If the raw files do not fit together, hold NaN or infinity, or have no vertex in
        any ROI.
    """
    responses = reader.responses(subject, hemisphere)
    sources = reader.sources(subject, hemisphere)
    named = dict(responses.rois)
    if reader.whole:
        named[WHOLE] = np.arange(len(responses.vertices))
    columns = roi_order(named, len(responses.vertices))
    if not len(columns):
        raise InputError(
            sources[0],
            f"no vertex in any of {len(responses.rois)} ROIs",
            "at least one ROI with vertices",
            "Check the masks of this subject and hemisphere.",
        )
    raw = {reader.name_of(file): sha256(file) for file in sources}
    provenance = replace(provenance, raw={**provenance.raw, **raw})
    needs = 4 * len(responses.values) * len(columns)
    with hdf5_writer(path, provenance, needs=needs) as file:
        constant = _write_values(file, responses.values, columns, sources[0])
        for name in ("vertices", "mesh_vertices", "noise_ceiling"):
            file.create_dataset(name, data=getattr(responses, name)[columns])
        file.create_dataset("constant", data=constant)
        file.create_dataset("identities", data=_utf8(responses.identities))
        position = np.full(len(responses.vertices), -1)
        position[columns] = np.arange(len(columns))
        rois = file.create_group("rois")
        for roi, vertices in named.items():
            rois.create_dataset(roi, data=position[vertices])


def roi_order(rois: Mapping[str, NDArray[np.int64]], n_vertices: int) -> NDArray[np.int64]:
    """Return the vertices of any ROI, those of the same ROIs side by side.

    Parameters
    ----------
    rois : mapping of str to array of int
        Vertices of each ROI; the first has its vertices together, and so on.
    n_vertices : int

    Returns
    -------
    array of int64
        Each vertex of the union once.
    """
    member = np.zeros((len(rois), n_vertices), bool)
    for row, vertices in zip(member, rois.values(), strict=True):
        row[vertices] = True
    union = np.flatnonzero(member.any(axis=0))
    return union[np.lexsort(~member[::-1, union])] if len(union) else union


def read_responses(
    path: str | Path, roi: str, identities: Mapping[str, str] | None = None
) -> Responses:
    """Read one ROI from the file of :func:`prepare_responses`.

    Parameters
    ----------
    path : path
    roi : str
    identities : mapping of str to str, optional
        Identity of every name that differs from it (:attr:`cortune.data.units.ImageSet.names`).

    Returns
    -------
    Responses
        In memory, with the ROI's vertices as columns; each image once, responses to
        pictures that are one image averaged.

    Raises
    ------
    InputError
        If the file is damaged or does not know the ROI.
    """
    with hdf5_reader(path) as file:
        if roi not in file["rois"]:
            raise InputError(
                path,
                f"no ROI {roi!r}",
                f"one of {', '.join(file['rois'])}",
                "Ask for an ROI of the data set's masks.",
            )
        columns = file["rois"][roi][()]
        names = [name.decode() for name in file["identities"][()]]
        values, kept = _once(
            _read_columns(file["responses"], columns),
            [(identities or {}).get(name, name) for name in names],
        )
        return Responses(
            values=values,
            vertices=file["vertices"][()][columns],
            mesh_vertices=file["mesh_vertices"][()][columns],
            identities=kept,
            rois={roi: np.arange(len(columns))},
            noise_ceiling=file["noise_ceiling"][()][columns],
        )


def _once(
    values: NDArray[np.float32], identities: Sequence[str]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Average the rows of each identity, in order of first appearance."""
    row = {identity: row for row, identity in enumerate(dict.fromkeys(identities))}
    if len(row) < len(identities):
        rows = np.array([row[identity] for identity in identities])
        total = np.zeros((len(row), values.shape[1]))
        np.add.at(total, rows, values)
        values = (total / np.bincount(rows)[:, None]).astype(np.float32)
    return values, tuple(row)


def split_images(
    identities: Iterable[str],
    seed: int,
    fractions: Mapping[str, float],
    path: str | Path,
    provenance: Provenance,
    *,
    given: Mapping[str, str] | None = None,
    whole: bool = True,
) -> None:
    """Write the set of every identity as a CSV with the columns ``identity,set``.

    Parameters
    ----------
    identities : iterable of str
        In any order, repeated or not.
    seed : int
    fractions : mapping
        Share of each of :data:`cortune.data.splits.SETS`.
    path : path
    provenance : Provenance
        Completed with the number of images of each set.
    given : mapping of str to str, optional
        As for :func:`cortune.data.splits.split_of`.
    whole : bool
        Whether every set with a share must have an image.

    Raises
    ------
    InputError
        If the shares do not sum to 1, or a set that has a share gets no image.
    """
    import pandas as pd

    table = split_table(identities, seed, fractions, given, covered=whole)
    counts = Counter(table.values())
    provenance = replace(provenance, notes={**provenance.notes, "images": dict(counts)})
    write_csv(path, pd.DataFrame({"identity": list(table), "set": table.values()}), provenance)


def _write_values(
    file: h5py.File, values: NDArray[Any], columns: NDArray[np.int64], source: Path
) -> NDArray[np.bool_]:
    """Copy the columns block by block; return which of them are constant."""
    from tqdm import tqdm

    shape = (len(values), len(columns))
    chunks = (min(_CHUNK[0], shape[0]), min(_CHUNK[1], shape[1]))
    dataset = file.create_dataset("responses", shape, np.float32, chunks=chunks)
    lowest, highest = np.full(shape[1], np.inf), np.full(shape[1], -np.inf)
    blocks = list(range(0, len(values), _CHUNK[0]))
    for start in tqdm(blocks, desc="responses", unit="block", mininterval=5):
        with np.errstate(over="ignore"):  # numbers beyond float32 become infinity
            block = np.array(values[start : start + _CHUNK[0]], np.float32)
        check_finite(source, block)
        block = block[:, columns]
        dataset[start : start + len(block)] = block
        np.minimum(lowest, block.min(axis=0), out=lowest)
        np.maximum(highest, block.max(axis=0), out=highest)
        release_pages(values)
    constant: NDArray[np.bool_] = lowest == highest
    return constant


def _read_columns(dataset: h5py.Dataset, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Read columns one column of chunks at a time.

    HDF5 selects scattered columns far slower than it reads whole ranges.
    """
    values = np.empty((dataset.shape[0], len(columns)), np.float32)
    for where in _by_chunk(columns, dataset.chunks[1]):
        first, last = columns[where].min(), columns[where].max()
        values[:, where] = dataset[:, first : last + 1][:, columns[where] - first]
    return values


def _by_chunk(columns: NDArray[np.int64], width: int) -> Iterator[NDArray[np.int64]]:
    """Group positions in `columns` by the chunk that holds the column."""
    chunk = columns // width
    for number in np.unique(chunk):
        yield np.flatnonzero(chunk == number)


def _place(source: PictureSource, reader: Reader) -> str:
    """Name a picture by its place in the data set."""
    if isinstance(source, BrickRow):
        return f"{reader.name_of(source.path)}#{source.row}"
    return reader.name_of(source)


def _utf8(names: Iterable[str]) -> NDArray[np.bytes_]:
    """Return fixed-length UTF-8; HDF5 writes it faster than variable-length strings."""
    import h5py

    encoded = [name.encode() for name in names]
    length = max(map(len, encoded), default=1)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))
