"""The table of encoders that leave the project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cortune.address import Address
from cortune.artifacts import PathLike, read_json, write_csv
from cortune.export.encoder import MAPS
from cortune.report.columns import TABLES
from cortune.versions import Provenance


def tabulate_encoders(configs: Iterable[PathLike], path: PathLike, provenance: Provenance) -> None:
    """Write ``encoders.csv``, a row per encoder and ROI.

    Parameters
    ----------
    configs : iterable of path
        ``config.json`` of each encoder, its maps beside it.
    path : path
    provenance : Provenance
    """
    import pandas as pd

    rows = []
    for each in configs:
        config, place = read_json(each)["cortune"], Address.parse(str(each))
        size = (Path(each).parent / MAPS).stat().st_size
        own = {
            **{key: config[key] for key in ("fit", "dtype", "dtype_loss")},
            **{"method": place.method, "replicate": place.replicate, "megabytes": size / 1e6},
        }
        rows += [
            {**unit, **own, "r_mean": unit["r"], "ceiling_r_mean": unit["ceiling_r"]}
            for unit in config["units"]
        ]
    columns = list(TABLES["encoders.csv"].columns)
    write_csv(path, pd.DataFrame(rows, columns=columns), provenance)
