"""Figures of saliency: where networks look, how far to which side, and in which images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, save_figure
from cortune.data.rois import EARLY, HEMISPHERES
from cortune.probes import ProbeImages
from cortune.report.panels import (
    POOLED_MARKER,
    canvas,
    colour_of,
    dashes,
    legend,
    line_handle,
    notice,
    patches,
    side_by_side,
    subject_handles,
    subject_marker,
)
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.wording import counted
from cortune.saliency import SaliencyResult, read_saliency
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEMISPHERE_COLOURS = {"lh": "#c2452d", "rh": "#2b6ca3"}
_UNTUNED_COLOUR = colour_of(UNTUNED)
_NOTHING = "No tuned network to look at"


class SaliencyFigures(Protocol):
    """Paths of the saliency figures."""

    maps: str
    laterality: str
    distributions: str
    examples: str


def plot_saliency(
    artifacts: Iterable[PathLike],
    table: PathLike,
    tests: PathLike,
    images: ProbeImages,
    outputs: SaliencyFigures,
    provenance: Provenance,
) -> None:
    """Draw mean maps, laterality by ROI, its distributions over images, and examples.

    Parameters
    ----------
    artifacts : iterable of path
        Files of :func:`cortune.saliency.map_saliency`.
    table, tests : path
        ``lateralization.csv`` and ``lateralization_tests.csv``.
    images : ProbeImages
        Those of the probe.
    outputs : SaliencyFigures
    provenance : Provenance
    """
    import pandas as pd

    results = [read_saliency(path) for path in artifacts]
    names = dict.fromkeys(("subject", "hemisphere", "roi"), str)
    networks = pd.read_csv(table, dtype=names).fillna(dict.fromkeys(names, ""))
    tested = pd.read_csv(tests, dtype={"subject": str}).fillna({"subject": ""})
    with figure_style():
        for path, figure in (
            (outputs.maps, mean_maps(results)),
            (outputs.laterality, laterality_by_roi(networks, tested)),
            (outputs.distributions, laterality_distributions(results, tested)),
            (outputs.examples, example_overlays(results, images)),
        ):
            save_figure(path, figure, provenance)


def mean_maps(results: Sequence[SaliencyResult]) -> Figure:
    """Draw mean maps by ROI, method and hemisphere, with the vertical meridian.

    Maps are averaged over images, their mirror images and subjects; 1 is what an even map
    would have everywhere. Beside each pair stands lh − rh.
    """
    rois, methods = _shown(results)
    untuned = [one for one in results if one.label.method == UNTUNED]
    if not rois:
        return notice(_NOTHING)
    mean = {
        (roi, method, side): _mean_map(results, roi, method, side)
        for roi in rois
        for method in methods
        for side in HEMISPHERES
    }
    control = np.mean([_density(one) for one in untuned], axis=0) if untuned else None
    known = [each for each in (*mean.values(), control) if each is not None]
    top = max(float(each.max()) for each in known)
    pairs = [(mean[r, m, "lh"], mean[r, m, "rh"]) for r in rois for m in methods]
    gaps = [float(np.abs(lh - rh).max()) for lh, rh in pairs if lh is not None and rh is not None]
    n_columns = 1 + 3 * len(methods)
    figure = canvas(1.1 * n_columns + 0.4, 1.1 * len(rois) + 1.0)
    grid = figure.subplots(len(rois), n_columns, squeeze=False)
    shared: dict[str, Any] = {}
    for line, (row, roi) in enumerate(zip(grid, rois, strict=True)):
        _draw_map(row[0], control if line == 0 else None, top, shared)
        row[0].set_title("untuned" if line == 0 else "", fontsize=8, loc="center")
        for index, method in enumerate(methods):
            lh, rh = (mean[roi, method, side] for side in HEMISPHERES)
            cells = row[1 + 3 * index : 4 + 3 * index]
            _draw_map(cells[0], lh, top, shared)
            _draw_map(cells[1], rh, top, shared)
            _draw_difference(cells[2], lh, rh, max(gaps, default=1.0), shared)
            if line == 0:
                for cell, name in zip(cells, ("lh", "rh", "lh − rh"), strict=True):
                    title = f"{method}\n{name}" if name == "rh" else f"\n{name}"
                    cell.set_title(title, fontsize=8, loc="center")
        _row_label(row, roi or "all ROIs")
    half = n_columns // 2
    for name, label, cells in (
        ("map", "saliency (1: even)", grid[:, :half]),
        ("difference", "lh − rh", grid[:, half:]),
    ):
        if name in shared:
            bar = figure.colorbar(shared[name], ax=cells, location="bottom", shrink=0.5, aspect=30)
            bar.set_label(label, fontsize=8)
    return figure


def _shown(results: Sequence[SaliencyResult]) -> tuple[list[str], list[str]]:
    """Return the ROIs and the tuned methods of some networks."""
    tuned = [one.label for one in results if one.label.hemisphere]
    return ordered_rois(label.roi for label in tuned), ordered_methods(
        label.method for label in tuned
    )


def _density(result: SaliencyResult) -> NDArray[np.float64]:
    return np.asarray(result.mean_map, np.float64) * result.mean_map.size


def _mean_map(
    results: Sequence[SaliencyResult], roi: str, method: str, hemisphere: str
) -> NDArray[np.float64] | None:
    """Return the mean over subjects, if there is any."""
    wanted = (roi, method, hemisphere)
    maps = [
        _density(one)
        for one in results
        if (one.label.roi, one.label.method, one.label.hemisphere) == wanted
    ]
    return np.asarray(np.mean(maps, axis=0)) if maps else None


def _draw_map(
    ax: Axes, values: NDArray[np.float64] | None, top: float, shared: dict[str, Any]
) -> None:
    if values is None:
        ax.axis("off")
        return
    shared["map"] = ax.imshow(values, cmap="magma", vmin=0, vmax=top)
    _meridian(ax, values.shape[1], "white")


def _draw_difference(
    ax: Axes,
    lh: NDArray[np.float64] | None,
    rh: NDArray[np.float64] | None,
    gap: float,
    shared: dict[str, Any],
) -> None:
    if lh is None or rh is None:
        ax.axis("off")
        return
    shared["difference"] = ax.imshow(lh - rh, cmap="RdBu_r", vmin=-gap, vmax=gap)
    _meridian(ax, lh.shape[1], "black")


def _meridian(ax: Axes, width: int, colour: str) -> None:
    ax.axvline(width / 2 - 0.5, color=colour, lw=0.8, ls=(0, (3, 3)))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _row_label(row: Any, roi: str) -> None:
    """Name the ROI at the left of its first maps."""
    row[1].text(
        -0.12, 0.5, roi, transform=row[1].transAxes, rotation=90, ha="right", va="center",
        fontweight="bold",
    )  # fmt: skip


def laterality_by_roi(table: pd.DataFrame, tests: pd.DataFrame) -> Figure:
    """Draw each network's laterality less the untuned network's, lh beside rh.

    Parameters
    ----------
    table : DataFrame
        ``lateralization.csv``.
    tests : DataFrame
        ``lateralization_tests.csv``, for the p value of lh − rh over subjects by ROI.
    """
    tuned = table[table["hemisphere"] != ""]
    if tuned.empty:
        return notice(_NOTHING)
    relative = tuned["li_vs_untuned"].notna().any()
    columns = ("li_vs_untuned", "vs_untuned_ci_low", "vs_untuned_ci_high")
    columns = columns if relative else ("li_mean", "ci_low", "ci_high")
    rois, methods = ordered_rois(tuned["roi"]), ordered_methods(tuned["method"])
    subjects = sorted(set(tuned["subject"]) - {""})
    figure = canvas(max(6.0, 0.95 * len(rois) + 1.6), 1.75 * len(methods) + 0.9)
    axes = figure.subplots(len(methods), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, method in zip(axes, methods, strict=True):
        here = tuned[tuned["method"] == method]
        ax.axhline(0, color=_UNTUNED_COLOUR, lw=1)
        for column, roi in enumerate(rois):
            for subject, networks in here[here["roi"] == roi].groupby("subject"):
                x, marker = float(column), POOLED_MARKER
                if subject:
                    place = subjects.index(str(subject))
                    x += side_by_side(place, len(subjects), 0.7 / len(subjects))
                    marker = subject_marker(subjects, str(subject))
                _pair(ax, networks, x, marker, columns)
        ax.set_title(method)
        ax.set_ylabel("LI less untuned" if relative else "LI")
        ax.set_xlim(-0.6, len(rois) - 0.4)
    for ax, method in zip(axes, methods, strict=True):
        for column, roi in enumerate(rois):
            ax.text(
                column, 1.0, _verdict(tests, roi, method), transform=ax.get_xaxis_transform(),
                ha="center", va="top", fontsize=7,
            )  # fmt: skip
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.25 * (high - low))
    axes[-1].set_xticks(range(len(rois)), [roi or "all ROIs" for roi in rois])
    _side_legend(figure, subjects, pooled=bool((tuned["subject"] == "").any()))
    return figure


def _pair(ax: Axes, networks: pd.DataFrame, x: float, marker: str, columns: Sequence[str]) -> None:
    """Draw the networks of one subject and ROI, means over replicates joined."""
    mean, low, high = columns
    size = 8 if marker == POOLED_MARKER else 4.5
    sides = networks.groupby("hemisphere")
    means = sides[list(columns)].mean()
    if len(means) == 2:
        ax.plot([x, x], means[mean], color="#bbbbbb", lw=0.8, zorder=1)
    for side, row in means.iterrows():
        colour = HEMISPHERE_COLOURS[str(side)]
        ax.vlines(x, row[low], row[high], color=colour, lw=2, alpha=0.35)
        dashes(ax, x, sides.get_group(side)[mean], colour)
        ax.plot(x, row[mean], marker, color=colour, ms=size, mec="white", mew=0.4)


def _verdict(tests: pd.DataFrame, roi: str, method: str) -> str:
    """Return lh − rh over subjects and its p, as text."""
    chosen = tests[
        (tests["level"] == ("roi" if roi else "group"))
        & (tests["group"] == (roi or "all"))
        & (tests["method"] == method)
    ]
    if chosen.empty:
        return ""
    row = chosen.iloc[0]
    p = f"p = {row['p_value']:.2g}, " if row["p_value"] <= 1 else ""
    return f"lh − rh {row['li_diff_mean']:+.3f}\n{p}{counted(row['n_subjects'], 'subject')}"


def _side_legend(figure: Figure, subjects: Sequence[str] = (), *, pooled: bool = False) -> None:
    sides = [(f"{side} networks", colour) for side, colour in HEMISPHERE_COLOURS.items()]
    handles = [*patches(sides), line_handle("untuned", _UNTUNED_COLOUR)]
    legend(figure, handles + subject_handles(subjects, pooled=pooled), 4)


def laterality_distributions(results: Sequence[SaliencyResult], tests: pd.DataFrame) -> Figure:
    """Draw the mirror-symmetrised LI over images: lh, rh and the untuned network.

    Parameters
    ----------
    results : sequence of SaliencyResult
    tests : DataFrame
        ``lateralization_tests.csv``.
    """
    rois, methods = _shown(results)
    if not rois:
        return notice(_NOTHING)
    everything = np.concatenate([one.li for one in results])
    everything = everything[np.isfinite(everything)]
    limit = float(np.quantile(np.abs(everything), 0.995)) if everything.size else 1.0
    edges = np.linspace(-limit, limit, 41)
    figure = canvas(2.3 * len(methods) + 0.8, 1.45 * len(rois) + 1.1)
    axes = figure.subplots(len(rois), len(methods), sharex=True, squeeze=False)
    for row, roi in zip(axes, rois, strict=True):
        for ax, method in zip(row, methods, strict=True):
            _distribution(ax, _li(results, UNTUNED), edges, _UNTUNED_COLOUR, filled=True)
            for side, colour in HEMISPHERE_COLOURS.items():
                _distribution(ax, _li(results, method, roi, side), edges, colour)
            ax.axvline(0, color="black", lw=0.6, ls=(0, (3, 3)))
            ax.text(
                0.99, 0.98, _verdict(tests, roi, method), transform=ax.transAxes,
                ha="right", va="top", fontsize=6.5,
            )  # fmt: skip
            ax.set(yticks=[], ylim=(0, None))
            ax.spines["left"].set_visible(False)
        row[0].set_ylabel(roi or "all ROIs", fontweight="bold")
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(method)
    for ax in axes[-1]:
        ax.set_xlabel("← left    LI    right →")
    _side_legend(figure)
    return figure


def _li(
    results: Sequence[SaliencyResult], method: str, roi: str = "", hemisphere: str = ""
) -> NDArray[np.float64]:
    wanted = (method, roi, hemisphere)
    values = [
        one.li
        for one in results
        if (one.label.method, one.label.roi, one.label.hemisphere) == wanted
    ]
    joined = np.concatenate([np.empty(0), *values])
    return np.asarray(joined[np.isfinite(joined)])


def _distribution(
    ax: Axes,
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    colour: str,
    *,
    filled: bool = False,
) -> None:
    if not values.size:
        return
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    ax.stairs(
        counts / len(values), edges, fill=filled, color=colour,
        alpha=0.35 if filled else 1, lw=0 if filled else 1.2,
    )  # fmt: skip
    ax.axvline(values.mean(), color=colour, lw=1.2, ymax=0.12)


def example_overlays(results: Sequence[SaliencyResult], images: ProbeImages) -> Figure:
    """Draw examples: the image, and its map under the untuned and one lh and rh network.

    The pair is the first subject's for the first early ROI (the first ROI otherwise) and
    the first contrastive method (the first otherwise) that has both hemispheres; examples
    are the first images mapped, not picked.
    """
    columns = _example_networks(results)
    if not columns:
        return notice(_NOTHING)
    n = min(len(one.examples) for _, one in columns)
    figure = canvas(1.6 * n + 1.0, 1.62 * (len(columns) + 1) + 0.3)
    axes = figure.subplots(len(columns) + 1, n, squeeze=False)
    rows = columns[0][1].rows[:n]
    for ax, at in zip(axes[0], rows, strict=True):
        ax.imshow(images.cache[at])
        _meridian(ax, images.cache.shape[2], "white")
        ax.set_title(images.classes[images.labels[at]], fontsize=8, loc="center")
    axes[0, 0].set_ylabel("image", fontweight="bold")
    for line, (name, one) in zip(axes[1:], columns, strict=True):
        for ax, at, values, li in zip(line, rows, one.examples, one.li_image, strict=False):
            _overlay(ax, np.asarray(images.cache[at]), values)
            ax.set_xlabel(f"LI {li:+.2f}" if np.isfinite(li) else "no map", fontsize=7, labelpad=2)
        line[0].set_ylabel(name, fontweight="bold")
    return figure


def _example_networks(results: Sequence[SaliencyResult]) -> list[tuple[str, SaliencyResult]]:
    """Choose the networks whose examples are shown."""
    rois, methods = _shown(results)
    methods = sorted(methods, key=lambda method: not method.startswith("contrastive"))
    rois = sorted(rois, key=lambda roi: roi not in EARLY)
    chosen = [("untuned", one) for one in results if one.label.method == UNTUNED][:1]
    by_label = {
        (one.label.method, one.label.roi, one.label.subject, one.label.hemisphere): one
        for one in results
        if one.label.replicate == "0"
    }
    subjects = sorted({one.label.subject for one in results})
    for key in ((m, r, s) for m in methods for r in rois for s in subjects):
        if all((*key, side) in by_label for side in HEMISPHERES):
            method, roi, subject = key
            name = f"{roi}, {method}\n{subject}".rstrip()
            return chosen + [(f"{side} {name}", by_label[*key, side]) for side in HEMISPHERES]
    return chosen


def _overlay(ax: Axes, picture: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
    """Draw a map over the faded picture: the more salient, the more opaque."""
    grey = picture.mean(-1)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
    top = float(values.max())
    share = values / top if top > 0 else values
    ax.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.75 * np.sqrt(share))
    _meridian(ax, picture.shape[1], "white")
