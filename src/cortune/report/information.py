"""Table and figure of the information between images and responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortune.artifacts import PathLike, save_figure, write_csv
from cortune.information import bound_information
from cortune.report.encoding_figures import HEMISPHERES
from cortune.report.style import (
    METHOD_COLOURS,
    SUBJECT_MARKERS,
    figure_style,
    ordered_methods,
    ordered_rois,
)
from cortune.report.tables import EncodedUnit, encoded_units
from cortune.tuning.embeddings import embedded_subjects, read_embedding
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = [
    "dataset",
    "subject",
    "hemisphere",
    "roi",
    "method",
    "mi_lower_bound_nats",
    "temperature",
    "log_k",
    "n_images",
]


def embedded_units(paths: Iterable[str]) -> list[EncodedUnit]:
    """Return a unit for each subject whose held-out images and responses a network embeds."""
    return [
        replace(unit, subject=unit.subject or subject)
        for unit in encoded_units(paths)
        for subject in embedded_subjects(unit.path)
    ]


def tabulate_information(
    units: Iterable[EncodedUnit], path: PathLike, provenance: Provenance
) -> None:
    """Write ``information.csv``, a row per unit and method with a contrastive head.

    Parameters
    ----------
    units : iterable of EncodedUnit
        Their paths are held-out embeddings
        (:func:`cortune.tuning.embeddings.write_embeddings`).
    path : path
    provenance : Provenance
    """
    import pandas as pd

    rows = []
    for unit in units:
        bound = bound_information(read_embedding(unit.path, unit.subject), provenance.seed)
        names = {key: value for key, value in asdict(unit).items() if key != "path"}
        rows.append(names | {"mi_lower_bound_nats": bound.nats} | asdict(bound))
    write_csv(path, pd.DataFrame(rows, columns=COLUMNS), provenance)


def plot_information(table: PathLike, path: PathLike, provenance: Provenance) -> None:
    """Draw ``information.csv``.

    Parameters
    ----------
    table : path
        Table of :func:`tabulate_information`.
    path : path
    provenance : Provenance
    """
    import pandas as pd

    with figure_style():
        figure = information_by_roi(pd.read_csv(table, dtype={"subject": str}))
        save_figure(path, figure, provenance)


def information_by_roi(table: pd.DataFrame) -> Figure:
    """Draw the bound by ROI and method, each subject a point, log K where it is near.

    Parameters
    ----------
    table : DataFrame
        ``information.csv``; it may have no rows.
    """
    from matplotlib.figure import Figure

    if table.empty:
        figure = Figure(figsize=(5, 2))
        figure.subplots().set_title("No method with a contrastive head")
        return figure
    rois, methods = ordered_rois(table["roi"]), ordered_methods(table["method"])
    subjects = sorted(table["subject"].unique())
    figure = Figure(figsize=(max(6.5, 0.4 * len(rois) * (len(methods) + 1) + 1.5), 5))
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    for ax, (hemisphere, title) in zip(axes, HEMISPHERES.items(), strict=True):
        here = table[table["hemisphere"] == hemisphere]
        for column, roi in enumerate(rois):
            _bars(ax, column, here[here["roi"] == roi], methods, subjects)
        ax.axhline(0, color="black", lw=0.6)
        ax.axhline(table["log_k"].min(), color="black", lw=0.8, ls=":")
        ax.set_title(title)
        ax.set_ylabel("bound on mutual\ninformation (nats)")
        ax.set_xticks(range(len(rois)), rois)
    low, high = table["mi_lower_bound_nats"].min(), table["mi_lower_bound_nats"].max()
    margin = 0.08 * (max(high, 0) - min(low, 0))
    axes[0].set_ylim(min(low, 0) - (low < 0) * margin, max(high, 0) + margin)
    _legend(figure, table, methods, subjects)
    return figure


def _bars(
    ax: Axes, column: int, table: pd.DataFrame, methods: list[str], subjects: list[str]
) -> None:
    """Draw one ROI of one hemisphere: a bar per method, a point per subject."""
    width = 0.8 / len(methods)
    spread = np.linspace(-0.3, 0.3, len(subjects)) * width if len(subjects) > 1 else [0.0]
    for index, method in enumerate(methods):
        colour = METHOD_COLOURS[method]
        x = column + (index - (len(methods) - 1) / 2) * width
        nats = table[table["method"] == method].set_index("subject")["mi_lower_bound_nats"]
        ax.bar(x, nats.mean(), 0.9 * width, color=colour, alpha=0.35)
        for offset, (position, subject) in zip(spread, enumerate(subjects), strict=True):
            if subject in nats.index:
                marker = SUBJECT_MARKERS[position % len(SUBJECT_MARKERS)]
                ax.plot(x + offset, nats[subject], marker, color=colour, ms=4, mec="white", mew=0.4)


def _legend(figure: Figure, table: pd.DataFrame, methods: list[str], subjects: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    low, high = table["log_k"].min(), table["log_k"].max()
    most = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
    handles: list[Any] = [Patch(color=METHOD_COLOURS[m], alpha=0.6, label=m) for m in methods]
    seen = "" if figure.axes[0].get_ylim()[1] > low else " (off the axis)"
    label = f"log K, the most it can say: {most} nats{seen}"
    handles.append(Line2D([], [], color="black", lw=0.8, ls=":", label=label))
    if len(subjects) <= len(SUBJECT_MARKERS):
        handles += [
            Line2D([], [], ls="", marker=SUBJECT_MARKERS[i], color="black", ms=4, label=subject)
            for i, subject in enumerate(subjects)
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
