"""Predicted responses to files, a block of pictures at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cortune
from cortune.artifacts import PathLike, atomic, write_json
from cortune.data.npy import create_array
from cortune.errors import InputError
from cortune.export.encoder import Encoder, find_pictures

_FSAVERAGE = 163_842
_SIDES = {"lh": "CortexLeft", "rh": "CortexRight"}
_FORMS = (".parquet", ".npy", ".gii", ".dscalar.nii")


def predict_to_file(
    encoder: Encoder,
    pictures: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    like: PathLike | None = None,
    **options: Any,
) -> list[Path]:
    """Predict the responses to pictures into a file.

    Parameters
    ----------
    encoder : Encoder
    pictures : path, or sequence of paths
        A folder, or picture files.
    out : path
        ``.parquet`` has a row for each picture and voxel; ``.npy`` is (n_pictures, n_voxels)
        float32, and says in ``<name>.json`` what its rows and columns are; ``.gii`` has a map of
        fsaverage for each picture, one file a hemisphere (``lh.<name>``, ``rh.<name>``), NaN
        outside; ``.dscalar.nii`` has one for each, on the grayordinates of `like`.
    like : path, optional
        A CIFTI-2 file of the data set.
    **options
        As of :meth:`cortune.export.encoder.Encoder.predict`.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If the form is not known, or the encoder's voxels have no place in it.
    ResourceError
        If the disk is too full.
    """
    path, files = Path(out), find_pictures(pictures)
    form = next((each for each in _FORMS if path.name.endswith(each)), None)
    if form is None:
        raise InputError(path, path.suffix or "no suffix", " or ".join(_FORMS), "Rename it.")
    blocks = encoder.blocks(files, **options)
    if form == ".npy":
        return _npy(path, encoder, files, blocks)
    if form == ".parquet":
        return _parquet(path, encoder, files, blocks)
    if form == ".gii":
        return _gifti(path, encoder, files, blocks)
    return _cifti(path, encoder, files, blocks, like)


Blocks = Iterator[NDArray[np.float32]]


def _npy(path: Path, encoder: Encoder, files: Sequence[Path], blocks: Blocks) -> list[Path]:
    shape = (len(files), encoder.n_outputs)
    with atomic(path, needs=4 * shape[0] * shape[1]) as temporary:
        values = create_array(temporary, shape)
        start = 0
        for block in blocks:
            values[start : start + len(block)] = block
            start += len(block)
        values.flush()  # type: ignore[attr-defined]
    columns = encoder.columns
    described = {
        "cortune": cortune.__version__,
        "encoder": encoder.config["provenance"],
        "pictures": [str(file) for file in files],
        "columns": {
            name: columns[name].tolist()
            for name in ("subject", "hemisphere", "roi", "vertex", "mesh_vertex")
        },
    }
    beside = path.with_name(f"{path.name}.json")
    write_json(beside, described)
    return [path, beside]


def _parquet(path: Path, encoder: Encoder, files: Sequence[Path], blocks: Blocks) -> list[Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = encoder.columns[["subject", "hemisphere", "roi", "vertex"]]
    schema = pa.schema(
        [
            ("picture", pa.dictionary(pa.int32(), pa.string())),
            *((name, pa.dictionary(pa.int32(), pa.string())) for name in columns.columns[:3]),
            ("vertex", pa.int32()),
            ("response", pa.float32()),
        ]
    )
    with (
        atomic(path, needs=4 * len(files) * len(columns)) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        start = 0
        for block in blocks:
            names = [str(file) for file in files[start : start + len(block)]]
            start += len(block)
            n, repeated = len(block), np.repeat(np.arange(len(block)), len(columns))
            arrays: list[Any] = [_named(repeated, names)]
            for name in columns.columns[:3]:
                codes, known = columns[name].factorize()
                arrays.append(_named(np.tile(codes, n), list(known)))
            arrays.append(pa.array(np.tile(columns["vertex"], n), pa.int32()))
            arrays.append(pa.array(block.ravel()))
            writer.write_table(pa.table(arrays, schema=schema))
    return [path]


def _named(codes: NDArray[np.integer[Any]], names: list[str]) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))


def _gifti(path: Path, encoder: Encoder, files: Sequence[Path], blocks: Blocks) -> list[Path]:
    import nibabel as nib

    columns = encoder.columns
    mesh = columns["mesh_vertex"].to_numpy()
    if (mesh < 0).any() or mesh.max() >= _FSAVERAGE:
        raise InputError(
            path,
            "voxels of no known fsaverage vertex",
            "an encoder of responses on fsaverage",
            "Write .npy or .parquet, or .dscalar.nii for grayordinates.",
        )
    sides = list(dict.fromkeys(columns["hemisphere"]))
    needs = 4 * _FSAVERAGE * len(files)
    images = {side: nib.gifti.GiftiImage() for side in sides}
    for image, side in zip(images.values(), sides, strict=True):
        image.meta["AnatomicalStructurePrimary"] = _SIDES[side]
    values = iter(value for block in blocks for value in block)
    for file, value in zip(files, values, strict=True):
        for side, image in images.items():
            on = columns["hemisphere"].to_numpy() == side
            surface = np.full(_FSAVERAGE, np.nan, np.float32)
            surface[mesh[on]] = value[on]
            image.add_gifti_data_array(
                nib.gifti.GiftiDataArray(
                    surface,
                    intent="NIFTI_INTENT_ESTIMATE",
                    datatype="NIFTI_TYPE_FLOAT32",
                    meta=nib.gifti.GiftiMetaData(Name=file.name),
                )
            )
    written = []
    for side, image in images.items():
        one = path if len(sides) == 1 else path.with_name(f"{side}.{path.name}")
        with atomic(one, needs=needs) as temporary:
            temporary.write_bytes(image.to_bytes())
        written.append(one)
    return written


def _cifti(
    path: Path, encoder: Encoder, files: Sequence[Path], blocks: Blocks, like: PathLike | None
) -> list[Path]:
    import nibabel as nib

    from cortune.data.cifti import read_cifti_header

    if like is None:
        raise InputError(
            path,
            "no file that says where grayordinates lie",
            "a CIFTI-2 file of the data set",
            "Name one with --like.",
        )
    vertices = encoder.columns["vertex"].to_numpy()
    header = read_cifti_header(Path(like))
    if not (encoder.columns["mesh_vertex"] < 0).all() or vertices.max() >= header.n_cortex:
        raise InputError(
            path,
            "voxels that are no grayordinates",
            f"an encoder of the {header.n_cortex} cortical grayordinates of {like}",
            "Write .npy or .parquet, or .gii for fsaverage.",
        )
    axis = nib.load(like).header.get_axis(1)
    values = np.full((len(files), len(axis)), np.nan, np.float32)
    start = 0
    for block in blocks:
        values[start : start + len(block), vertices] = block
        start += len(block)
    names = nib.cifti2.ScalarAxis([file.name for file in files])
    image = nib.Cifti2Image(values, (names, axis))
    with atomic(path, needs=values.nbytes) as temporary:
        written = temporary.with_name(f"{temporary.name}.dscalar.nii")
        nib.save(image, written)
        written.replace(temporary)
    return [path]
