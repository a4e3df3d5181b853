"""Figures of the encoding scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cortune.artifacts import PathLike, save_figure
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
from cortune.report.style import CEILING, figure_style, ordered_methods, ordered_rois
from cortune.report.wording import signed
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class EncodingFigures(Protocol):
    """Paths of the encoding figures."""

    by_roi: str
    layers: str
    voxels: str
    protocols: str


def plot_encoding(
    encoding: PathLike,
    layers: PathLike,
    voxels: PathLike,
    outputs: EncodingFigures,
    provenance: Provenance,
    *,
    protocol: str,
) -> None:
    """Draw accuracy by ROI, by layer, by voxel and by protocol.

    Parameters
    ----------
    encoding, layers, voxels : path
        Tables of :func:`cortune.report.tables.tabulate_encoding`.
    outputs : EncodingFigures
    provenance : Provenance
    protocol : str
        The protocol shown, where a figure shows one.
    """
    import pandas as pd

    units = pd.read_csv(encoding)
    by_layer = pd.read_csv(layers)
    by_voxel = pd.read_parquet(voxels)
    with figure_style():
        for path, figure in (
            (outputs.by_roi, accuracy_by_roi(units[units["protocol"] == protocol])),
            (outputs.layers, layer_profile(by_layer[by_layer["protocol"] == protocol])),
            (outputs.voxels, voxel_scatter(by_voxel[by_voxel["protocol"] == protocol])),
            (outputs.protocols, protocol_optimism(units)),
        ):
            save_figure(path, figure, provenance)


def accuracy_by_roi(units: pd.DataFrame) -> Figure:
    """Draw mean r by ROI and method, each subject a point, with ceilings.

    Parameters
    ----------
    units : DataFrame
        Rows of ``encoding.csv`` under one protocol.
    """
    rois = ordered_rois(units["roi"])
    methods = ordered_methods(units["method"])
    subjects = sorted(units["subject"].unique())
    width = 0.8 / len(methods)
    figure = canvas(max(6.5, 1.1 * len(rois) * len(methods) * 0.5 + 2), 5)
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    for ax, (hemisphere, title) in zip(axes, HEMISPHERES.items(), strict=True):
        of_side = units[units["hemisphere"] == hemisphere]
        for column, roi in enumerate(rois):
            here = of_side[of_side["roi"] == roi]
            if here["ceiling_r_mean"].notna().any():
                ceiling = here["ceiling_r_mean"].mean()
                ax.hlines(ceiling, column - 0.42, column + 0.42, color=CEILING, lw=1.5)
            for index, method in enumerate(methods):
                rows = here[here["method"] == method].sort_values("subject")
                x = column + side_by_side(index, len(methods), width)
                ax.bar(x, rows["r_mean"].mean(), 0.9 * width, color=colour_of(method), alpha=0.35)
                offsets = (
                    (rows["subject"].rank(method="dense") - (len(rows) + 1) / 2) * 0.14 * width
                )
                for (_, row), offset in zip(rows.iterrows(), offsets, strict=True):
                    _point(ax, x + offset, row, method, subject_marker(subjects, row["subject"]))
        ax.set_title(title)
        ax.set_ylabel("encoding accuracy (mean r)")
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xticks(range(len(rois)), rois)
    handles = method_patches(methods, alpha=0.6)
    if units["ceiling_r_mean"].notna().any():
        handles.append(line_handle("noise ceiling", CEILING))
    legend(figure, handles + subject_handles(subjects), 6)
    return figure


def _point(ax: Any, x: float, row: Any, method: str, marker: str) -> None:
    spread(ax, x, row["r_mean"], row["r_sd_replicates"], colour_of(method))
    ax.vlines(x, row["r_ci_low"], row["r_ci_high"], color=colour_of(method), lw=1)
    ax.plot(x, row["r_mean"], marker, color=colour_of(method), ms=4, mec="white", mew=0.4)


def layer_profile(layers: pd.DataFrame) -> Figure:
    """Draw mean r against the network's depth, by ROI and method.

    Parameters
    ----------
    layers : DataFrame
        Rows of ``encoding_layers.csv`` under one protocol. Lines are means over subjects
        and hemispheres, bands span them.
    """
    rois = ordered_rois(layers["roi"])
    names = list(dict.fromkeys(layers["layer"]))
    columns = min(len(rois), 4)
    n_rows = -(-len(rois) // columns)
    figure = canvas(2.6 * columns + 0.6, 2.3 * n_rows + 0.9)
    axes = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, roi in zip(axes, rois, strict=False):
        here = layers[layers["roi"] == roi]
        for method in ordered_methods(layers["method"]):
            r = here[here["method"] == method].pivot_table(
                index="layer", columns=["subject", "hemisphere"], values="r_mean"
            )
            r = r.reindex(names)
            ax.fill_between(
                range(len(names)),
                r.min(axis=1),
                r.max(axis=1),
                color=colour_of(method),
                alpha=0.15,
            )
            ax.plot(
                range(len(names)),
                r.mean(axis=1),
                "o-",
                ms=3,
                color=colour_of(method),
                label=method,
            )
        if here["ceiling_r_mean"].notna().any():
            ax.axhline(here["ceiling_r_mean"].mean(), color=CEILING, lw=1.2, label="noise ceiling")
        ax.set_title(roi)
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
    for ax in axes[len(rois) :]:
        ax.axis("off")
    for row in range(n_rows):
        axes[row * columns].set_ylabel("mean r")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def voxel_scatter(voxels: pd.DataFrame) -> Figure:
    """Draw each tuned method's r against the untuned network's, voxel by voxel.

    Parameters
    ----------
    voxels : DataFrame
        Rows of ``encoding_voxels.parquet`` under one protocol.
    """
    rois = ordered_rois(voxels["roi"].unique())
    tuned = [method for method in ordered_methods(voxels["method"]) if method != UNTUNED]
    index = ["subject", "hemisphere", "roi", "vertex"]
    wide = voxels.pivot_table(index=index, columns="method", values="r", observed=True)
    n_rows, n_columns = max(len(tuned), 1), len(rois)
    figure = canvas(2.1 * n_columns + 0.6, 2.2 * n_rows + 0.6)
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    if UNTUNED not in wide or not tuned:
        axes[0, 0].set_title("Nothing to compare: needs `untuned` and a tuned method")
        return figure
    low, high = float(wide.min().min()) - 0.05, float(wide.max().max()) + 0.05
    for row, method in zip(axes, tuned, strict=True):
        for ax, roi in zip(row, rois, strict=True):
            here = wide.xs(roi, level="roi")
            better = float((here[method] > here[UNTUNED]).mean())
            ax.plot([low, high], [low, high], color="black", lw=0.6)
            ax.scatter(here[UNTUNED], here[method], s=4, alpha=0.4, lw=0, color=colour_of(method))
            ax.set_title(f"{roi}: {better:.0%} better")
            ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        row[0].set_ylabel(f"r, {method}")
    for ax in axes[-1]:
        ax.set_xlabel("r, untuned")
    return figure


def protocol_optimism(units: pd.DataFrame) -> Figure:
    """Draw mean r under every other protocol against ``heldout_cv``.

    What lies above the diagonal of ``published`` is the price of choosing penalty and
    layer on the scores that are reported.
    """
    protocols = [p for p in dict.fromkeys(units["protocol"]) if p != "heldout_cv"]
    index = ["subject", "hemisphere", "roi", "method"]
    wide = units.pivot_table(index=index, columns="protocol", values="r_mean")
    if "heldout_cv" not in wide or not protocols:
        return notice("heldout_cv alone, or not run: no other protocol to set against it")
    figure = canvas(3.2 * len(protocols) + 0.8, 3.6)
    for ax, protocol in zip(
        figure.subplots(1, len(protocols), squeeze=False)[0], protocols, strict=True
    ):
        low, high = float(wide.min().min()) - 0.02, float(wide.max().max()) + 0.02
        ax.plot([low, high], [low, high], color="black", lw=0.6)
        for method in ordered_methods(units["method"]):
            here = wide.xs(method, level="method")
            ax.plot(
                here["heldout_cv"],
                here[protocol],
                "o",
                ms=4,
                color=colour_of(method),
                label=method,
            )
        gap = float((wide[protocol] - wide["heldout_cv"]).mean())
        ax.set_title(f"protocol {protocol}:\n{signed(gap)} on average")
        ax.set(xlabel="mean r, heldout_cv", ylabel=f"mean r, {protocol}", aspect="equal")
        ax.legend()
    return figure
