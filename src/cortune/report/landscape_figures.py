"""Figures of the landscape: maps of all networks, and their distances clustered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cortune.artifacts import PathLike, save_figure
from cortune.data.rois import FAMILIES
from cortune.landscape.dissimilarity import IGNORANCE, REFERENCES, TRUTH, Floats
from cortune.landscape.stages import read_dissimilarity
from cortune.landscape.statistics import average_linkage
from cortune.report.panels import HEMISPHERES, canvas, colour_of, notice, patches
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {"lh": "<", "rh": ">", "": "o"}
_REFERENCE_MARKERS = {TRUTH: "*", IGNORANCE: "D"}
_NAME_OFFSETS = {TRUTH: (0, 10), IGNORANCE: (0, -11), UNTUNED: (27, 1)}  # in points
_SPACES = {"inpca": "inPCA", "mds": "metric MDS", "umap": "UMAP"}
_CMAPS = {  # of each family of ROIs; early ROIs first
    "prf-visualrois": ("viridis", 0.0, 0.85),
    "floc-bodies": ("Oranges", 0.5, 0.9),
    "floc-faces": ("Reds", 0.5, 0.95),
    "floc-places": ("pink", 0.25, 0.6),
    "floc-words": ("RdPu", 0.45, 0.9),
    "streams": ("turbo", 0.05, 0.95),
}
_NAMES = ("model", "subject", "hemisphere", "roi", "method", "replicate")
_MOST_NAMED = 60


class LandscapeFigures(Protocol):
    """Paths of the landscape's figures."""

    inpca: str
    spaces: str
    clusters: str


def plot_landscape(
    landscape: PathLike, dissimilarity: PathLike, outputs: LandscapeFigures, provenance: Provenance
) -> None:
    """Draw the landscape's tables.

    Parameters
    ----------
    landscape, dissimilarity : path
        Tables of :func:`cortune.landscape.embed_networks`.
    outputs : LandscapeFigures
    provenance : Provenance
    """
    import pandas as pd

    text = dict.fromkeys([*_NAMES, "space", "imaginary_axes"], str)
    table = pd.read_csv(landscape, dtype=text).fillna(dict.fromkeys(text, ""))
    names, distance = read_dissimilarity(dissimilarity)
    with figure_style():
        for path, figure in (
            (outputs.inpca, inpca_map(table[table["space"] == "inpca"])),
            (outputs.spaces, other_maps(table[table["space"] != "inpca"])),
            (outputs.clusters, clustered_distances(names, distance, table)),
        ):
            save_figure(path, figure, provenance)


def inpca_map(table: pd.DataFrame) -> Figure:
    """Draw inPCA axes 1-2 and 1-3, with truth and ignorance and without.

    Parameters
    ----------
    table : DataFrame
        Rows of ``landscape.csv`` of that space; it may have none.
    """
    if table.empty:
        return notice("No inPCA space")
    networks = table[~table["model"].isin(REFERENCES)]
    pairs = [(1, k) for k in (2, 3) if table[f"axis_{k}"].notna().all()] or [(1, 1)]
    figure = canvas(4.1 * len(pairs), 8.2)
    axes = figure.subplots(2, len(pairs), squeeze=False)
    stress = 100 * table["explained_stress"].iloc[0]
    for row, (shown, title) in zip(
        axes, ((table, "all models"), (networks, "networks alone")), strict=True
    ):
        for ax, (x, y) in zip(row, pairs, strict=True):
            _scatter(ax, shown, x, y)
            ax.set_title(f"{title}, axes {x} and {y}")
    figure.suptitle(
        f"inPCA of the predictions: three axes explain {stress:.0f} % of the stress",
        x=0.02,
        ha="left",
        fontsize=10,
    )
    _legend(figure, table, 4)
    return figure


