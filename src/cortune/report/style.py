"""How figures look: one colour per method, one order of ROIs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cortune.data.rois import GROUPS, STREAMS

METHOD_COLOURS = {
    "untuned": "#7f7f7f",
    "regression": "#d98b2b",
    "contrastive": "#1f6fb4",
    "contrastive_plus": "#123d6b",
    "pooled_mean": "#2c9c6a",
    "pooled_max": "#7bc043",
    "pooled_loso": "#8a5fbf",
}
SUBJECT_MARKERS = "osD^v<>p"
CEILING = "#b5485d"
_ORDER = {roi: position for position, roi in enumerate((*GROUPS["all"], *STREAMS))}


def ordered_rois(rois: Iterable[str]) -> list[str]:
    """Return distinct ROIs from early to higher."""
    return sorted(set(rois), key=lambda roi: (_ORDER.get(roi, len(_ORDER)), roi))


def ordered_methods(methods: Iterable[str]) -> list[str]:
    """Return distinct methods from untuned to pooled."""
    present = set(methods)
    return [method for method in METHOD_COLOURS if method in present]


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
