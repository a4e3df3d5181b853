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
_KEYS = (*UNIT, "replicate")


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
    left_out = [dict(unit) for unit in skipped]
    for unit in units:
        names = unit_names(unit)
        for protocol, encoding in read_encoding(unit.path).items():
            key = {**names, "protocol": protocol}
            scores = summary(encoding, min_noise_ceiling)
            rows.append(key | {"replicate": unit.replicate} | scores)
            layer_rows += [key | row for row in layer_summaries(encoding, min_noise_ceiling)]
            voxels.append(pd.DataFrame(key | voxel_columns(encoding, min_noise_ceiling)))
            n_constant = int(np.isnan(encoding.r).sum())
            if n_constant:
                reason = f"{n_constant} of {encoding.r.size} voxels have no r (constant in a fold)"
                left_out.append({**names, "protocol": protocol, "reason": reason})
        parts += [
            {**names, "layer": layer, "r2_mean": float(mean_over_targets(r2))}
            for layer, r2 in read_partition(unit.path).items()
        ]
    columns = [*NAMES, "layer", "r2_mean"]
    write_csv(outputs.partition, pd.DataFrame(parts, columns=columns), provenance)
    replicates = pd.DataFrame(rows)
    write_csv(outputs.replicates, replicates, provenance)
    write_csv(outputs.encoding, over_replicates(replicates), provenance)
    write_csv(outputs.layers, pd.DataFrame(layer_rows), provenance)
    # The repeated names of a per-voxel table are stored once each.
    by_voxel = pd.concat(voxels, ignore_index=True).astype(
        dict.fromkeys([*UNIT, "layer"], "category")
    )
    write_parquet(outputs.voxels, by_voxel, provenance)
    columns = [*NAMES[:-1], "reason", "method", "protocol"]
    write_csv(outputs.skipped, pd.DataFrame(left_out, columns=columns), provenance)


def over_replicates(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per unit, method and protocol: means over the networks of each.

    Parameters
    ----------
    table : DataFrame
        ``encoding_replicates.csv``.

    Returns
    -------
    DataFrame
        Without ``replicate``, with ``n_replicates`` and ``r_sd_replicates``, the standard
        deviation of ``r_mean`` over them, which one network does not have. The layer is that
        of the first.
    """
    groups = table.drop(columns="replicate").groupby(UNIT, sort=False, dropna=False)
    numbers = table.select_dtypes("number").columns
    means = groups.agg({n: "mean" if n in numbers else "first" for n in table if n not in _KEYS})
    means["n_replicates"] = groups.size()
    means["r_sd_replicates"] = groups["r_mean"].std()
    return means.reset_index().astype({"n_voxels": int, "n_images_fit": int})


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
