"""Tidy tables of the encoding scores, one row per unit, layer or voxel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cortune.address import Address
from cortune.artifacts import PathLike, write_csv, write_parquet
from cortune.encoding import (
    layer_summaries,
    mean_over_targets,
    read_encoding,
    read_partition,
    summary,
    voxel_columns,
)
from cortune.encoding.comparison import compare_methods
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd

NAMES = ["dataset", "subject", "hemisphere", "roi", "method"]
UNIT = [*NAMES, "protocol"]


@dataclass(frozen=True)
class EncodedUnit:
    """Where the encoding of one unit and method lies."""

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    method: str
    path: str
    replicate: str = "0"


def encoded_units(paths: Iterable[str]) -> list[EncodedUnit]:
    """Return units by the addresses in the paths of their files."""
    return [EncodedUnit(**Address.parse(path).label, path=path) for path in paths]


def unit_names(unit: EncodedUnit) -> dict[str, str]:
    """Return the columns that name a unit and its method."""
    return {name: getattr(unit, name) for name in NAMES}


class EncodingTables(Protocol):
    """Paths of the encoding tables."""

    encoding: str
    replicates: str
    layers: str
    voxels: str
    partition: str
    skipped: str


def tabulate_encoding(
    units: Iterable[EncodedUnit],
    skipped: Sequence[Mapping[str, str]],
    outputs: EncodingTables,
    provenance: Provenance,
    *,
    min_noise_ceiling: float,
) -> None:
    """Write the tables of scores by unit, network, layer and voxel, and of what was left out.

    ``variance_partition.csv`` has rows where the protocol ``all_layers`` was asked for.

    Parameters
    ----------
    units : iterable of EncodedUnit
    skipped : sequence of mapping
        Units that were not analysed: dataset, subject, hemisphere, roi, reason.
    outputs : EncodingTables
    provenance : Provenance
    min_noise_ceiling : float
        Voxels with a lower noise ceiling (share of variance) get no normalised score.
    """
    import numpy as np
    import pandas as pd

    rows, layer_rows, voxels, parts = [], [], [], []
    left_out, split = [dict(unit) for unit in skipped], split_name(provenance)
    for key, networks in by_unit(units).items():
        names = dict(zip(NAMES, key, strict=True))
        by_voxel: dict[str, list[pd.DataFrame]] = {}
        for unit in networks:
            for protocol, encoding in read_encoding(unit.path).items():
                of = {**names, "protocol": protocol, "replicate": unit.replicate} | split
                rows.append(of | summary(encoding, min_noise_ceiling))
                layer_rows += [of | row for row in layer_summaries(encoding, min_noise_ceiling)]
                scores = pd.DataFrame(voxel_columns(encoding, min_noise_ceiling))
                by_voxel.setdefault(protocol, []).append(scores)
                n_constant = int(np.isnan(encoding.r).sum())
                if n_constant:
                    reason = (
                        f"{n_constant} of {encoding.r.size} voxels have no r (constant in a fold)"
                    )
                    left_out.append({**names, "protocol": protocol, "reason": reason})
            parts += [
                {**names, "layer": layer, "r2_mean": float(mean_over_targets(r2))}
                for layer, r2 in read_partition(unit.path).items()
            ]
        for protocol, tables in by_voxel.items():
            means = over_replicates(pd.concat(tables), ["vertex"], "r", "r_sd_replicates")
            voxels.append(pd.DataFrame({**names, "protocol": protocol, **means}))
    partition = pd.DataFrame(parts, columns=[*NAMES, "layer", "r2_mean"])
    partition = over_replicates(partition, [*NAMES, "layer"], "r2_mean", "r2_sd_replicates")
    write_csv(outputs.partition, partition, provenance)
    replicates = pd.DataFrame(rows)
    write_csv(outputs.replicates, replicates, provenance)
    write_csv(outputs.encoding, over_replicates(replicates, UNIT), provenance)
    layers = over_replicates(pd.DataFrame(layer_rows), [*UNIT, "layer"])
    write_csv(outputs.layers, layers, provenance)
    # The repeated names of a per-voxel table are stored once each.
    table = pd.concat(voxels, ignore_index=True).astype(dict.fromkeys([*UNIT, "layer"], "category"))
    write_parquet(outputs.voxels, table, provenance)
    columns = [*NAMES[:-1], "reason", "method", "protocol"]
    skipped_table = pd.DataFrame(left_out, columns=columns).drop_duplicates()
    write_csv(outputs.skipped, skipped_table, provenance)


def split_name(provenance: Provenance) -> dict[str, str]:
    """Return the column that says what decides the test images."""
    return {"split": str(provenance.config.get("split.by", "hash"))}


def by_unit(units: Iterable[EncodedUnit]) -> dict[tuple[str, ...], list[EncodedUnit]]:
    """Return the networks of each unit and method, by the values of :data:`NAMES`."""
    found: dict[tuple[str, ...], list[EncodedUnit]] = {}
    for unit in units:
        found.setdefault(tuple(unit_names(unit).values()), []).append(unit)
    return found


def over_replicates(
    table: pd.DataFrame,
    keys: list[str],
    of: str = "r_mean",
    spread: str = "r_sd_replicates",
) -> pd.DataFrame:
    """Return one row per combination of `keys`: means over the networks of each.

    Parameters
    ----------
    table : DataFrame
        A row per network.
    keys : list of str
        What tells units, methods and so on apart.
    of, spread : str
        The column whose standard deviation over networks is wanted, and the name of the
        column to put it into.

    Returns
    -------
    DataFrame
        Without ``replicate``, with ``n_replicates`` and `spread`, which one network does
        not have. Columns that are no floating point numbers, such as the layer, are those of
        the first network.
    """
    groups = table.groupby(keys, sort=False, dropna=False)
    how = {
        name: "mean" if dtype.kind == "f" else "first"
        for name, dtype in table.dtypes.items()
        if name not in (*keys, "replicate")
    }
    means = groups.agg(how)
    means["n_replicates"] = groups.size()
    means[spread] = groups[of].std()
    return means.reset_index()


def tabulate_comparison(
    encoding: PathLike,
    voxels: PathLike,
    path: PathLike,
    provenance: Provenance,
    *,
    protocol: str,
    methods: Sequence[str],
    n_bootstrap: int,
    n_permutations: int,
) -> None:
    """Write ``comparison.csv``: every pair of methods, by group and by ROI.

    Parameters
    ----------
    encoding, voxels : path
        Tables of :func:`tabulate_encoding`.
    path : path
    provenance : Provenance
    protocol : str
        The protocol whose scores are compared.
    methods : sequence of str
        In the order of the configuration.
    n_bootstrap, n_permutations : int
    """
    import pandas as pd

    units = pd.read_csv(encoding)
    per_voxel = pd.read_parquet(voxels)
    table = compare_methods(
        units[units["protocol"] == protocol],
        per_voxel[per_voxel["protocol"] == protocol].astype(dict.fromkeys(UNIT, str)),
        methods=methods,
        n_bootstrap=n_bootstrap,
        n_permutations=n_permutations,
        seed=provenance.seed,
    )
    write_csv(path, table, provenance)
