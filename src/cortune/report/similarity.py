"""Tables and figures of how alike layers of networks and regions of cortex are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from cortune.address import Address
from cortune.artifacts import PathLike, hdf5_reader, save_figure, write_csv
from cortune.data.prepare import read_responses
from cortune.data.rois import WHOLE
from cortune.data.splits import read_split
from cortune.encoding.stages import open_inputs
from cortune.errors import InputError
from cortune.features import Grams
from cortune.report.panels import canvas, colour_of, legend, method_patches, notice
from cortune.report.style import figure_style, ordered_methods, ordered_rois
from cortune.report.tables import NAMES, over_replicates
from cortune.similarity import (
    LEAST_IMAGES,
    MEASURES,
    Relations,
    between,
    ceiling,
    intervals,
    repeat_ceiling,
    similarity,
)
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cortune.data.records import Halves

REPEATS = "ceiling_repeats"
_UNIT = ["dataset", "subject", "hemisphere", "roi"]
_KEYS = [*NAMES, "layer", "measure"]
_COLUMNS = [
    *(*_KEYS, "value", "ceiling", REPEATS, "ci_low", "ci_high", "n_images"),
    *("n_replicates", "value_sd_replicates"),
]


class Tables(Protocol):
    """Paths of the tables."""

    similarity: str
    networks: str


class Figures(Protocol):
    """Paths of the figures."""

    layers: str
    gains: str


def measure_similarity(
    grams: PathLike,
    responses: PathLike,
    roi: str,
    path: PathLike,
    provenance: Provenance,
    *,
    layers: Sequence[str] | None,
    n_bootstrap: int,
) -> None:
    """Write the similarity of each layer of a network with an ROI, over test images.

    Parameters
    ----------
    grams : path
        Of :func:`cortune.features.extract_features`.
    responses : path
        Of :func:`cortune.data.prepare.prepare_responses`.
    roi : str
    path : path
        CSV to write: layer, measure, value, ci_low, ci_high, n_images.
    provenance : Provenance
    layers : sequence of str, optional
        By default all.
    n_bootstrap : int

    Raises
    ------
    LeakageError
        If the network was tuned on a test image.
    InputError
        If the files do not hold the same images, or fewer than 20 test images.
    """
    with open_inputs(grams, responses, roi) as inputs:
        rows = np.flatnonzero(inputs.sets["test"])
        _check_images(grams, len(rows))
        names = list(layers or inputs.grams)
        target = Relations.of_values(inputs.target.values[rows])
        found = [Relations.of_layer(inputs.grams.products(name)).only(rows) for name in names]
    table = [
        dict(zip(("layer", "measure", "value", "ci_low", "ci_high"), row, strict=True))
        for measure in MEASURES
        for row in zip(
            names,
            [measure] * len(names),
            [similarity(layer, target, measure) for layer in found],
            *intervals(found, target, measure, n_bootstrap, provenance.seed).T,
            strict=True,
        )
    ]
    write_csv(path, pd.DataFrame(table).assign(n_images=len(rows)), provenance)


def relate_repeats(halves: Halves, path: PathLike, provenance: Provenance) -> None:
    """Write how alike noiseless responses of each ROI and the measured ones are.

    Parameters
    ----------
    halves : Halves
        Responses to test images that were shown repeatedly.
    path : path
        CSV to write: roi, measure, ceiling_repeats; no row where there are fewer than 20 images.
    provenance : Provenance
    """
    weights = (halves.counts / halves.counts.sum(axis=0))[:, :, None]
    rows = []
    for roi, columns in halves.rois.items():
        if halves.counts.shape[1] < LEAST_IMAGES or len(columns) < 2:
            continue
        values = np.stack([half[:, columns] for half in halves.values])
        parts = [Relations.of_values(each) for each in values]
        mean = Relations.of_values((weights * values).sum(axis=0))
        rows += [(roi, name, repeat_ceiling(parts, mean, name)) for name in MEASURES]
    write_csv(path, pd.DataFrame(rows, columns=["roi", "measure", REPEATS]), provenance)


def compare_networks(
    paths: Sequence[str],
    path: PathLike,
    provenance: Provenance,
    *,
    layers: Sequence[str] | None,
) -> None:
    """Write how alike the networks of a subject are, by the same layers, over test images.

    Parameters
    ----------
    paths : sequence of str
        Features of the networks, each at its address.
    path : path
        CSV to write: a, b, layer, measure, value.
    provenance : Provenance
    layers : sequence of str, optional
        By default all.
    """
    files = {Address.parse(each).model: each for each in dict.fromkeys(paths)}
    with hdf5_reader(next(iter(files.values()))) as file:
        names = list(layers or Grams(file))
    rows = []
    for layer in names:
        vectors: dict[str, np.ndarray] = {}
        for number, each in enumerate(files.values()):
            relations = _relations(each, layer)
            for measure in MEASURES:
                vector = relations.vector(measure)
                if measure not in vectors:  # of hundreds of networks: float32
                    vectors[measure] = np.empty((len(files), len(vector)), np.float32)
                vectors[measure][number] = vector
        for measure, values in vectors.items():
            for a, b, value in between(list(files), values):
                rows.append((a, b, layer, measure, value))
    columns = ["a", "b", "layer", "measure", "value"]
    write_csv(path, pd.DataFrame(rows, columns=columns), provenance)


def _relations(path: str, layer: str) -> Relations:
    with hdf5_reader(path) as file:
        network = Grams(file)
        rows = np.flatnonzero(network.sets == "test")
        _check_images(path, len(rows))
        return Relations.of_layer(network.products(layer)).only(rows)


def _check_images(path: PathLike, n_images: int) -> None:
    if n_images < LEAST_IMAGES:
        raise InputError(
            path,
            f"{n_images} test images",
            f"{LEAST_IMAGES} or more to compare networks and responses by",
            "Raise split.test, use more images, or leave `similarity` out.",
        )


def tabulate_similarity(
    parts: Sequence[str],
    networks: Sequence[str],
    responses: Sequence[str],
    splits: Sequence[str],
    repeats: Sequence[str],
    outputs: Tables,
    provenance: Provenance,
) -> None:
    """Write ``similarity.csv`` and ``similarity_networks.csv``.

    Parameters
    ----------
    parts : sequence of str
        Of :func:`measure_similarity`, each at its address.
    networks : sequence of str
        Of :func:`compare_networks`, each at its subject's.
    responses, splits : sequence of str
        Prepared responses of every hemisphere and the split of every subject, at their addresses.
    repeats : sequence of str
        Of :func:`relate_repeats`, where the layout keeps repeats, each at its hemisphere's.
    outputs : Tables
    provenance : Provenance
    """
    found = [pd.read_csv(path).assign(**Address.parse(path).label) for path in parts]
    table = over_replicates(pd.concat(found), _KEYS, "value", "value_sd_replicates")
    units = list(table[_UNIT].drop_duplicates().itertuples(index=False))
    rows = _ceilings(units, responses, splits)
    ceilings = pd.DataFrame(rows, columns=[*_UNIT, "measure", "ceiling"])
    table = table.merge(ceilings, on=[*_UNIT, "measure"], how="left")
    columns = [*_UNIT, "measure", REPEATS]
    measured = [pd.read_csv(path).assign(**Address.parse(path).own) for path in repeats]
    of_repeats = pd.concat([pd.DataFrame(columns=columns), *measured])[columns]
    table = table.merge(of_repeats, on=[*_UNIT, "measure"], how="left")
    write_csv(outputs.similarity, table[_COLUMNS], provenance)
    pairs = [pd.read_csv(path).assign(**Address.parse(path).own) for path in networks]
    columns = ["dataset", "subject", "a", "b", "layer", "measure", "value"]
    write_csv(outputs.networks, pd.concat(pairs)[columns], provenance)


def _ceilings(
    units: list[Any], responses: Sequence[str], splits: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield unit, measure and ceiling, over the test images that all subjects of an ROI saw."""
    sets = {(at.dataset, at.subject): path for path in splits for at in [Address.parse(path)]}
    files = {}
    for path in responses:
        at = Address.parse(path)
        files[at.dataset, at.subject, at.hemisphere, "/prepare_whole/" in path] = path
    by_region: dict[tuple[str, ...], list[Any]] = {}
    for unit in units:
        by_region.setdefault((unit.dataset, unit.hemisphere, unit.roi), []).append(unit)
    for members in by_region.values():
        read = {}
        for unit in members:
            split = read_split(sets[unit.dataset, unit.subject])
            path = files[unit.dataset, unit.subject, unit.hemisphere, unit.roi == WHOLE]
            values = read_responses(path, unit.roi)
            read[unit] = {
                identity: row
                for identity, row in zip(values.identities, values.values, strict=True)
                if split[identity] == "test"
            }
        shared = sorted(set.intersection(*(set(each) for each in read.values())))
        if len(shared) < LEAST_IMAGES or len(members) < 2:
            continue
        relations = {
            unit: Relations.of_values(np.array([each[identity] for identity in shared]))
            for unit, each in read.items()
        }
        for unit, own in relations.items():
            others = [each for other, each in relations.items() if other is not unit]
            for measure in MEASURES:
                yield (*unit, measure, ceiling(own, others, measure))


