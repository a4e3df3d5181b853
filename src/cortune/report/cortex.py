"""Scores on the inflated cortical surface.

Vertices of the data set are vertices of fsaverage. Where that mesh is at hand it is drawn;
otherwise fsaverage5, which nilearn ships, each of whose vertices then shows the mean of the
fsaverage vertices nearest to it. Neither needs a network connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import (
    PathLike,
    hdf5_reader,
    save_figure,
    write_bytes,
    write_json_beside,
)
from cortune.data.rois import HEMISPHERES, STREAMS, WHOLE
from cortune.errors import InputError
from cortune.report.panels import canvas
from cortune.report.style import figure_style
from cortune.report.surfaces import (
    AUTO,
    FSAVERAGE,
    FSAVERAGE5,
    KINDS,
    SIDES,
    local_files,
    named_surface,
)
from cortune.simulate.surface import N_FSAVERAGE, sphere
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

VIEWS = ("lateral", "medial", "ventral")
_OUTLINE = "#1a1a1a"


@dataclass(frozen=True)
class Mesh:
    """An inflated surface.

    Parameters
    ----------
    name : str
    files : dict of str to str
        ``infl_left``, ``sulc_left`` and so on: GIFTI or FreeSurfer files.
    n_vertices : int
        Of a hemisphere.
    """

    name: str
    files: dict[str, str]
    n_vertices: int


def find_mesh(surface: str) -> Mesh:
    """Find the surface to draw on.

    Parameters
    ----------
    surface : str
        ``fsaverage5``, ``fsaverage`` (downloaded by nilearn where it is missing), ``auto``
        (``fsaverage`` where nilearn has it already, ``fsaverage5`` elsewhere), or a folder
        with nilearn's names (``infl_left.gii.gz``) or FreeSurfer's (``surf/lh.inflated``).

    Raises
    ------
    InputError
        If the folder lacks a file, or the download fails.
    """
    from nilearn import datasets

    surface = named_surface(surface) or surface
    if surface in (FSAVERAGE, FSAVERAGE5):
        try:
            found = datasets.fetch_surf_fsaverage(surface)
        except OSError as error:
            raise InputError(
                "cortex.surface",
                f"{surface}, which could not be downloaded ({error})",
                "a connection, or the files on disk",
                "Set cortex.surface: fsaverage5, or to a folder with the fsaverage surfaces.",
            ) from error
        files = {
            f"{kind}_{side}": found[f"{kind}_{side}"] for kind in KINDS for side in SIDES.values()
        }
        return _measured(surface, files)
    folder = Path(surface).expanduser()
    return _measured(folder.name, {name: str(path) for name, path in local_files(folder).items()})


def _measured(name: str, files: dict[str, str]) -> Mesh:
    from nilearn import surface

    counts = {
        len(surface.load_surf_mesh(files[f"infl_{side}"]).coordinates) for side in SIDES.values()
    }
    n_vertices = counts.pop()
    if counts or n_vertices > N_FSAVERAGE:
        raise InputError(
            files["infl_left"],
            f"hemispheres of {n_vertices} and {counts or n_vertices} vertices",
            f"both hemispheres of fsaverage ({N_FSAVERAGE} vertices) or of one of its levels",
            "Point cortex.surface at fsaverage, or set it to fsaverage5.",
        )
    return Mesh(name, files, n_vertices)


def on_mesh(
    mesh_vertices: NDArray[np.int64], values: NDArray[Any], hemisphere: str, n_vertices: int
) -> NDArray[np.float64]:
    """Average values at fsaverage vertices over the vertices of a coarser level.

    Parameters
    ----------
    mesh_vertices : array (n,)
        fsaverage vertex of each value; repeated ones are averaged, -1 is left out.
    values : array (n,)
        NaN is left out.
    hemisphere : {"lh", "rh"}
    n_vertices : int
        Size of the level drawn; its vertices are the first ones of fsaverage.

    Returns
    -------
    array (n_vertices,)
        NaN where there is no value.
    """
    from scipy.spatial import cKDTree

    use = (mesh_vertices >= 0) & np.isfinite(values)
    where, values = mesh_vertices[use], np.asarray(values[use], np.float64)
    if n_vertices < N_FSAVERAGE and len(where):
        points = sphere(hemisphere)
        where = cKDTree(points[:n_vertices]).query(points[where])[1]
    count = np.bincount(where, minlength=n_vertices)
    total = np.bincount(where, weights=values, minlength=n_vertices)
    mean: NDArray[np.float64] = total / np.where(count > 0, count, np.nan)
    return mean


def plot_cortex(
    voxels: PathLike,
    responses: Mapping[tuple[str, str], str],
    path: PathLike,
    interactive: PathLike,
    provenance: Provenance,
    *,
    protocol: str,
    method: str,
    surface: str = AUTO,
) -> None:
    """Draw r, noise-normalised r² and the gain over the untuned network, mean over subjects.

    The interactive page has the noise ceiling, too.

    Parameters
    ----------
    voxels : path
        ``encoding_voxels.parquet``.
    responses : mapping
        Prepared responses by subject and hemisphere: they know each vertex's place on
        fsaverage, and the ROIs.
    path, interactive : path
        PNG; HTML, always on fsaverage5.
    provenance : Provenance
    protocol, method : str
        What is drawn.
    surface : str
        See :func:`find_mesh`.
    """
    import pandas as pd

    from cortune.report.interactive import interactive_page

    table = pd.read_parquet(voxels)
    table = table[table["protocol"] == protocol].astype({"method": str, "roi": str})
    places = {key: _places(file) for key, file in responses.items()}
    values = _values(table, method)
    ceiling = values.pop(CEILING)

    def drawn(mesh: Mesh, **more: pd.Series) -> tuple[Maps, Outlines]:
        return _maps({**values, **more}, places, mesh), {
            hemisphere: _outlines(places, set(table["roi"]), hemisphere, mesh)
            for hemisphere in HEMISPHERES
        }

    mesh = find_mesh(surface)
    maps, outlines = drawn(mesh)
    noted = replace(provenance, notes={**provenance.notes, "surface": mesh.name})
    with figure_style():
        save_figure(path, cortex_figure(maps, outlines, mesh), noted)
    if mesh.name != FSAVERAGE5:
        maps, outlines = drawn(find_mesh(FSAVERAGE5))
    if ceiling.notna().any():
        maps[CEILING] = _maps({CEILING: ceiling}, places, find_mesh(FSAVERAGE5))[CEILING]
    title = f"mean over subjects, protocol {protocol}; outlines: ROIs of half the subjects"
    write_bytes(interactive, interactive_page(maps, outlines, title).encode())
    write_json_beside(
        interactive, replace(provenance, notes={**provenance.notes, "surface": FSAVERAGE5})
    )


@dataclass(frozen=True)
class _Places:
    """Where the prepared vertices of a hemisphere lie."""

    vertices: NDArray[np.int64]
    mesh_vertices: NDArray[np.int64]
    rois: dict[str, NDArray[np.int64]]


def _places(path: str) -> _Places:
    with hdf5_reader(path) as file:
        return _Places(
            file["vertices"][()],
            file["mesh_vertices"][()],
            {roi: columns[()] for roi, columns in file["rois"].items()},
        )


Maps = dict[str, dict[str, NDArray[np.float64]]]
Outlines = Mapping[str, Mapping[str, NDArray[np.int64]]]
CEILING = "noise ceiling (r)"


def _values(table: pd.DataFrame, method: str) -> dict[str, pd.Series]:
    """Return what is drawn, by title: values by subject, hemisphere and vertex."""
    index = ["subject", "hemisphere", "vertex"]
    of = {
        name: rows.groupby(index, observed=True)[["r", "nnr2", "ceiling_r"]].mean()
        for name, rows in table.groupby("method")
    }
    drawn = of[method]
    values = {f"r, {method}": drawn["r"], f"noise-normalised r², {method}": drawn["nnr2"]}
    if UNTUNED in of and method != UNTUNED:
        values[f"r, {method} − {UNTUNED}"] = drawn["r"] - of[UNTUNED]["r"]
    return {**values, CEILING: drawn["ceiling_r"]}


def _maps(
    wanted: Mapping[str, pd.Series], places: Mapping[tuple[str, str], _Places], mesh: Mesh
) -> Maps:
    """Return maps by title and hemisphere: means over subjects."""
    maps: Maps = {}
    for title, values in wanted.items():
        maps[title] = {}
        for hemisphere in HEMISPHERES:
            each = []
            for (subject, side), place in places.items():
                if side != hemisphere or (subject, side) not in values.index:
                    continue
                here = values.loc[subject, side]
                order = np.argsort(place.vertices)
                at = order[np.searchsorted(place.vertices, here.index, sorter=order)]
                each.append(
                    on_mesh(place.mesh_vertices[at], here.to_numpy(), side, mesh.n_vertices)
                )
            maps[title][hemisphere] = _mean(each, mesh.n_vertices)
    return maps


def _mean(maps: Sequence[NDArray[np.float64]], n_vertices: int) -> NDArray[np.float64]:
    """Average over subjects, at each vertex over those who have a value there."""
    stack = np.array(maps).reshape(-1, n_vertices)
    count = np.isfinite(stack).sum(axis=0)
    mean: NDArray[np.float64] = np.nansum(stack, axis=0) / np.where(count > 0, count, np.nan)
    return mean


def _outlines(
    places: Mapping[tuple[str, str], _Places], rois: set[str], hemisphere: str, mesh: Mesh
) -> dict[str, NDArray[np.int64]]:
    """Return the vertices that at least half of the subjects give to each ROI."""
    found = {}
    for roi in sorted(rois - {*STREAMS, WHOLE}):
        members = [
            np.isfinite(
                on_mesh(
                    place.mesh_vertices[place.rois[roi]],
                    np.ones(len(place.rois[roi])),
                    hemisphere,
                    mesh.n_vertices,
                )
            )
            for (_, side), place in places.items()
            if side == hemisphere and len(place.rois.get(roi, ()))
        ]
        if members:
            found[roi] = np.flatnonzero(np.mean(members, axis=0) >= 0.5)
    return found


def cortex_figure(maps: Maps, outlines: Outlines, mesh: Mesh) -> Figure:
    """Draw each map on both hemispheres, lateral, medial and ventral.

    Parameters
    ----------
    maps : dict
        Values by title and hemisphere, each (n_vertices,), NaN where there is none.
    outlines : mapping
        Vertices of each ROI, by hemisphere.
    mesh : Mesh
    """
    from matplotlib.cm import ScalarMappable

    n_rows, n_columns = len(maps), len(VIEWS) * len(SIDES)
    figure = canvas(1.9 * n_columns + 0.9, 1.75 * n_rows + 0.6)
    axes = figure.subplots(n_rows, n_columns, subplot_kw={"projection": "3d"}, squeeze=False)
    for row, (title, values) in zip(axes, maps.items(), strict=True):
        colours, norm = scale(title, values)
        columns = [(hemisphere, view) for hemisphere in SIDES for view in VIEWS]
        for ax, (hemisphere, side) in zip(row, columns, strict=True):
            view = {"hemi": SIDES[hemisphere], "view": side, "axes": ax, "figure": figure}
            _panel(values[hemisphere], view, mesh, colours, norm)
            _draw_outlines(outlines.get(hemisphere, {}), view, mesh)
        bar = figure.colorbar(
            ScalarMappable(norm, colours), ax=row.tolist(), shrink=0.7, pad=0.01, aspect=14
        )
        bar.set_label(title.replace(", ", "\n"), fontsize=8)
    for ax, (hemisphere, side) in zip(axes[0], columns, strict=True):
        ax.set_title(f"{SIDES[hemisphere]}, {side}", fontsize=9, loc="center", pad=-4)
    figure.suptitle(
        f"mean over subjects, {mesh.name}; outlines: ROIs of half the subjects", fontsize=9
    )
    return figure


def scale(title: str, values: Mapping[str, NDArray[np.float64]]) -> tuple[str, Any]:
    """Return the colours of a map, by hemisphere, and how values become colours."""
    from matplotlib.colors import Normalize

    together = np.concatenate(list(values.values()))
    known = together[np.isfinite(together)]
    if "−" in title:
        limit = float(np.quantile(np.abs(known), 0.98)) if known.size else 1.0
        return "RdBu_r", Normalize(-max(limit, 1e-3), max(limit, 1e-3))
    high = float(np.quantile(known, 0.98)) if known.size else 1.0
    return "inferno", Normalize(0, max(high, 1e-3))


def _panel(values: Any, view: Mapping[str, Any], mesh: Mesh, colours: str, norm: Any) -> None:
    from nilearn import plotting

    plotting.plot_surf_stat_map(
        mesh.files[f"infl_{view['hemi']}"],
        values,
        bg_map=mesh.files[f"sulc_{view['hemi']}"],
        bg_on_data=False,
        colorbar=False,
        cmap=colours,
        vmin=norm.vmin,
        vmax=norm.vmax,
        threshold=None,
        **view,
    )
    view["axes"].set_box_aspect(None, zoom=1.45)


def _draw_outlines(
    outlines: Mapping[str, NDArray[np.int64]], view: Mapping[str, Any], mesh: Mesh
) -> None:
    from nilearn import plotting

    surface = mesh.files[f"infl_{view['hemi']}"]
    for vertices in outlines.values():
        labels = np.zeros(mesh.n_vertices, int)
        labels[vertices] = 1
        try:
            plotting.plot_surf_contours(surface, labels, levels=[1], colors=[_OUTLINE], **view)
        except ValueError:
            # nilearn outlines regions only: a few scattered vertices are none.
            continue
