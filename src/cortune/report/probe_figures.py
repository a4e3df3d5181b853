"""Figures of the probes: what tuned networks still classify, and what tuning bought for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortune.artifacts import PathLike, save_figure
from cortune.data.rois import EARLY
from cortune.report.gains import over_untuned
from cortune.report.panels import (
    HEMISPHERES,
    POOLED_MARKER,
    black_marker,
    canvas,
    colour_of,
    dashes,
    legend,
    line_handle,
    method_patches,
    notice,
    side_by_side,
    subject_handles,
    subject_marker,
)
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = ["probe", "model", "dataset", "subject", "hemisphere", "roi", "method"]
_GROUP_MARKERS = {"early": "o", "higher": "^"}


def read_probe_table(path: PathLike) -> pd.DataFrame:
    """Read ``probes.csv``; entities that do not apply are empty strings."""
    import pandas as pd

    table = pd.read_csv(path, dtype=dict.fromkeys(_NAMES, str))
    return table.fillna(dict.fromkeys(_NAMES, ""))


def plot_probes(table: PathLike, path: PathLike, provenance: Provenance) -> None:
    """Draw ``probes.csv``: accuracy by ROI and method.

    Parameters
    ----------
    table : path
        Table of :func:`cortune.probes.tabulate_probes`.
    path : path
    provenance : Provenance
    """
    with figure_style():
        save_figure(path, accuracy_by_roi(read_probe_table(table)), provenance)


def plot_forgetting(
    encoding: PathLike, probes: PathLike, path: PathLike, provenance: Provenance, *, protocol: str
) -> None:
    """Draw what tuning gains in encoding against what it loses in classification.

    Parameters
    ----------
    encoding, probes : path
        ``encoding.csv`` and ``probes.csv``.
    path : path
    provenance : Provenance
    protocol : str
        The encoding protocol shown.
    """
    import pandas as pd

    units = pd.read_csv(encoding, dtype={"subject": str})
    table = gains_and_losses(units[units["protocol"] == protocol], read_probe_table(probes))
    with figure_style():
        save_figure(path, gain_against_forgetting(table), provenance)


def accuracy_by_roi(table: pd.DataFrame) -> Figure:
    """Draw probe accuracy by ROI and method, a row per probe and a column per hemisphere.

    Points are networks with Wilson's 95 % interval, or means over replicates, each a dash; a
    grey band is the untuned network's, a line without one the mean of networks of all ROIs, a
    dotted line chance.

    Parameters
    ----------
    table : DataFrame
        ``probes.csv``.
    """
    import pandas as pd

    probes = list(dict.fromkeys(table["probe"]))
    tuned = table[table["method"] != UNTUNED]
    rois, methods = ordered_rois(set(tuned["roi"]) - {""}), ordered_methods(tuned["method"])
    subjects = sorted(set(tuned["subject"]) - {""})
    width = max(3.2, 0.16 * len(rois) * (len(methods) + 1) + 0.9)
    figure = canvas(2 * width, 2.5 * max(len(probes), 1) + 0.9)
    axes = figure.subplots(max(len(probes), 1), 2, sharex=True, sharey="row", squeeze=False)
    for row, probe in zip(axes, probes, strict=False):
        of_probe = table[table["probe"] == probe]
        for ax, (hemisphere, title) in zip(row, HEMISPHERES.items(), strict=True):
            here = of_probe[of_probe["hemisphere"] == hemisphere]
            _references(ax, pd.concat([of_probe[of_probe["hemisphere"] == ""], here]))
            here = here[here["roi"] != ""]
            for index, method in enumerate(methods):
                offset = side_by_side(index, len(methods), 0.8 / len(methods))
                _points(ax, here[here["method"] == method], rois, offset, subjects, len(methods))
            ax.set_title(f"{probe}: {title}" if len(probes) > 1 else title)
            ax.set_xticks(range(len(rois)), rois)
            ax.set_xlim(-0.6, max(len(rois), 1) - 0.4)
            for edge in range(1, len(rois)):
                ax.axvline(edge - 0.5, color="#dddddd", lw=0.6, zorder=0)
        n_classes = int(of_probe["n_classes"].iloc[0])
        row[0].set_ylabel(f"probe accuracy\n({n_classes} classes)")
        row[0].set_ylim(bottom=0)
    handles = method_patches(methods)
    handles.append(line_handle("untuned", colour_of(UNTUNED), lw=1.2))
    handles.append(line_handle("chance", "black", lw=0.8, ls=":"))
    pooled = bool((tuned["subject"] == "").any())
    legend(figure, handles + subject_handles(subjects, pooled=pooled), 5)
    return figure


def _references(ax: Axes, table: pd.DataFrame) -> None:
    for _, row in table[table["method"] == UNTUNED].iterrows():
        ax.axhspan(row["ci_low"], row["ci_high"], color=colour_of(UNTUNED), alpha=0.18, lw=0)
        ax.axhline(row["accuracy"], color=colour_of(UNTUNED), lw=1.2)
    of_all = table[(table["method"] != UNTUNED) & (table["roi"] == "")]
    for method, networks in of_all.groupby("method"):
        ax.axhline(networks["accuracy"].mean(), color=colour_of(str(method)), lw=1.2)
    ax.axhline(1 / table["n_classes"].iloc[0], color="black", lw=0.8, ls=":")


def _points(
    ax: Axes,
    table: pd.DataFrame,
    rois: list[str],
    offset: float,
    subjects: list[str],
    n_methods: int,
) -> None:
    """Draw the networks of one method, subjects side by side."""
    spread = 0.5 / n_methods
    for (method, roi, subject), networks in table.groupby(["method", "roi", "subject"], sort=False):
        colour = colour_of(str(method))
        x, marker = rois.index(str(roi)) + offset, POOLED_MARKER
        if subject:
            place = subjects.index(str(subject))
            marker = subject_marker(subjects, str(subject))
            x += side_by_side(place, len(subjects), spread / max(len(subjects), 1))
        mean = networks[["accuracy", "ci_low", "ci_high"]].mean()
        ax.vlines(x, mean["ci_low"], mean["ci_high"], color=colour, lw=0.8, alpha=0.6)
        dashes(ax, x, networks["accuracy"], colour)
        size = 7 if marker == POOLED_MARKER else 4
        ax.plot(x, mean["accuracy"], marker, color=colour, ms=size, mec="white", mew=0.4)


def gains_and_losses(units: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    """Join what each network gains in encoding with what it loses in classification.

    Parameters
    ----------
    units : DataFrame
        Rows of ``encoding.csv`` under one protocol.
    probes : DataFrame
        ``probes.csv``, as :func:`read_probe_table` reads it.

    Returns
    -------
    DataFrame
        ``probe, dataset, subject, hemisphere, roi, method``, ``gain`` (mean r less the
        untuned network's) and ``loss`` (the untuned network's accuracy less its own), a
        row per unit and probe, means over replicates. A network of several units
        counts for each.
    """
    import pandas as pd

    keys = ["dataset", "subject", "hemisphere", "roi"]
    gains = over_untuned(units, keys).rename(columns={"r_mean": "gain"})
    untuned = probes[probes["method"] == UNTUNED].groupby("probe")["accuracy"].mean()
    tuned = probes[probes["method"] != UNTUNED]
    tuned = tuned.groupby(["probe", *keys, "method"], sort=False, as_index=False)["accuracy"].mean()
    tuned = tuned.assign(loss=tuned["probe"].map(untuned) - tuned["accuracy"])
    columns = ["probe", *keys, "method", "loss"]
    merged = []
    for _, alike in tuned[columns].groupby(tuned[keys].ne("").apply(tuple, axis=1), sort=False):
        # What the networks do not tell apart is empty in all of these.
        named = alike.loc[:, alike.ne("").any()]
        merged.append(gains.merge(named, on=[*(key for key in keys if key in named), "method"]))
    both = pd.concat(merged or [gains.iloc[:0].assign(probe="", loss=0.0)], ignore_index=True)
    both = both.dropna(subset=["gain", "loss"])
    return both[["probe", *keys, "method", "gain", "loss"]]


def gain_against_forgetting(table: pd.DataFrame) -> Figure:
    """Draw encoding gain against probe accuracy lost, a panel per probe.

    Small points are units, large ones the mean of a method over units with the standard
    deviation over subjects. Up is a better model of the brain, right a worse classifier.

    Parameters
    ----------
    table : DataFrame
        As :func:`gains_and_losses` returns it.
    """
    probes = list(dict.fromkeys(table["probe"]))
    if not probes:
        return notice("Nothing to compare: needs `untuned` and a tuned method")
    figure = canvas(max(5.2, 3.9 * len(probes) + 0.6), 4.6)
    axes = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
    methods = ordered_methods(table["method"])
    for ax, probe in zip(axes, probes, strict=True):
        here = table[table["probe"] == probe]
        ax.axhline(0, color="black", lw=0.6)
        ax.axvline(0, color="black", lw=0.6)
        for method in methods:
            of_method = here[here["method"] == method]
            _units(ax, of_method, colour_of(method))
        for method in methods:
            _method_mean(ax, here[here["method"] == method], colour_of(method))
        ax.set_title(probe)
        ax.set_xlabel("probe accuracy lost (percentage points)")
    axes[0].set_ylabel("encoding gain over untuned (mean r)")
    handles = [black_marker(m, f"{group} ROIs") for group, m in _GROUP_MARKERS.items()]
    handles.append(black_marker("o", "mean, SD over subjects", 9))
    handles = [*method_patches(methods), *handles]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _units(ax: Axes, table: pd.DataFrame, colour: str) -> None:
    early = table["roi"].isin(EARLY)
    for group, marker in _GROUP_MARKERS.items():
        here = table[early if group == "early" else ~early]
        ax.plot(100 * here["loss"], here["gain"], marker, color=colour, ms=3.5, alpha=0.45, mew=0)


def _method_mean(ax: Axes, table: pd.DataFrame, colour: str) -> None:
    by_subject = table.groupby("subject")[["loss", "gain"]].mean()
    if by_subject.empty:
        return
    mean = by_subject.mean()
    spread = by_subject.std() if len(by_subject) > 1 else by_subject.iloc[0] * np.nan
    ax.errorbar(
        100 * mean["loss"],
        mean["gain"],
        xerr=100 * spread["loss"],
        yerr=spread["gain"],
        fmt="o",
        color=colour,
        ms=9,
        mec="white",
        mew=1,
        lw=1,
        zorder=5,
    )
