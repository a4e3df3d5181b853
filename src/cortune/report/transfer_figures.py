"""Figures of transfer between subjects and to other data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cortune.artifacts import PathLike, save_figure
from cortune.data.rois import HEMISPHERES, roi_group
from cortune.report.panels import (
    POOLED_MARKER,
    black_marker,
    canvas,
    colour_of,
    legend,
    line_handle,
    side_by_side,
    spread,
    subject_marker,
)
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.transfer import OTHERS, POOL
from cortune.tuning.methods import LOSO, UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NOTHING = "nothing was transferred"


class TransferFigures(Protocol):
    """Paths of the figures."""

    subjects: PathLike
    datasets: PathLike


def plot_transfer(
    subjects: PathLike,
    datasets: PathLike,
    voxels: PathLike,
    outputs: TransferFigures,
    provenance: Provenance,
    *,
    protocol: str,
) -> None:
    """Draw the matrix of subjects and the scores on other data sets.

    Parameters
    ----------
    subjects, datasets : path
        Tables of :func:`cortune.report.transfer.tabulate_transfer`.
    voxels : path
        ``encoding_voxels.parquet``: subjects' own networks, for the diagonal.
    outputs : TransferFigures
    provenance : Provenance
    protocol : str
    """
    import pandas as pd

    own = pd.read_parquet(voxels)
    own = own[own["protocol"] == protocol]
    with figure_style():
        matrix = transfer_matrix(pd.read_csv(subjects), own_networks(own))
        save_figure(outputs.subjects, matrix, provenance)
        save_figure(outputs.datasets, transfer_gains(pd.read_csv(datasets)), provenance)


def own_networks(voxels: pd.DataFrame) -> pd.DataFrame:
    """Return the gain of each subject's own network over the untuned one, by unit.

    Parameters
    ----------
    voxels : DataFrame
        Rows of ``encoding_voxels.parquet`` under one protocol.

    Returns
    -------
    DataFrame
        subject, hemisphere, roi, method, r_diff_mean, frac_voxels_better.
    """
    unit = ["subject", "hemisphere", "roi"]
    wide = voxels.pivot_table(index=[*unit, "vertex"], columns="method", values="r", observed=True)
    if UNTUNED not in wide:
        return wide.iloc[:0].reset_index()
    gains = wide.drop(columns=UNTUNED).sub(wide[UNTUNED], axis=0).stack().rename("gain")
    grouped = gains.groupby([*unit, "method"], observed=True)
    table = grouped.agg(r_diff_mean="mean", frac_voxels_better=lambda gain: (gain > 0).mean())
    return table.reset_index()


def transfer_matrix(table: pd.DataFrame, own: pd.DataFrame) -> Figure:
    """Draw mean gain and share of better voxels, source by target, per group and method.

    Parameters
    ----------
    table : DataFrame
        ``transfer_subjects.csv``.
    own : DataFrame
        Of :func:`own_networks`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if table.empty:
        return _empty()
    table = table.assign(group=table["roi"].map(roi_group))
    subjects = sorted(set(table["target_subject"]))
    sources = subjects + [OTHERS] * bool((table["method"] == LOSO).any())
    methods = [m for m in ordered_methods(table["method"]) if m != LOSO] or [LOSO]
    groups = list(dict.fromkeys(table["group"]))
    limit = max(float(table["r_diff_mean"].abs().max()), 1e-3)
    norm = Normalize(-limit, limit)
    size = 0.62 * len(subjects) + 1.0
    figure = canvas(size * len(methods) + 1.2, size * len(groups) + 0.9)
    axes = figure.subplots(len(groups), len(methods), squeeze=False)
    for row, group in zip(axes, groups, strict=True):
        for ax, method in zip(row, methods, strict=True):
            here = table[(table["group"] == group) & table["method"].isin([method, LOSO])]
            # The diagonal stands for the same ROIs as the rest.
            mine = own[own["roi"].isin(set(here["roi"])) & (own["method"] == method)]
            gain, share = (
                _cells(here, mine, column, sources, subjects)
                for column in ("r_diff_mean", "frac_voxels_better")
            )
            ax.imshow(gain, cmap="RdBu_r", norm=norm)
            ax.spines[:].set_visible(False)
            _write_shares(ax, share, np.abs(gain) > 0.6 * limit, sources, subjects)
            rois = ordered_rois(here["roi"])
            named = ", ".join(rois) if len(rois) < 4 else f"{len(rois)} ROIs"
            ax.set_title(f"{method}\n{group}: {named}", fontsize=8)
        row[0].set_ylabel("tuned to")
    for ax in axes[-1]:
        ax.set_xlabel("predicts")
    bar = figure.colorbar(ScalarMappable(norm, "RdBu_r"), ax=axes.ravel().tolist(), shrink=0.8)
    bar.set_label("mean r less untuned\n(figures: share of voxels better)", fontsize=8)
    return figure


