"""Figures of training: losses and held-out measures by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cortune.artifacts import PathLike, save_figure
from cortune.report.panels import canvas, colour_of, line_handle, notice
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.tables import EncodedUnit
from cortune.tuning.methods import METHODS
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def plot_tuning(units: Sequence[EncodedUnit], path: PathLike, provenance: Provenance) -> None:
    """Draw what training minimised and what it reached, a column per ROI, a line per network."""
    import pandas as pd

    once = {unit.path: unit for unit in units}  # a pooled network serves several units
    histories = [
        pd.read_csv(unit.path).assign(
            network=unit.path, hemisphere=unit.hemisphere, roi=unit.roi, method=unit.method
        )
        for unit in once.values()
    ]
    with figure_style():
        figure = training_curves(pd.concat(histories) if histories else pd.DataFrame())
        save_figure(path, figure, provenance)


# Column of the history, label; the loss of InfoNCE and of regression are not comparable.
_ROWS = (
    ("infonce", "training loss\n(InfoNCE, nats)"),
    ("validation_bound_nats", "validation bound on\nmutual information (nats)"),
    ("mse", "training loss\n(mean squared error)"),
    ("validation_r", "validation r"),
)


def training_curves(histories: pd.DataFrame) -> Figure:
    """Draw training curves.

    Parameters
    ----------
    histories : DataFrame
        Columns network, hemisphere, roi, method, epoch, loss, and the held-out measures of
        the methods (validation_bound_nats, validation_r).
    """
    from matplotlib.ticker import MaxNLocator

    if histories.empty:
        return notice("No network was tuned")
    is_regression = ~histories["method"].map(lambda method: METHODS[method].embeds)
    histories = histories.assign(
        infonce=histories["loss"].where(~is_regression),
        mse=histories["loss"].where(is_regression),
    )
    shown = [(c, label) for c, label in _ROWS if c in histories and histories[c].notna().any()]
    rois = ordered_rois(histories["roi"])
    figure = canvas(max(2.6 * len(rois), 4.5) + 0.8, 1.9 * len(shown) + 0.8)
    axes = figure.subplots(len(shown), len(rois), sharex=True, sharey="row", squeeze=False)
    for row, (measure, label) in zip(axes, shown, strict=True):
        for ax, roi in zip(row, rois, strict=True):
            here = histories[(histories["roi"] == roi) & histories[measure].notna()]
            for (method, _, hemisphere), one in here.groupby(["method", "network", "hemisphere"]):
                style = {"lh": "-", "rh": "--"}.get(str(hemisphere), "-.")
                colour = colour_of(str(method))
                ax.plot(one["epoch"], one[measure], style, color=colour, lw=1)
        row[0].set_ylabel(label)
    for ax, roi in zip(axes[0], rois, strict=True):
        ax.set_title(roi or "all ROIs")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    methods = ordered_methods(histories["method"])
    handles = [line_handle(method, colour_of(method)) for method in methods]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
