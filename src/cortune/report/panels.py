"""What figures share: canvases, legends, and the marks of methods and subjects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cortune.report.style import METHOD_COLOURS, SUBJECT_MARKERS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEMISPHERES = {"lh": "left hemisphere", "rh": "right hemisphere"}
POOLED_MARKER = "*"


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def notice(text: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure = canvas(5, 2)
    figure.subplots().set_title(text)
    return figure


def colour_of(method: str) -> str:
    """Return the colour of a method."""
    return METHOD_COLOURS[method]


def side_by_side(index: int, n: int, width: float) -> float:
    """Return how far the middle of one of `n` bars lies from the middle of all."""
    return (index - (n - 1) / 2) * width


def subject_marker(subjects: Sequence[str], subject: str) -> str:
    """Return the marker of one of the subjects."""
    return SUBJECT_MARKERS[subjects.index(subject) % len(SUBJECT_MARKERS)]


def spread(ax: Axes, x: float, mean: float, sd: float, colour: str) -> None:
    """Draw the standard deviation over the networks of a unit, where there are several."""
    if sd == sd:
        ax.vlines(x, mean - sd, mean + sd, color=colour, lw=4, alpha=0.35)


def dashes(ax: Axes, x: float, values: pd.Series, colour: str) -> None:
    """Draw each of the networks of a unit as a thin dash, where there are several."""
    if len(values) > 1:
        ax.plot([x] * len(values), values, "_", color=colour, ms=5, mew=0.7)


def black_marker(marker: str, label: str, size: float = 4) -> Any:
    """Return the legend handle of a marker."""
    from matplotlib.lines import Line2D

    return Line2D([], [], ls="", marker=marker, color="black", ms=size, label=label)


def line_handle(label: str, colour: str, **style: Any) -> Any:
    """Return the legend handle of a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, label=label, **style)


def patches(colours: Iterable[tuple[str, Any]], **style: Any) -> list[Any]:
    """Return the legend handles of areas, from pairs of label and colour."""
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=label, **style) for label, colour in colours]


def method_patches(methods: Iterable[str], **style: Any) -> list[Any]:
    """Return the legend handles of methods."""
    return patches([(method, colour_of(method)) for method in methods], **style)


def subject_handles(subjects: Sequence[str], *, pooled: bool = False) -> list[Any]:
    """Return the legend handles of subjects, unless markers repeat, and of pooled networks."""
    handles = []
    if len(subjects) <= len(SUBJECT_MARKERS):
        handles = [black_marker(subject_marker(subjects, s), s) for s in subjects]
    return handles + ([black_marker(POOLED_MARKER, "all subjects", 7)] if pooled else [])


def legend(figure: Figure, handles: list[Any], most: int) -> None:
    """Draw a legend below a figure, in so many columns at most."""
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), most))