def _cells(
    table: pd.DataFrame, own: pd.DataFrame, column: str, sources: list[str], subjects: list[str]
) -> Any:
    """Return means over units, source by target, subjects' own networks on the diagonal."""
    cells = table.pivot_table(index="source_subject", columns="target_subject", values=column)
    cells = cells.reindex(index=sources, columns=subjects)
    for subject, value in own.groupby("subject", observed=True)[column].mean().items():
        if subject in subjects:
            cells.loc[subject, subject] = value
    return cells.to_numpy()


def _write_shares(ax: Any, share: Any, dark: Any, sources: list[str], subjects: list[str]) -> None:
    for (i, j), value in np.ndenumerate(share):
        if np.isfinite(value):
            style = {
                "weight": "bold" if sources[i] == subjects[j] else "normal",
                "color": "white" if dark[i, j] else "black",
            }
            ax.text(j, i, f"{value:.0%}", ha="center", va="center", fontsize=7, **style)
    ax.set_xticks(range(len(subjects)), subjects, rotation=45, ha="right", fontsize=7)
    ax.set_yticks(range(len(sources)), sources, fontsize=7)


def transfer_gains(table: pd.DataFrame) -> Figure:
    """Draw the gain of every source's network on every ROI of other data sets.

    Parameters
    ----------
    table : DataFrame
        ``transfer_datasets.csv``.
    """
    if table.empty:
        return _empty()
    methods = ordered_methods(table["method"])
    sources = sorted(table["source_subject"].unique(), key=lambda s: (s == POOL, s))
    targets = list(dict.fromkeys(table["target_dataset"]))
    rois = ordered_rois(table["target_roi"])
    figure = canvas(max(5.5, 1.5 * len(rois) * len(targets) + 1.5), 4.6)
    axes = figure.subplots(len(HEMISPHERES), len(targets), sharex="col", sharey=True, squeeze=False)
    width = 0.8 / len(methods)
    for row, hemisphere in zip(axes, HEMISPHERES, strict=True):
        for ax, target in zip(row, targets, strict=True):
            here = table[(table["hemisphere"] == hemisphere) & (table["target_dataset"] == target)]
            for column, roi in enumerate(rois):
                of_roi = here[here["target_roi"] == roi]
                for index, method in enumerate(methods):
                    rows = of_roi[of_roi["method"] == method].sort_values(["source_subject", "roi"])
                    middle = column + side_by_side(index, len(methods), width)
                    steps = np.linspace(-0.35, 0.35, len(rows)) * width if len(rows) > 1 else [0.0]
                    for step, (_, score) in zip(steps, rows.iterrows(), strict=False):
                        _point(ax, middle + step, score, method, sources)
                untuned = of_roi["r_untuned_mean"].mean()
                ax.text(
                    column,
                    0.02,
                    f"untuned {untuned:.3f}",
                    transform=ax.get_xaxis_transform(),
                    ha="center",
                    fontsize=7,
                    color="#555555",
                )
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xticks(range(len(rois)), rois)
            ax.set_title(f"{target}, {hemisphere}")
    for row in axes:
        row[0].set_ylabel("mean r less untuned")
    handles = [line_handle(method, colour_of(method), lw=3) for method in methods]
    legend(figure, handles + [black_marker(_marker(sources, s), s, 5) for s in sources], 6)
    return figure


def _point(ax: Any, x: float, score: Any, method: str, sources: list[str]) -> None:
    colour, untuned = colour_of(method), score["r_untuned_mean"]
    ax.vlines(x, score["r_ci_low"] - untuned, score["r_ci_high"] - untuned, color=colour, lw=0.8)
    spread(ax, x, score["r_diff_mean"], score["r_sd_replicates"], colour)
    marker = _marker(sources, score["source_subject"])
    size = 8 if marker == POOLED_MARKER else 4
    ax.plot(x, score["r_diff_mean"], marker, color=colour, ms=size, mec="white", mew=0.4)


def _marker(sources: list[str], source: str) -> str:
    return POOLED_MARKER if source == POOL else subject_marker(sources, source)


def _empty() -> Figure:
    figure = canvas(4, 1.5)
    ax = figure.subplots()
    ax.text(0.5, 0.5, _NOTHING, ha="center", va="center")
    ax.axis("off")
    return figure
