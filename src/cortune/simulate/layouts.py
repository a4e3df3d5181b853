"""Writing a whole simulated data set in any of the layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cortune.artifacts import PathLike
from cortune.errors import InputError
from cortune.simulate.algonauts import simulate_algonauts
from cortune.simulate.nod import simulate_nod_subject, simulate_nod_support
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.nsd import simulate_nsd
from cortune.simulate.spec import SimulationSpec


def simulate_layout(
    layout: str,
    out: PathLike,
    subjects: Sequence[str],
    spec: SimulationSpec | NodSpec,
    seed: int,
) -> None:
    """Write a simulated data set, and what is true of it into ``truth`` beside it.

    Parameters
    ----------
    layout : {"algonauts2023", "nsd", "nod"}
    out : path
        Root of the data set.
    subjects : sequence of str
        ``subj01`` and so on, or ``sub01`` for NOD.
    spec : SimulationSpec or NodSpec
        NodSpec for NOD.
    seed : int

    Raises
    ------
    InputError
        If the layout and the specification do not belong together, there is no subject, or
        `out` is a file.
    """
    out = Path(out)
    if isinstance(spec, NodSpec) != (layout == "nod"):
        raise InputError(
            "layout", layout, "one that fits the specification", "Use NodSpec for nod alone."
        )
    if not subjects:
        raise InputError("subjects", "0 subjects", "at least one", "Raise the number.")
    if out.exists() and not out.is_dir():
        raise InputError(out, "a file", "a folder, or nothing yet", "Choose another folder.")
    if isinstance(spec, NodSpec):
        simulate_nod_support(out, seed)
        for subject in subjects:
            simulate_nod_subject(spec, subject, out, out.parent / "truth" / subject, seed)
    elif layout == "nsd":
        simulate_nsd(out, subjects, spec, seed)
    else:
        simulate_algonauts(out, subjects, spec, seed)
