"""The files of the raw Natural Scenes Dataset: betas, surface maps, labels, the design.

Source: Allen et al. 2022 and the NSD Data Manual.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cortune.data.algonauts_files import N_FSAVERAGE, N_NSD, check_names
from cortune.data.hdf5 import hdf5_array
from cortune.data.matlab import load_variables
from cortune.data.npy import release_pages
from cortune.data.problems import AGAIN, CHECK_ROOT, reason
from cortune.data.rois import UNKNOWN
from cortune.errors import InputError
from cortune.files import regular_file

_log = logging.getLogger(__name__)

_SCALE = 300  # integers per percent signal change
_MAX_VALUES = 1 << 28  # of a map or volume: a hostile header can claim any number
_BROKEN = (
    OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, EOFError, zlib.error,
)  # fmt: skip


class Betas(Protocol):
    """Single-trial responses of one session, percent signal change."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def n_trials(self) -> int:
        """Number of trials."""

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of one trial."""

    def read(self, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n_trials, len(columns)); NaN where a vertex has no data."""


@dataclass(frozen=True)
class SurfaceBetas:
    """``lh.betas_session01.mgh``: (163842, 1, 1, n_trials) big-endian float32.

    The values of one trial follow each other, so they are mapped as (n_trials, 163842).
    """

    path: Path
    n_trials: int
    offset: int

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of one trial."""
        return (N_FSAVERAGE,)

    def read(self, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the betas of ascending vertices: (n_trials, len(columns))."""
        shape = (self.n_trials, N_FSAVERAGE)
        values = np.memmap(self.path, ">f4", "r", self.offset, shape)
        betas = values[:, columns].astype(np.float32)
        release_pages(values)
        return betas


