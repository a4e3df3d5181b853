"""Write the table of NSD's shared images from the experiment's design.

python benchmarks/nsd_shared.py nsd_expdesign.mat
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from cortune.data.nsd_files import read_design

SESSIONS = (40, 40, 32, 30, 40, 32, 40, 30)
"""Sessions released of subjects 1 to 8, of 750 trials each."""
N_SHARED, TRIALS = 1000, 750


def shared_images(path: Path, left_out: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the NSD ids of the shared images, and how often each subject saw them.

    Parameters
    ----------
    path : Path
        ``nsd_expdesign.mat``.
    left_out : int
        Last sessions of every subject that do not count; the Algonauts challenge has none
        of the last three in its training part.

    Returns
    -------
    ids : array (1000,)
        Ascending, from 0.
    seen : array (8, 1000)
    """
    design = read_design(path)
    ids = np.sort(design.images[0, :N_SHARED])
    shown = [
        design.images[subject, design.ordering[: (sessions - left_out) * TRIALS]]
        for subject, sessions in enumerate(SESSIONS)
    ]
    return ids, np.array([np.bincount(each, minlength=ids[-1] + 1)[ids] for each in shown])


def main() -> None:
    """Write the package's table."""
    ids, seen = shared_images(Path(sys.argv[1]))
    often = (seen >= 3).all(axis=0).astype(int)
    lines = ["nsdId,shared515", *(f"{i},{o}" for i, o in zip(ids, often, strict=True))]
    table = Path(__file__).parents[1] / "src" / "cortune" / "data" / "nsd_shared.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
