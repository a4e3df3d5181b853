"""How figures look: one colour per method, one order of ROIs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cortune.data.rois import GROUPS, STREAMS
from cortune.errors import InputError
from cortune.tuning.methods import METHODS

METHOD_COLOURS = {name: method.colour for name, method in METHODS.items()}
SUBJECT_MARKERS = "osD^v<>p"
CEILING = "#b5485d"
_ORDER = {roi: position for position, roi in enumerate((*GROUPS["all"], *STREAMS))}


def ordered_rois(rois: Iterable[str]) -> list[str]:
    """Return distinct ROIs from early to higher."""
    return sorted(set(rois), key=lambda roi: (_ORDER.get(roi, len(_ORDER)), roi))


def ordered_methods(methods: Iterable[str]) -> list[str]:
    """Return distinct methods from untuned to pooled, without the "" of what has none.

    Raises
    ------
    InputError
        If there is no such method: it has no colour, and is not to be left out.
    """
    present = set(methods) - {""}
    if unknown := present - set(METHODS):
        known = f"some of {', '.join(METHODS)}"
        raise InputError(
            "method", repr(min(unknown)), known, "Register it: cortune.tuning.methods."
        )
    return [method for method in METHODS if method in present]


@contextmanager
def figure_style() -> Iterator[None]:
    """Set the style of figures, without a display, for the block."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context(
        {
            "font.size": 9,
            "font.family": "DejaVu Sans",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "cortune",
        }
    ):
        yield
