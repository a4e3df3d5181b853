"""Scores on a cortical surface that turns under the pointer: one HTML file, no connection.

Always fsaverage5, inflated and flat, which nilearn ships: its levels have the same first
vertices, so whatever the printed maps are drawn on, the file stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.report.surfaces import FSAVERAGE5, SIDES

if TYPE_CHECKING:
    from cortune.report.cortex import Maps, Outlines

KINDS = ("infl", "flat")
_SCENES = {"lh": "scene", "rh": "scene2"}
_HALVES = ((0.0, 0.46), (0.46, 0.92))
_WIDTH_MM = {"infl": 137, "flat": 210}
_LIGHT = {
    "infl": {"ambient": 0.9, "diffuse": 0.25, "specular": 0},
    "flat": {"ambient": 1, "diffuse": 0, "specular": 0},
}
_OUTLINE, _LIFT_MM = "#1a1a1a", 0.4
_NEVER = "no responses"
# Colours and notes are in the file once, with the inflated hemispheres.
_SHARE = """
const traces = document.getElementById("cortex").data;
for (const n of [0, 1])
  for (const key of ["vertexcolor", "text"]) traces[n + 2][key] = traces[n][key];
"""
# Where the camera stands, and what is up; x points away from the other hemisphere.
_VIEWS = {
    "lateral": ((1.6, 0, 0), (0, 0, 1)),
    "medial": ((-1.6, 0, 0), (0, 0, 1)),
    "ventral": ((0, 0, -1.6), (0, 1, 0)),
    "dorsal": ((0, 0, 1.6), (0, 1, 0)),
    "posterior": ((0, -1.6, 0), (0, 0, 1)),
    "flat": ((0, 0, 1.6), (0, 1, 0)),
}


@cache
def surface(kind: str, hemisphere: str) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return the coordinates (10242, 3), mm, and triangles (t, 3) of fsaverage5.

    Vertices where the flat map is cut lie in its middle, in no triangle.
    """
    from nilearn import datasets
    from nilearn.surface import load_surf_mesh

    file = datasets.fetch_surf_fsaverage(FSAVERAGE5)[f"{kind}_{SIDES[hemisphere]}"]
    mesh = load_surf_mesh(file)
    points, triangles = np.array(mesh.coordinates, np.float32), np.asarray(mesh.faces)
    points[np.setdiff1d(np.arange(len(points)), triangles)] = 0
    if kind == "flat":
        points[:, 2] = 0
    return points, triangles.astype(np.uint16)