def plot_similarity(
    table: PathLike, encoding: PathLike, outputs: Figures, provenance: Provenance
) -> None:
    """Draw similarity by layer and ROI, and its gain against that of encoding accuracy."""
    found, units = pd.read_csv(table), pd.read_csv(encoding)
    with figure_style():
        save_figure(outputs.layers, by_layer(found), provenance)
        save_figure(outputs.gains, against_encoding(gains(found, units)), provenance)


def by_layer(table: pd.DataFrame) -> Figure:
    """Draw the similarity of layers and ROIs, a panel per measure and method."""
    methods, rois = ordered_methods(table["method"]), ordered_rois(table["roi"])
    layers = list(dict.fromkeys(table["layer"]))
    figure = canvas(
        1.6 + max(1.9, 0.42 * len(rois) + 0.5) * len(methods), 2 * (0.26 * len(layers) + 1.1)
    )
    axes = figure.subplots(len(MEASURES), len(methods), squeeze=False, sharex=True, sharey=True)
    for row, measure in zip(axes, MEASURES, strict=True):
        here = table[table["measure"] == measure]
        wide = here.pivot_table(index="layer", columns=["method", "roi"], values="value")
        high = float(np.nanmax(np.abs(wide.to_numpy())))
        for ax, method in zip(row, methods, strict=True):
            cells = wide[method].reindex(index=layers, columns=rois).to_numpy()
            image = ax.imshow(cells, cmap="RdBu_r", vmin=-high, vmax=high, aspect="auto")
            ax.set_title(method if measure == next(iter(MEASURES)) else "")
            ax.set_xticks(range(len(rois)), rois, rotation=90)
            ax.set_yticks(range(len(layers)), layers)
        figure.colorbar(image, ax=list(row), label=measure.upper())
    return figure


