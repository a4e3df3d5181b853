"""Table and figure of the information between images and responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from cortune.address import UNIT
from cortune.artifacts import PathLike, save_figure, write_csv
from cortune.information import bound_information, cosine_similarities, infonce_bound
from cortune.report.panels import (
    HEMISPHERES,
    canvas,
    colour_of,
    legend,
    line_handle,
    method_patches,
    notice,
    side_by_side,
    spread,
    subject_handles,
    subject_marker,
)
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.tables import (
    NAMES,
    EncodedUnit,
    encoded_units,
    over_replicates,
    split_name,
    unit_names,
)
from cortune.tuning.embeddings import ONE, read_embedding
from cortune.tuning.embeddings import embedded_units as units_within
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = [
    *(*NAMES, "split", "mi_lower_bound_nats", "temperature", "log_k", "n_images"),
    *("mi_fixed_temperature_nats", "fixed_temperature"),
    *("n_replicates", "mi_sd_replicates"),
]


def embedded_units(paths: Iterable[str]) -> list[EncodedUnit]:
    """Return each unit whose held-out images and responses a network embeds."""
    return [
        found
        if name == ONE
        else replace(found, **dict(zip(UNIT[1:], name.split(" "), strict=True)))
        for found in encoded_units(paths)
        for name in units_within(found.path)
    ]


def tabulate_information(
    units: Iterable[EncodedUnit],
    path: PathLike,
    provenance: Provenance,
    *,
    temperature: float = 0.3,
) -> None:
    """Write ``information.csv``, a row per unit and method with a contrastive head.

    Parameters
    ----------
    units : iterable of EncodedUnit
        Their paths are held-out embeddings
        (:func:`cortune.tuning.embeddings.write_embeddings`).
    path : path
    provenance : Provenance
    temperature : float
        At which the bound is evaluated without fitting, too, as published.
    """
    import pandas as pd

    rows = []
    for unit in units:
        embedding = read_embedding(unit.path, f"{unit.subject} {unit.hemisphere} {unit.roi}")
        bound = bound_information(embedding, provenance.seed)
        similarities = cosine_similarities(embedding.image_z, embedding.response_z)
        scores = {
            "mi_lower_bound_nats": bound.nats,
            "mi_fixed_temperature_nats": infonce_bound(similarities, temperature),
            "fixed_temperature": temperature,
        }
        rows.append(unit_names(unit) | split_name(provenance) | scores | asdict(bound))
    table = pd.DataFrame(rows, columns=COLUMNS[:-2])
    table = over_replicates(table, NAMES, "mi_lower_bound_nats", "mi_sd_replicates")
    write_csv(path, table[COLUMNS], provenance)


_LEAST_TOP = 0.05
"""Where the axis ends at least, nats: bounds of about zero shall look like it."""


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
    if table.empty:
        return notice("No method with a contrastive head")
    rois, methods = ordered_rois(table["roi"]), ordered_methods(table["method"])
    subjects = sorted(table["subject"].unique())
    figure = canvas(max(6.5, 0.4 * len(rois) * (len(methods) + 1) + 1.5), 5)
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
    bounds = table["mi_lower_bound_nats"]
    low, high = min(bounds.min(), 0), max(bounds.max(), 0)
    margin = 0.08 * (high - low)
    bottom, top = low - (low < 0) * margin, high + margin
    if top < _LEAST_TOP:
        bottom, top = min(bottom, -_LEAST_TOP / 20), _LEAST_TOP  # points at zero are whole
    axes[0].set_ylim(bottom, top)
    _legend(figure, table, methods, subjects)
    return figure


def _bars(
    ax: Axes, column: int, table: pd.DataFrame, methods: list[str], subjects: list[str]
) -> None:
    """Draw one ROI of one hemisphere: a bar per method, a point per subject."""
    width = 0.8 / len(methods)
    offsets = np.linspace(-0.3, 0.3, len(subjects)) * width if len(subjects) > 1 else [0.0]
    for index, method in enumerate(methods):
        colour = colour_of(method)
        x = column + side_by_side(index, len(methods), width)
        rows = table[table["method"] == method].set_index("subject")
        nats, sd = rows["mi_lower_bound_nats"], rows["mi_sd_replicates"]
        ax.bar(x, nats.mean(), 0.9 * width, color=colour, alpha=0.35)
        for offset, subject in zip(offsets, subjects, strict=True):
            if subject in nats.index:
                spread(ax, x + offset, nats[subject], sd[subject], colour)
                marker = subject_marker(subjects, subject)
                ax.plot(x + offset, nats[subject], marker, color=colour, ms=4, mec="white", mew=0.4)


def _legend(figure: Figure, table: pd.DataFrame, methods: list[str], subjects: list[str]) -> None:
    low, high = table["log_k"].min(), table["log_k"].max()
    most = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
    seen = "" if figure.axes[0].get_ylim()[1] > low else " (off the axis)"
    label = f"log K, the most it can say: {most} nats{seen}"
    handles = [*method_patches(methods, alpha=0.6), line_handle(label, "black", lw=0.8, ls=":")]
    legend(figure, handles + subject_handles(subjects), 5)
