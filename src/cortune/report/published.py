"""The published accuracies beside this run's own.

The published ones are facts about eight subjects of the Natural Scenes Dataset, averaged
from the authors' per-vertex results (``cortune/data/published_encoding.md``). Both sides
are summed up alike: the mean over the ROIs and hemispheres of a subject, then over
subjects.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from cortune.artifacts import PathLike, save_figure, write_csv
from cortune.data.rois import GROUPS
from cortune.report.gains import over_untuned
from cortune.report.panels import black_marker, canvas, colour_of, patches
from cortune.report.style import figure_style, ordered_methods
from cortune.report.wording import counted
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROTOCOL = "published"
SIDES = ("published", "here")
COLUMNS = [
    "group",
    "method",
    "r_published",
    "r_published_matched",
    "r_here",
    *(
        f"{n}_{side}"
        for n in ("n_units", "n_subjects")
        for side in ("published", "matched", "here")
    ),
]
_UNIT = ["subject", "hemisphere", "roi"]
_WIDTH = 0.4


def published_table() -> pd.DataFrame:
    """Return the published accuracies of 310 units under five methods.

    Returns
    -------
    DataFrame
        ``subject`` (1 to 8), ``hemisphere``, ``roi``, ``group``, ``method``,
        ``n_vertices``, ``r_mean``, ``best_layer``. Source: Mulrooney & Brockmeier 2024,
        arXiv 2410.06067, and the results in its repository.
    """
    import pandas as pd

    with as_file(files("cortune.data") / "published_encoding.csv") as path:
        return pd.read_csv(path)


def published_means() -> pd.DataFrame:
    """Return the published mean r by group and method (:func:`group_means`)."""
    return group_means(published_table())


def group_means(units: pd.DataFrame) -> pd.DataFrame:
    """Average over the units of a subject, then over subjects.

    Parameters
    ----------
    units : DataFrame
        ``subject``, ``hemisphere``, ``roi``, ``method``, ``r_mean``, a row per unit and
        method. Rows without r, and ROIs of no group, do not count.

    Returns
    -------
    DataFrame
        ``group``, ``method``, ``r``, ``n_units``, ``n_subjects``; groups as in
        :data:`cortune.data.rois.GROUPS`, methods in the order of the figures.
    """
    import pandas as pd

    rows = []
    for group, rois in GROUPS.items():
        members = units[units["roi"].isin(rois) & units["r_mean"].notna()]
        for method in ordered_methods(members["method"]):
            of_method = members[members["method"] == method]
            by_subject = of_method.groupby("subject")["r_mean"].mean()
            rows.append((group, method, by_subject.mean(), len(of_method), len(by_subject)))
    return pd.DataFrame(rows, columns=["group", "method", "r", "n_units", "n_subjects"])


def matched(published: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Return the published rows of just the subjects, hemispheres and ROIs of a run.

    Parameters
    ----------
    published : DataFrame
        Of :func:`published_table`; its subjects are numbers.
    own : DataFrame
        ``encoding.csv``; its subjects are told by the number at the end of their names.
    """
    numbers = own["subject"].str.extract(r"(\d+)$")[0].astype(float)
    units = set(zip(numbers, own["hemisphere"], own["roi"], strict=True))
    keys = zip(published["subject"], published["hemisphere"], published["roi"], strict=True)
    return published[[key in units for key in keys]]


def tabulate_published(encoding: PathLike, path: PathLike, provenance: Provenance) -> None:
    """Write ``published.csv``: published and own mean r by group and method.

    Parameters
    ----------
    encoding : path
        ``encoding.csv`` (:func:`cortune.report.tables.tabulate_encoding`); its rows of
        protocol ``published`` are used.
    path : path
        Columns :data:`COLUMNS`. A side that lacks a group or method has an empty r and n 0.
    provenance : Provenance
    """
    import pandas as pd

    own = _own_units(encoding)
    sides = {
        "published": published_means(),
        "matched": group_means(matched(published_table(), own)),
        "here": group_means(own),
    }
    names = [
        (group, method)
        for group in GROUPS
        for method in ordered_methods(pd.concat(sides.values())["method"])
    ]
    table = pd.DataFrame(names, columns=["group", "method"])
    for side, means in sides.items():
        renamed = {name: f"{name}_{side}" for name in ("r", "n_units", "n_subjects")}
        table = table.merge(means.rename(columns=renamed), "left", ["group", "method"])
        counts = [f"n_units_{side}", f"n_subjects_{side}"]
        table[counts] = table[counts].fillna(0).astype(int)
    table = table.rename(columns={"r_matched": "r_published_matched"})
    known = (table["n_units_published"] > 0) | (table["n_units_here"] > 0)
    write_csv(path, table.loc[known, COLUMNS], provenance)