@dataclass(frozen=True)
class VolumeBetas:
    """``betas_session01.hdf5``: ``/betas`` (n_trials, Z, Y, X) int16, 300 per percent.

    Columns are positions in the flattened (Z, Y, X). A voxel that is zero throughout a
    session lies outside of what that session covers: it has no data.
    """

    path: Path
    n_trials: int
    grid: tuple[int, ...]

    def read(self, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the betas of ascending voxels: (n_trials, len(columns))."""
        z, y, x = np.unravel_index(columns, self.grid)
        raw = np.empty((self.n_trials, len(columns)), np.int16)
        with _betas_array(self.path) as array:
            for plane in np.unique(z):  # one plane in memory at a time
                where = np.flatnonzero(z == plane)
                rows = slice(y[where].min(), y[where].max() + 1)
                cells = slice(x[where].min(), x[where].max() + 1)
                block = array[:, plane, rows, cells]
                raw[:, where] = block[:, y[where] - rows.start, x[where] - cells.start]
        limits = np.iinfo(np.int16)
        if n_saturated := np.count_nonzero((raw == limits.min) | (raw == limits.max)):
            _log.warning("%s: %d betas at the limits of int16", self.path, n_saturated)
        betas = raw.astype(np.float32) / np.float32(_SCALE)
        betas[:, ~raw.any(axis=0)] = np.nan
        return betas


def open_surface_betas(path: Path) -> SurfaceBetas:
    """Read the header of a session's betas on fsaverage.

    Raises
    ------
    InputError
        If the file is missing, no MGH file, truncated, or holds another type or shape.
    """
    expected = f"float32 betas of shape ({N_FSAVERAGE}, 1, 1, n_trials)"
    header = _load(path, "an MGH file").header
    shape = (*header.get_data_shape(), 1)[:4]
    dtype = header.get_data_dtype().newbyteorder("=")
    if dtype != np.float32:
        raise InputError(path, f"numbers of type {dtype}", expected, AGAIN)
    if shape[:3] != (N_FSAVERAGE, 1, 1):
        shown = f"{shape[0]} vertices" if shape[1:3] == (1, 1) else f"shape {shape}"
        cure = "Copy the betas in fsaverage space; native surfaces have other vertices."
        raise InputError(path, shown, expected, cure)
    n_bytes = header.get_data_offset() + 4 * math.prod(map(int, shape))
    size = path.stat().st_size
    if size < n_bytes:
        found = f"{size} bytes (truncated)"
        raise InputError(path, found, f"at least {n_bytes} bytes for shape {shape}", AGAIN)
    return SurfaceBetas(path, int(shape[3]), int(header.get_data_offset()))


def open_volume_betas(path: Path) -> VolumeBetas:
    """Read the header of a session's betas in the functional volume.

    Raises
    ------
    InputError
        If the file is missing, truncated, or ``/betas`` is not 4-d int16.
    """
    with _betas_array(path) as array:
        return VolumeBetas(path, array.shape[0], tuple(array.shape[1:]))


def _betas_array(path: Path) -> Any:
    return hdf5_array(path, "betas", kind="int16", ndim=4)


def load_surface(path: Path) -> NDArray[Any]:
    """Load a map on a surface (``.mgh`` or ``.mgz``): (n_vertices,).

    Raises
    ------
    InputError
        If the file is missing, damaged or holds more than one number per vertex.
    """
    values = _values(path, "an MGH file")
    if values.ndim > 1 and max(values.shape[1:]) > 1:
        raise InputError(path, f"shape {values.shape}", "one number per vertex", AGAIN)
    return values.reshape(-1)


def load_volume(path: Path) -> NDArray[Any]:
    """Load a volume (``.nii.gz``) with the axes of the betas in h5py: (Z, Y, X).

    Raises
    ------
    InputError
        If the file is missing, damaged or not three-dimensional.
    """
    values = _values(path, "a NIfTI file")
    if values.ndim != 3:
        raise InputError(path, f"shape {values.shape}", "a 3-d volume", AGAIN)
    return values.transpose(2, 1, 0)


def as_integers(path: Path, values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Return whole numbers, in whatever type they were stored, as int64.

    Raises
    ------
    InputError
        If a value is not whole, or not finite.
    """
    whole = np.isfinite(values) & (values == np.round(values))
    if not whole.all():
        found = f"{np.count_nonzero(~whole)} values that are not whole numbers"
        raise InputError(path, found, what, AGAIN)
    return values.astype(np.int64)


def _values(path: Path, kind: str) -> NDArray[Any]:
    image = _load(path, kind)
    if math.prod(map(int, image.shape)) > _MAX_VALUES:
        expected = f"at most {_MAX_VALUES} values"
        raise InputError(path, f"shape {tuple(map(int, image.shape))}", expected, AGAIN)
    try:
        return np.asanyarray(image.dataobj)
    except _BROKEN as error:
        raise _damaged(path, kind, error) from None


def _load(path: Path, kind: str) -> Any:
    """Open an image of FreeSurfer or NIfTI; its values stay on disk."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.freesurfer.mghformat import MGHError
    from nibabel.spatialimages import HeaderDataError

    try:
        return nibabel.load(regular_file(path))
    except FileNotFoundError as error:
        raise InputError(path, reason(error), kind, CHECK_ROOT) from None
    except (ImageFileError, MGHError, HeaderDataError, *_BROKEN) as error:
        raise _damaged(path, kind, error) from None


def _damaged(path: Path, kind: str, error: Exception) -> InputError:
    found = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        found += " (truncated)"
    return InputError(path, f"no readable file: {found}", kind, AGAIN)


def read_colour_table(path: Path) -> dict[int, str]:
    """Read the ROI name of each label from ``<family>.mgz.ctab``.

    A line holds the label, the name, and in FreeSurfer's own tables a colour.

    Raises
    ------
    InputError
        If a line has no number and name, or names are as
        :func:`cortune.data.algonauts_files.check_names` forbids.
    """
    expected = "lines of a label and a name, such as '1 V1v'"
    names = {0: UNKNOWN}
    try:
        lines = regular_file(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"no readable text ({error})", expected, AGAIN) from None
    for line in filter(None, map(str.strip, lines)):
        label, *rest = line.split()
        if not label.lstrip("-").isdecimal() or not rest:
            raise InputError(path, f"the line {line[:60]!r}", expected, AGAIN)
        if int(label) > 0:  # the others belong to no ROI, whatever they are called
            names[int(label)] = rest[0]
    check_names(path, names)
    return names


@dataclass(frozen=True)
class Design:
    """Which image every trial of every subject shows; everything counts from 0.

    Parameters
    ----------
    ordering : array (n_trials,), int64
        Column of `images` that a trial shows, the same for all subjects.
    images : array (n_subjects, n_images), int64
        NSD ids.
    """

    ordering: NDArray[np.int64]
    images: NDArray[np.int64]


def read_design(path: Path) -> Design:
    """Read ``nsd_expdesign.mat``, in which everything counts from 1.

    Raises
    ------
    InputError
        If the file is missing or damaged, a variable is missing, or an index is out of
        range.
    """
    names = ("masterordering", "subjectim")
    expected = f"a MATLAB file with {' and '.join(names)}"
    variables = load_variables(path, names, expected, f"{CHECK_ROOT} {AGAIN}")
    for name in names:
        if name not in variables:
            raise InputError(path, f"no variable {name!r}", expected, AGAIN)
        value = variables[name]
        if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "iuf":
            found = f"{name} of another kind ({getattr(value, 'dtype', type(value).__name__)})"
            raise InputError(path, found, f"{name} as a matrix of numbers", AGAIN)
    images = variables["subjectim"]
    return Design(
        _from_one(path, "masterordering", variables["masterordering"].reshape(-1), images.shape[1]),
        _from_one(path, "subjectim", images, N_NSD),
    )


def _from_one(path: Path, name: str, values: NDArray[Any], highest: int) -> NDArray[np.int64]:
    """Turn indices that count from 1 into indices that count from 0."""
    whole = as_integers(path, values, f"{name} of whole numbers")
    if outside := np.count_nonzero((whole < 1) | (whole > highest)):
        found = f"{outside} values of {name} out of range ({whole.min()} to {whole.max()})"
        raise InputError(path, found, f"values from 1 to {highest}", AGAIN)
    return whole - 1