def gains(table: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Return the gain over the untuned network of each unit and method: similarity and r.

    Returns
    -------
    DataFrame
        Columns dataset, subject, hemisphere, roi, method, measure, similarity, r.
    """
    best = table.groupby([*_UNIT, "measure", "method"], sort=False)["value"].max()
    scored = units[units["protocol"] == units["protocol"].iloc[0]]
    r = scored.set_index([*_UNIT, "method"])["r_mean"]
    rows = []
    for (*unit, measure, method), value in best.items():
        before = (*unit, measure, UNTUNED)
        if method != UNTUNED and before in best.index and (*unit, method) in r.index:
            gained = r[*unit, method] - r[*unit, UNTUNED]
            rows.append((*unit, method, measure, value - best[before], gained))
    return pd.DataFrame(rows, columns=[*NAMES, "measure", "similarity", "r"])


def rank_correlation(gained: pd.DataFrame) -> float:
    """Return the rank correlation of gains in similarity and in r; NaN below five of them."""
    return float(gained["similarity"].corr(gained["r"], "spearman")) if len(gained) > 4 else np.nan


def against_encoding(gained: pd.DataFrame) -> Figure:
    """Draw gains in similarity against gains in encoding accuracy."""
    if gained.empty:
        return notice("No untuned network to compare with")
    methods = ordered_methods(gained["method"])
    figure = canvas(9.2, 4.2)
    for ax, measure in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
        here = gained[gained["measure"] == measure]
        for method in methods:
            own = here[here["method"] == method]
            ax.scatter(own["r"], own["similarity"], s=14, color=colour_of(method), alpha=0.8)
        ax.axhline(0, color="black", lw=0.6)
        ax.axvline(0, color="black", lw=0.6)
        rho = rank_correlation(here)
        ax.set_title(measure + ("" if np.isnan(rho) else f": rank correlation {rho:+.2f}"))
        ax.set(xlabel="gain in r", ylabel=f"gain in {measure}, most similar layer")
    legend(figure, method_patches(methods), 6)
    return figure