def outline(
    points: NDArray[np.float32], triangles: NDArray[np.integer[Any]], vertices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the border of some vertices: a line through the edges that it cuts in half.

    Parameters
    ----------
    points : array (n, 3)
    triangles : array (t, 3)
    vertices : array of int

    Returns
    -------
    array (3 m, 3)
        Start and end of each of m segments, and a row of NaN, lifted off the surface.
    """
    inside = np.zeros(len(points), bool)
    inside[vertices] = True
    cut = triangles[np.isin(inside[triangles].sum(axis=1), (1, 2))].astype(int)
    # The corner that is alone on its side of the border, and the two others.
    alone = (inside[cut] == (inside[cut].sum(axis=1) == 1)[:, None]).argmax(axis=1)
    a, b, c = (points[cut[np.arange(len(cut)), (alone + k) % 3]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal *= _LIFT_MM / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    ends = np.stack([(a + b) / 2 + normal, (a + c) / 2 + normal, np.full_like(a, np.nan)], axis=1)
    return ends.reshape(-1, 3).astype(np.float32)


def interactive_page(maps: Maps, regions: Outlines, title: str) -> str:
    """Return a page with each map on both hemispheres, and its values under the pointer.

    Parameters
    ----------
    maps : dict
        Values by title and hemisphere, each (10242,), NaN where there is none.
    regions : mapping
        Vertices of each ROI, by hemisphere.
    title : str

    Returns
    -------
    str
        HTML, with the scripts that it needs.
    """
    import plotly.graph_objects as go

    from cortune.report.cortex import scale

    looks = {name: scale(name, values) for name, values in maps.items()}
    colours = {
        name: [_colours(maps[name][side], side, *looks[name]) for side in SIDES] for name in maps
    }
    first = next(iter(maps))
    looks_of = [
        {"vertexcolor": colours[first][n], "text": _notes(maps, regions.get(side, {}), side)}
        for n, side in enumerate(SIDES)
    ]
    meshes, borders = [], []
    for kind in KINDS:
        for number, side in enumerate(SIDES):
            points, triangles = surface(kind, side)
            shared = {"scene": _SCENES[side], "visible": kind == KINDS[0]}
            meshes.append(
                go.Mesh3d(
                    **_named("xyz", points),
                    **_named("ijk", triangles),
                    **shared,
                    **(looks_of[number] if kind == KINDS[0] else {}),
                    hovertemplate="%{text}<extra></extra>",
                    lighting=_LIGHT[kind],
                )
            )
            lines = [outline(points, triangles, each) for each in regions.get(side, {}).values()]
            borders.append(
                go.Scatter3d(
                    **_named("xyz", np.concatenate(lines) if lines else np.zeros((0, 3))),
                    **shared,
                    mode="lines",
                    line={"color": _OUTLINE, "width": 4},
                    hoverinfo="skip",
                )
            )
    # Colours of vertices bring no bar; an invisible triangle does.
    corner = {name: [0, 0, 0] for name in "xyz"}
    hidden = {"opacity": 0, "hoverinfo": "skip", "intensity": [0, 0, 0]}
    bar = go.Mesh3d(**corner, i=[0], j=[1], k=[2], **hidden, coloraxis="coloraxis")
    axes = {name: _bar(name, *look) for name, look in looks.items()}
    each = list(range(len(meshes)))
    by_map = [
        _button(name, {"vertexcolor": colours[name]}, {"coloraxis": axes[name]}, each)
        for name in maps
    ]
    by_view = []
    for view in _VIEWS:
        stands = {scene: _stand(view, side) for side, scene in _SCENES.items()}
        layout = {f"{scene}.{key}": v for scene, each in stands.items() for key, v in each.items()}
        visible = {"visible": [kind == _kind(view) for kind in KINDS for _ in SIDES] * 2}
        by_view.append(_button(view, visible, layout, list(range(2 * len(meshes)))))
    figure = go.Figure([*meshes, *borders, bar])
    empty = {f"{name}axis": {"visible": False} for name in "xyz"}
    menu = {"direction": "down", "y": 1, "yanchor": "top", "xanchor": "left", "showactive": True}
    figure.update_layout(
        title={"text": title, "x": 0.5, "y": 0.03, "font": {"size": 13}},
        margin={"l": 0, "r": 0, "t": 0, "b": 30},
        hovermode="closest",
        showlegend=False,
        coloraxis=axes[first],
        updatemenus=[
            menu | {"buttons": by_map, "x": 0.01},
            menu | {"buttons": by_view, "x": 0.35},
        ],
        **{
            scene: empty
            | _stand("lateral", side)
            | {"aspectmode": "manual", "domain": {"x": where}}
            for (side, scene), where in zip(_SCENES.items(), _HALVES, strict=True)
        },
    )
    page: str = figure.to_html(
        include_plotlyjs=True,
        div_id="cortex",
        default_height="95vh",
        config={"displaylogo": False, "responsive": True},
        post_script=_SHARE,
    )
    head = f'<head><title>{title}</title><link rel="icon" href="data:,">'
    return page.replace("<head>", head, 1)


def _named(names: str, columns: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return dict(zip(names, columns.T.copy(), strict=True))


def _button(label: str, data: Any, layout: Any, traces: list[int]) -> dict[str, Any]:
    return {"label": label, "method": "update", "args": [data, layout, traces]}


def _stand(view: str, hemisphere: str) -> dict[str, dict[str, Any]]:
    """Return the camera of a view, and how wide the axes are drawn, which follows the points."""
    eye, up = _VIEWS[view]
    mirrored = (eye[0] * (-1 if hemisphere == "lh" else 1), *eye[1:])
    points = surface(_kind(view), hemisphere)[0]
    sides = np.maximum(np.ptp(points, axis=0) / _WIDTH_MM[_kind(view)], 0.01)
    each = {"eye": mirrored, "up": up, "sides": sides}
    found = {key: dict(zip("xyz", map(float, v), strict=True)) for key, v in each.items()}
    return {"aspectratio": found.pop("sides"), "camera": found}


def _kind(view: str) -> str:
    return "flat" if view == "flat" else "infl"


def _bar(name: str, colours: str, norm: Any) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = np.linspace(0, 1, 21)
    return {
        "colorscale": [[float(step), to_hex(colormaps[colours](step))] for step in steps],
        "cmin": float(norm.vmin),
        "cmax": float(norm.vmax),
        "colorbar": {"title": {"text": name, "side": "right"}, "len": 0.7, "x": 0.93},
    }


def _colours(values: NDArray[Any], hemisphere: str, colours: str, norm: Any) -> list[str]:
    """Return the colour of each vertex, as nilearn has it: sulcal depth where there is no value."""
    from nilearn import datasets, plotting

    files, side = datasets.fetch_surf_fsaverage(FSAVERAGE5), SIDES[hemisphere]
    drawn = plotting.plot_surf(
        files[f"infl_{side}"],
        values,
        bg_map=files[f"sulc_{side}"],
        hemi=side,
        engine="plotly",
        cmap=colours,
        vmin=norm.vmin,
        vmax=norm.vmax,
        colorbar=False,
    )
    return list(drawn.figure.data[0].vertexcolor)


def _notes(maps: Maps, regions: Mapping[str, NDArray[np.int64]], hemisphere: str) -> list[str]:
    """Return what is said of each vertex: its ROIs, and the value of each map."""
    columns = {name: values[hemisphere] for name, values in maps.items()}
    found = np.full(len(next(iter(columns.values()))), "", object)
    for roi, vertices in regions.items():
        found[vertices] += f" {roi}"
    method = next(iter(maps)).removeprefix("r")
    short = {name: name.replace(method, "", 1) for name in maps}
    notes = []
    for vertex, rois in enumerate(found):
        known = [f"{short[name]}: {values[vertex]:.3f}" for name, values in columns.items()
                 if np.isfinite(values[vertex])]  # fmt: skip
        place = [rois.strip()] if rois else ["outside the ROIs"] if known else []
        notes.append("<br>".join([*place, *(known or [_NEVER])]))
    return notes
