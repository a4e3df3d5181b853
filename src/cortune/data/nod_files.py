"""The parcellation and the pRF fits of a NOD data set, and which vertices they choose."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortune.data.cifti import HEMISPHERES, CiftiHeader, map_cifti, read_cifti_header
from cortune.data.matlab import load_variables
from cortune.data.problems import reason
from cortune.errors import InputError
from cortune.files import regular_file

N_CORTEX = 59_412
N_LEFT = 29_696
N_AREAS = 180

_LABELS = "glasser_MMP"
FROM_AUTHORS = (
    "Copy it from validation/supportfiles of github.com/BNUCNL/NOD-fmri, since ds004496 does not "
    "have it; `cortune fetch nod` gets it, too."
)
AS_DISTRIBUTED = "Copy the file as distributed by OpenNeuro."
_AREA = re.compile(r"[LR]_(?P<area>[A-Za-z0-9][A-Za-z0-9_-]*)_ROI")


def load_areas(path: str | Path) -> list[str]:
    """Read the names of the 180 areas from ``roilbl_mmp.csv``.

    Raises
    ------
    InputError
        If the file is missing or does not hold 180 distinct names.
    """
    expected = f"a header line, then {N_AREAS} lines like L_V1_ROI,R_V1_ROI"
    names = []
    for row in read_rows(path, expected, FROM_AUTHORS, delimiter=",")[1:]:
        match = _AREA.fullmatch(row[0].strip())
        if match is None:
            raise InputError(path, f"the line {','.join(row)!r}", expected, FROM_AUTHORS)
        names.append(match["area"])
    if len(names) != N_AREAS:
        raise InputError(path, f"{len(names)} areas", expected, FROM_AUTHORS)
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(path, f"the area {name!r} {count} times", expected, FROM_AUTHORS)
    return names


def load_parcels(path: str | Path) -> NDArray[np.int64]:
    """Read the number, 0 to 179, of every cortical grayordinate's area; -1 is none.

    Labels 1 to 180 are the areas of one hemisphere and 181 to 360 those of the other. In
    the file as distributed the left hemisphere, which comes first among grayordinates, has
    the higher labels, as in the HCP's own parcellation; so hemispheres are told by
    position, and either order of labels is read.

    Returns
    -------
    array (59412,), int64

    Raises
    ------
    InputError
        If the file is missing, unreadable, of another length, or mixes hemispheres.
    """
    expected = f"the variable {_LABELS}: {N_CORTEX} labels from 0 to {2 * N_AREAS}"
    labels = _matlab_variable(Path(path), expected)
    if labels.size != N_CORTEX:
        found = f"{_LABELS} of shape {labels.shape}"
        raise InputError(path, found, expected, FROM_AUTHORS)
    labels = labels.ravel()
    whole = np.isfinite(labels) & (labels == np.round(labels))
    if not (whole & (labels >= 0) & (labels <= 2 * N_AREAS)).all():
        raise InputError(path, "labels out of range", expected, FROM_AUTHORS)
    numbers = labels.astype(np.int64)
    upper = numbers > N_AREAS
    left, right = (
        upper[part][numbers[part] > 0] for part in np.split(np.arange(N_CORTEX), [N_LEFT])
    )
    if left.any() != left.all() or right.any() != right.all() or left.any() == right.any():
        found = f"labels of both hemispheres among the first {N_LEFT}"
        raise InputError(path, found, "left cortex, then right cortex", FROM_AUTHORS)
    return np.where(numbers > 0, (numbers - 1) % N_AREAS, -1)


def _matlab_variable(path: Path, expected: str) -> NDArray[Any]:
    variables = load_variables(path, [_LABELS], expected, FROM_AUTHORS)
    labels = np.asarray(variables.get(_LABELS, np.empty(0, object)))
    if labels.dtype.kind not in "iuf":
        raise InputError(path, f"no numbers called {_LABELS}", expected, FROM_AUTHORS)
    return labels


def check_cortex(path: str | Path, header: CiftiHeader) -> None:
    """Require the 59412 cortical grayordinates that the parcellation numbers.

    Raises
    ------
    InputError
        With the number of grayordinates found.
    """
    parts = {name: header.structures.get(name, slice(0, 0)) for name in HEMISPHERES.values()}
    left = parts[HEMISPHERES["lh"]]
    if header.n_cortex != N_CORTEX or left.stop - left.start != N_LEFT:
        counts = "/".join(str(part.stop - part.start) for part in parts.values())
        raise InputError(
            path,
            f"{counts} left/right cortical grayordinates",
            f"{N_LEFT}/{N_CORTEX - N_LEFT} (32k_fs_LR without the medial wall)",
            AS_DISTRIBUTED,
        )


def cortex_part(header: CiftiHeader, hemisphere: str) -> slice:
    """Return the columns of one hemisphere's cortex."""
    return header.structures[HEMISPHERES[hemisphere]]


def load_fit(path: str | Path, hemisphere: str) -> NDArray[np.float64]:
    """Read R² of the pRF fits at one hemisphere's cortical grayordinates; NaN where none.

    R² is the map of that name, or else the fourth.

    Raises
    ------
    InputError
        If the file is missing, of other grayordinates, or has fewer maps.
    """
    header = read_cifti_header(path)
    check_cortex(path, header)
    named = [row for row, name in enumerate(header.names) if name.lower() in ("r2", "r²", "r^2")]
    row = named[0] if named else 3
    if row >= header.shape[0]:
        expected = "the maps angle, eccentricity, size and R²"
        raise InputError(path, f"{header.shape[0]} maps", expected, AS_DISTRIBUTED)
    return np.asarray(map_cifti(path)[row, cortex_part(header, hemisphere)], np.float64)


def best_fitted(vertices: NDArray[np.int64], r2: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the `n` vertices of highest R², ascending; NaN counts least, ties go to the first.

    Parameters
    ----------
    vertices : array of int64
        Ascending positions in `r2`.
    r2 : array (n_grayordinates,)
    n : int
    """
    fit = r2[vertices]
    unknown = np.isnan(fit)
    order = np.lexsort((np.where(unknown, 0, -fit), unknown))
    return np.sort(vertices[order[:n]])


def read_rows(
    path: str | Path, expected: str, cure: str = AS_DISTRIBUTED, *, delimiter: str
) -> list[list[str]]:
    """Read the rows of a table that are not empty."""
    try:
        with regular_file(path).open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except OSError as error:
        raise InputError(path, reason(error), expected, cure) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"an unreadable table ({error})", expected, cure) from None