def other_maps(table: pd.DataFrame) -> Figure:
    """Draw axes 1-2 of metric MDS and UMAP, with truth and ignorance and without.

    Parameters
    ----------
    table : DataFrame
        Rows of ``landscape.csv`` of other spaces than inPCA; it may have none.
    """
    if table.empty:
        return notice("No other space than inPCA")
    spaces = [space for space in _SPACES if space in set(table["space"])]
    figure = canvas(4.1 * len(spaces) + (len(spaces) == 1) * 2.5, 8.2)
    for column, space in zip(figure.subplots(2, len(spaces), squeeze=False).T, spaces, strict=True):
        here = table[table["space"] == space]
        stress = here["explained_stress"].iloc[0]
        explained = f" ({100 * stress:.0f} % of the stress)" if np.isfinite(stress) else ""
        column[0].set_title(f"{_SPACES[space]}, all models{explained}")
        column[1].set_title(f"{_SPACES[space]}, networks alone")
        _scatter(column[0], here, 1, 2)
        _scatter(column[1], here[~here["model"].isin(REFERENCES)], 1, 2)
    _legend(figure, table.drop_duplicates("model"), 4)
    return figure


def _scatter(ax: Axes, table: pd.DataFrame, x: int, y: int) -> None:
    """Draw models on two axes of their space: ROI face, method edge, hemisphere shape."""
    from matplotlib.patheffects import withStroke

    colours = roi_colours(table["roi"])
    size = float(np.clip(2400 / len(table), 14, 60))
    style: dict[str, Any]
    for row in table.itertuples():
        at = (getattr(row, f"axis_{x}"), getattr(row, f"axis_{y}"))
        if row.model in REFERENCES:
            marker = _REFERENCE_MARKERS[row.model]
            ax.scatter(*at, s=1.5 * size, marker=marker, color="black", zorder=3)
        else:
            edge = colour_of(row.method) if row.method else "black"
            face = colours.get(row.roi, "white")
            style = {"marker": MARKERS[row.hemisphere], "linewidths": 1.3, "alpha": 0.9}
            ax.scatter(*at, s=size, facecolor=face, edgecolor=edge, **style)
        offset = _NAME_OFFSETS.get(row.model, _NAME_OFFSETS.get(row.method))
        if offset is not None:
            style = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
            halo = [withStroke(linewidth=2.5, foreground="white")]
            ax.annotate(row.model, at, offset, zorder=4, path_effects=halo, **style)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.17)
    ax.locator_params(nbins=5)
    space, imaginary = _SPACES[table["space"].iloc[0]], table["imaginary_axes"].iloc[0].split()
    for axis, set_label in ((x, ax.set_xlabel), (y, ax.set_ylabel)):
        kind = " (imaginary)" if f"axis_{axis}" in imaginary else ""
        set_label(f"{space} axis {axis}{kind}")


def roi_colours(rois: Iterable[str]) -> dict[str, Any]:
    """Return a colour per ROI, of one hue within a family.

    Parameters
    ----------
    rois : iterable of str
        Any number of times each; names outside the known families are grey.
    """
    from matplotlib import colormaps

    present = ordered_rois(roi for roi in rois if roi)
    colours: dict[str, Any] = dict.fromkeys(present, "#9a9a9a")
    for family, (name, low, high) in _CMAPS.items():
        members = [roi for roi in present if roi in FAMILIES[family]]
        # The middle of the range, if there is one member only.
        shades = np.linspace(low, high, len(members)) if members[1:] else [(low + high) / 2]
        colours |= {
            roi: colormaps[name](shade) for roi, shade in zip(members, shades, strict=False)
        }
    return colours


def _legend(figure: Figure, table: pd.DataFrame, n_columns: int) -> None:
    from matplotlib.lines import Line2D

    style: dict[str, Any]
    handles = patches(roi_colours(table["roi"]).items())
    for method in ordered_methods(table["method"]):
        edge = colour_of(method)
        style = {"ls": "", "marker": "o", "mfc": "white", "mec": edge, "mew": 1.6}
        handles.append(Line2D([], [], label=method, **style))
    for hemisphere in (*HEMISPHERES, ""):
        if hemisphere in set(table.loc[table["method"] != "", "hemisphere"]):
            label = HEMISPHERES.get(hemisphere, "no hemisphere")
            style = {"ls": "", "marker": MARKERS[hemisphere], "color": "#555555"}
            handles.append(Line2D([], [], label=label, **style))
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=n_columns + (len(handles) > 16)
        )