def plot_published(
    published: PathLike,
    encoding: PathLike,
    path: PathLike,
    provenance: Provenance,
    *,
    simulated: bool,
) -> None:
    """Draw the published accuracies and this run's side by side.

    Parameters
    ----------
    published : path
        Table of :func:`tabulate_published`.
    encoding : path
        ``encoding.csv``, for the subjects behind the means.
    path : path
    provenance : Provenance
    simulated : bool
        Whether this run's responses are simulated; the figure says so.
    """
    import pandas as pd

    units = {"published": published_table(), "here": _own_units(encoding)}
    with figure_style():
        figure = published_beside_here(pd.read_csv(published), units, simulated=simulated)
        save_figure(path, figure, provenance)


def published_beside_here(
    means: pd.DataFrame, units: dict[str, pd.DataFrame], *, simulated: bool
) -> Figure:
    """Draw mean r (above) and its gain over the untuned network (below), by group.

    Parameters
    ----------
    means : DataFrame
        Table of :func:`tabulate_published`.
    units : dict of str to DataFrame
        Units of the sides ``published`` and ``here``. Points are their subjects.
    simulated : bool
    """
    methods = ordered_methods(means["method"])
    figure = canvas(1.5 + 3 * max(0.62 * len(methods), 2.2), 6.6)
    axes = figure.subplots(2, len(GROUPS), sharex=True, sharey="row")
    gains = {side: over_untuned(table, _UNIT) for side, table in units.items()}
    for column, (group, rois) in enumerate(GROUPS.items()):
        of_group = means[means["group"] == group].set_index("method")
        for offset, side in zip((-_WIDTH / 2, _WIDTH / 2), SIDES, strict=True):
            for row, values in enumerate((units[side], gains[side])):
                members = values[values["roi"].isin(rois)]
                for x, method in enumerate(methods):
                    r = members[members["method"] == method].groupby("subject")["r_mean"].mean()
                    _bar(axes[row, column], x + offset, r.dropna(), side, method)
        title = f"$\\bf{{{group}}}$\n{_counts(of_group, simulated=simulated)}"
        axes[0, column].set_title(title, fontsize=9, fontweight="normal")
        axes[1, column].axhline(0, color="black", lw=0.6)
        axes[1, column].set_xticks(range(len(methods)), methods, rotation=45, ha="right")
    for ax in axes[:, 0]:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))  # room for the values above the bars
    axes[0, 0].set_ylabel("encoding accuracy (mean r)")
    axes[1, 0].set_ylabel("gain over untuned (mean r)")
    _legend(figure, simulated=simulated)
    return figure


def _own_units(encoding: PathLike) -> pd.DataFrame:
    import pandas as pd

    units = pd.read_csv(encoding, dtype={"subject": str})
    return units[units["protocol"] == PROTOCOL]


def _bar(ax: Axes, x: float, r: Any, side: str, method: str) -> None:
    """Draw the mean over subjects as a bar, its value above, and the subjects as points."""
    if r.empty:
        return
    colour = colour_of(method)
    face = (colour, 0.55) if side == "here" else "none"
    ax.bar(x, r.mean(), 0.9 * _WIDTH, facecolor=face, edgecolor=colour, lw=1)
    spread = np.linspace(-0.25, 0.25, len(r)) * _WIDTH if len(r) > 1 else np.zeros(1)
    ax.plot(x + spread, r, "o", ms=2.5, mew=0, color=colour)
    top = max(r.max(), r.mean(), 0)
    ax.annotate(
        f"{r.mean():.3f}".replace("0.", "."),
        (x, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        rotation=90,
        fontsize=7,
    )


def _counts(means: pd.DataFrame, *, simulated: bool) -> str:
    """Return how many units and subjects stand behind a group's bars, on both sides."""
    names = {"published": "published", "here": "here (simulated)" if simulated else "here"}
    return "\n".join(f"{name}: {_sizes(means, side)}" for side, name in names.items())


def _sizes(means: pd.DataFrame, side: str) -> str:
    """Return the units and subjects of the methods that a side has."""
    units, subjects = (means[f"n_{name}_{side}"] for name in ("units", "subjects"))
    if not (units > 0).any():
        return "none"
    return f"{_span(units, 'unit')}, {_span(subjects, 'subject')}"


def _span(counts: pd.Series, noun: str) -> str:
    """Return the counts that are not zero, as one number or a range."""
    present = counts[counts > 0]
    low, high = present.min(), present.max()
    return counted(low, noun) if low == high else f"{low} to {high} {noun}s"


def _legend(figure: Figure, *, simulated: bool) -> None:
    from matplotlib.patches import Patch

    here = "here: this run, SIMULATED responses" if simulated else "here: this run"
    handles: list[Any] = [
        Patch(fill=False, ec="black", label="published: Mulrooney & Brockmeier 2024, NSD"),
        *patches([(here, "black")], alpha=0.55, lw=0),
        black_marker("o", "a subject", 2.5),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
