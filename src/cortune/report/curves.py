"""Accuracy against the number of images that encoding models are fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cortune.artifacts import PathLike, save_figure, write_csv
from cortune.data.rois import GROUPS
from cortune.encoding.curves import read_size_curve
from cortune.encoding.scores import mean_over_targets
from cortune.report.gains import over_untuned
from cortune.report.panels import canvas, colour_of
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.tables import NAMES, EncodedUnit, over_replicates, split_name, unit_names
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = [
    *(*NAMES, "n_images_fit", "split", "n_images_scored", "r_mean", "r_ci_low", "r_ci_high"),
    *("n_replicates", "r_sd_replicates"),
]
_UNIT = ["subject", "hemisphere", "roi", "n_images_fit"]
_PER_ROW = 4


def tabulate_size_curve(
    units: Iterable[EncodedUnit], path: PathLike, provenance: Provenance
) -> None:
    """Write ``size_curve.csv``: mean r by unit, method and number of images fitted.

    Parameters
    ----------
    units : iterable of EncodedUnit
        Their paths are files of :func:`cortune.encoding.curves.fit_size_curve`.
    path : path
    provenance : Provenance
    """
    import pandas as pd

    rows = []
    for unit in units:
        names = unit_names(unit)
        for size, encoding in read_size_curve(unit.path).items():
            low, high = encoding.interval
            r_mean = float(mean_over_targets(encoding.r))
            scores = {"r_mean": r_mean, "r_ci_low": low, "r_ci_high": high}
            scores |= {"n_images_scored": encoding.n_images_scored} | split_name(provenance)
            rows.append(names | {"n_images_fit": size} | scores)
    table = over_replicates(pd.DataFrame(rows, columns=COLUMNS[:-2]), COLUMNS[:6])
    write_csv(path, table[COLUMNS], provenance)


def plot_size_curve(table: PathLike, path: PathLike, provenance: Provenance) -> None:
    """Draw ``size_curve.csv``.

    Parameters
    ----------
    table : path
        Table of :func:`tabulate_size_curve`.
    path : path
    provenance : Provenance
    """
    import pandas as pd

    with figure_style():
        figure = size_curves(pd.read_csv(table, dtype={"subject": str}))
        save_figure(path, figure, provenance)


def size_curves(table: pd.DataFrame) -> Figure:
    """Draw accuracy, and its gain over the untuned network, against images fitted.

    Parameters
    ----------
    table : DataFrame
        ``size_curve.csv``. Lines are means over subjects, bands span the subjects.

    Returns
    -------
    Figure
        Above, accuracy and gain by group of ROIs; below, accuracy by ROI.
    """
    rois = ordered_rois(table["roi"])
    groups = _groups(rois)
    n_rows = -(-len(rois) // _PER_ROW)
    heights = [2.3 * len(groups) + 0.4, 2.1 * n_rows + 0.4]
    figure = canvas(9.2, sum(heights) + 0.3)
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_groups(above, table, groups)
    _draw_rois(below, table, rois, n_rows)
    handles, labels = below.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_groups(figure: Any, table: pd.DataFrame, groups: dict[str, list[str]]) -> None:
    """Draw a row per group: accuracy, and gain over the untuned network."""
    gains = over_untuned(table, _UNIT)
    axes = figure.subplots(len(groups), 2, sharex=True, sharey="col", squeeze=False)
    for (accuracy, gain), (group, rois) in zip(axes, groups.items(), strict=True):
        _panel(accuracy, table[table["roi"].isin(rois)], group)
        _panel(gain, gains[gains["roi"].isin(rois)], f"{group}: gain over untuned")
        gain.axhline(0, color="black", lw=0.6)
        accuracy.set_ylabel("mean r")
    for ax in axes[-1]:
        ax.set_xlabel("images fitted on")


def _draw_rois(figure: Any, table: pd.DataFrame, rois: list[str], n_rows: int) -> None:
    """Draw accuracy, a panel per ROI."""
    n_columns = min(len(rois), _PER_ROW)
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for index, ax in enumerate(axes.ravel()):
        if index >= len(rois):
            ax.axis("off")
            continue
        _panel(ax, table[table["roi"] == rois[index]], rois[index])
        if index + n_columns >= len(rois):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("images fitted on")
    for row in axes:
        row[0].set_ylabel("mean r")


def curve(table: pd.DataFrame) -> pd.DataFrame:
    """Average one method's curve over units, then over subjects.

    Subjects differ in how many images they have. The last point is each subject's
    largest size, at the mean of these sizes; before it come the sizes below the smallest
    of them, which all subjects have.

    Parameters
    ----------
    table : DataFrame
        Rows of ``size_curve.csv`` (or gains) of one method.

    Returns
    -------
    DataFrame
        ``n_images_fit``, ``mean``, ``low``, ``high`` (range over subjects), ascending.
    """
    import pandas as pd

    wide = table.pivot_table(index="n_images_fit", columns="subject", values="r_mean")
    largest = wide.apply(lambda r: r.last_valid_index())
    points = list(wide[wide.index < largest.min()].dropna().iterrows())
    points.append((largest.mean(), wide.apply(lambda r: r[r.last_valid_index()])))
    rows = [(size, row.mean(), row.min(), row.max()) for size, row in points]
    return pd.DataFrame(rows, columns=["n_images_fit", "mean", "low", "high"])


def _panel(ax: Axes, table: pd.DataFrame, title: str) -> None:
    table = table.dropna(subset="r_mean")
    sizes: set[float] = set()
    for method in ordered_methods(table["method"]):
        line = curve(table[table["method"] == method])
        colour, n = colour_of(method), line["n_images_fit"]
        ax.fill_between(n, line["low"], line["high"], color=colour, alpha=0.15, lw=0)
        ax.plot(n, line["mean"], "o-", ms=3, lw=1.3, color=colour, label=method)
        sizes.update(n)
    ax.set_xscale("log")
    ax.set_title(title)
    if sizes:
        _ticks_at_sizes(ax, sizes)


def _ticks_at_sizes(ax: Axes, sizes: Iterable[float]) -> None:
    """Label some of the sizes themselves; powers of ten would say nothing here."""
    from matplotlib.ticker import NullLocator

    kept: list[float] = []
    for size in sorted(sizes, reverse=True):
        if not kept or kept[-1] / size > 1.6:
            kept.append(size)
    ax.set_xticks(kept, [f"{size:,.0f}" for size in kept])
    ax.xaxis.set_minor_locator(NullLocator())


def _groups(rois: list[str]) -> dict[str, list[str]]:
    """Return the ROIs of each group that is present, without groups that repeat another."""
    found: dict[str, list[str]] = {}
    for group, members in GROUPS.items():
        inside = [roi for roi in rois if roi in members]
        if inside and inside not in found.values():
            found[group] = inside
    return found or {"streams": rois}