def clustered_distances(names: Sequence[str], distance: Floats, landscape: pd.DataFrame) -> Figure:
    """Draw the distances of all networks, in the order of an average-linkage tree.

    Parameters
    ----------
    names : sequence of str, length n_models
    distance : array of shape (n_models, n_models)
        Truth and ignorance are left out: they lie far off, and would hide the rest.
    landscape : DataFrame
        ``landscape.csv``, for the labels of the models.
    """
    kept = [index for index, name in enumerate(names) if name not in REFERENCES]
    if len(kept) < 2:
        return notice("A single network: nothing to cluster")
    from scipy.cluster.hierarchy import dendrogram

    tree = average_linkage(distance[np.ix_(kept, kept)])
    size = float(np.clip(0.11 * len(kept), 3.6, 9))
    figure = canvas(size + 3.6, size + 2.4)
    grid = figure.add_gridspec(
        2, 4, width_ratios=[0.16, 0.1, 1, 0.03], height_ratios=[0.16, 1], wspace=0.01, hspace=0.01
    )
    top, left = figure.add_subplot(grid[0, 2]), figure.add_subplot(grid[1, 0])
    style = {"no_labels": True, "color_threshold": 0, "above_threshold_color": "#444444"}
    order = dendrogram(tree, ax=top, **style)["leaves"]
    dendrogram(tree, ax=left, orientation="left", **style)
    left.invert_yaxis()
    for ax in (top, left):
        ax.set_axis_off()
    shown = [kept[index] for index in order]
    heat = figure.add_subplot(grid[1, 2])
    image = heat.imshow(distance[np.ix_(shown, shown)], cmap="magma_r", aspect="auto")
    heat.set_xticks([])
    heat.yaxis.tick_right()
    heat.set_yticks(range(len(shown)), [names[index] for index in shown], fontsize=5)
    if len(shown) > _MOST_NAMED:
        heat.set_yticks([])
    figure.colorbar(image, cax=figure.add_subplot(grid[1, 3]), label="dissimilarity (nats)")
    labels = landscape.drop_duplicates("model").set_index("model").reindex(names).fillna("")
    _strips(figure.add_subplot(grid[1, 1]), labels.iloc[shown])
    figure.suptitle(
        f"Predictions of {len(shown)} networks, clustered by average linkage",
        x=0.02,
        ha="left",
        fontsize=10,
    )
    _strip_legend(figure, labels.iloc[shown])
    return figure


_SIDES = {"lh": "#222222", "rh": "#d4d4d4"}


def _strips(ax: Axes, labels: pd.DataFrame) -> None:
    """Draw ROI, hemisphere and method of each row as colours."""
    from matplotlib.colors import to_rgb

    palettes: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("roi", roi_colours(labels["roi"])),
        ("hemisphere", _SIDES),
        ("method", {m: colour_of(m) for m in ordered_methods(labels["method"])}),
    )
    pixels = [
        [to_rgb(palette.get(value, "white")) for value in labels[column]]
        for column, palette in palettes
    ]
    ax.imshow(np.transpose(pixels, (1, 0, 2)), aspect="auto", interpolation="nearest")
    names = ["ROI", "hemisphere", "method"]
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    ax.set_yticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _strip_legend(figure: Figure, labels: pd.DataFrame) -> None:
    entries = [
        *roi_colours(labels["roi"]).items(),
        *((HEMISPHERES[side], colour) for side, colour in _SIDES.items()),
        *((method, colour_of(method)) for method in ordered_methods(labels["method"])),
    ]
    figure.legend(handles=patches(entries), loc="outside lower center", ncols=5)
