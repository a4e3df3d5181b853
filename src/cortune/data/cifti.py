"""Reading CIFTI-2 files that others wrote: the header first, and only what is asked for.

nibabel turns the indices of every grayordinate into objects, which takes a quarter of a
second per file; a data set has hundreds. Here nibabel reads the binary header and the data,
and of the XML only the names of the maps and the extent of the brain structures are kept.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from cortune.data.problems import AGAIN, CHECK_ROOT, reason
from cortune.errors import InputError
from cortune.files import regular_file

HEMISPHERES = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}

_EXTENSION = 32  # the code of CIFTI-2 among NIfTI extensions
_HEADER_BYTES = 540
_EXPECTED = "a CIFTI-2 file (.dscalar.nii) of maps by grayordinates"


@dataclass(frozen=True)
class CiftiHeader:
    """What a CIFTI-2 file says of its data.

    Parameters
    ----------
    shape : tuple of int
        Maps and grayordinates.
    names : tuple of str
        Name of each map; empty if the rows are no named maps.
    structures : dict of str to slice
        Columns of each brain structure.
    """

    shape: tuple[int, int]
    names: tuple[str, ...]
    structures: dict[str, slice]

    @property
    def n_cortex(self) -> int:
        """Number of cortical grayordinates."""
        parts = [self.structures.get(name, slice(0, 0)) for name in HEMISPHERES.values()]
        return sum(part.stop - part.start for part in parts)


def read_cifti_header(path: str | Path) -> CiftiHeader:
    """Read the header of a CIFTI-2 file and require the data to be wholly on disk.

    Raises
    ------
    InputError
        If the file is missing, no CIFTI-2 file, truncated, or its axes do not fit its data.
    """
    return _read(Path(path), _stamp(path))


def map_cifti(path: str | Path) -> NDArray[np.floating[Any]]:
    """Map the data of a CIFTI-2 file, (n_maps, n_grayordinates).

    Nothing is read until it is used, unless the file scales its numbers.

    Raises
    ------
    InputError
        As :func:`read_cifti_header`.
    """
    from nibabel.arrayproxy import ArrayProxy

    shape = read_cifti_header(path).shape
    with Path(path).open("rb") as file:
        header = _binary_header(Path(path), file.read(_HEADER_BYTES))
    data: NDArray[np.floating[Any]] = np.asanyarray(ArrayProxy(path, header))
    return data.reshape(shape, order="F")


def _stamp(path: str | Path) -> tuple[int, ...]:
    """Return what changes when a file does."""
    try:
        status = regular_file(path).stat()
    except OSError as error:
        raise InputError(path, reason(error), _EXPECTED, CHECK_ROOT) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@lru_cache(maxsize=1024)
def _read(path: Path, stamp: tuple[int, ...]) -> CiftiHeader:
    size = stamp[0]
    try:
        with path.open("rb") as file:
            header = _binary_header(path, file.read(_HEADER_BYTES))
            offset = int(header["vox_offset"])
            extensions = file.read(max(0, min(offset, size) - _HEADER_BYTES))
    except OSError as error:
        raise InputError(path, reason(error), _EXPECTED, "Check its permissions.") from None
    shape = tuple(map(int, header.get_data_shape()))
    n_bytes = offset + math.prod(shape) * header.get_data_dtype().itemsize
    if size < n_bytes:
        wanted = f"{n_bytes} bytes for shape {shape[-2:]}"
        raise InputError(path, f"{size} bytes (truncated)", wanted, AGAIN)
    if len(shape) != 6 or shape[:4] != (1, 1, 1, 1) or 0 in shape:
        raise InputError(path, f"NIfTI data of shape {shape}", _EXPECTED, AGAIN)
    names, structures, n_columns = _axes(path, _cifti_xml(path, extensions, header.endianness))
    if (names and len(names) != shape[4]) or n_columns != shape[5]:
        found = f"{len(names)} map names and {n_columns} grayordinates for data of {shape[4:]}"
        raise InputError(path, found, "axes as long as the data", AGAIN)
    return CiftiHeader((shape[4], shape[5]), names, structures)


def _binary_header(path: Path, block: bytes) -> Any:
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        header = Nifti2Header(block)
        header.get_data_dtype()
    except (WrapStructError, HeaderDataError, ValueError, KeyError):
        raise InputError(path, "no NIfTI-2 header", _EXPECTED, AGAIN) from None
    if header["magic"].item()[:3] != b"n+2" or header.get_data_dtype().kind not in "iuf":
        raise InputError(path, "no NIfTI-2 header of numbers", _EXPECTED, AGAIN)
    return header


def _cifti_xml(path: Path, extensions: bytes, order: str) -> ElementTree.Element:
    """Return the CIFTI extension; `extensions` starts with the four bytes that announce it."""
    position = 4
    while position + 8 <= len(extensions):
        size, code = struct.unpack_from(f"{order}ii", extensions, position)
        if size < 8 or position + size > len(extensions):
            break
        if code == _EXTENSION:
            text = extensions[position + 8 : position + size].rstrip(b"\0")
            try:
                return ElementTree.fromstring(text)
            except (ElementTree.ParseError, ValueError) as error:
                found = f"unreadable CIFTI axes ({error})"
                raise InputError(path, found, _EXPECTED, AGAIN) from None
        position += size
    raise InputError(path, "a NIfTI file without CIFTI axes", _EXPECTED, AGAIN)


def _axes(path: Path, root: ElementTree.Element) -> tuple[tuple[str, ...], dict[str, slice], int]:
    """Return map names, structures and the number of grayordinates."""
    names: tuple[str, ...] = ()
    structures: dict[str, slice] = {}
    try:
        for axis in root.iter("MatrixIndicesMap"):
            kind = axis.attrib["IndicesMapToDataType"]
            dimensions = axis.attrib["AppliesToMatrixDimension"].split(",")
            if "0" in dimensions and kind == "CIFTI_INDEX_TYPE_SCALARS":
                names = tuple((name.text or "").strip() for name in axis.iter("MapName"))
            elif "1" in dimensions and kind == "CIFTI_INDEX_TYPE_BRAIN_MODELS":
                for model in axis.iter("BrainModel"):
                    start = int(model.attrib["IndexOffset"])
                    stop = start + int(model.attrib["IndexCount"])
                    structures[model.attrib["BrainStructure"]] = slice(start, stop)
    except (KeyError, ValueError) as error:
        found = f"incomplete CIFTI axes ({error})"
        raise InputError(path, found, _EXPECTED, AGAIN) from None
    if not structures:
        raise InputError(path, "no brain models along the columns", _EXPECTED, AGAIN)
    return names, structures, max(part.stop for part in structures.values())
