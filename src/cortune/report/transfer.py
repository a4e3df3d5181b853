"""Tables of transfer: how well networks predict those that they were not tuned to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cortune.artifacts import PathLike, write_csv
from cortune.encoding import UnitEncoding, mean_over_targets, read_encoding, summary
from cortune.errors import InputError
from cortune.report.tables import EncodedUnit, by_unit, over_replicates, split_name
from cortune.transfer import read_transfer
from cortune.tuning.methods import LOSO, UNTUNED
from cortune.versions import Provenance

OTHERS = "others"
POOL = "pooled"
SCORES = (
    *("layer", "n_voxels", "n_images_fit", "n_images_scored"),
    *("r_mean", "r_ci_low", "r_ci_high", "ceiling_r_mean"),
)
COLUMNS = [
    "source_dataset",
    "source_subject",
    "target_dataset",
    "target_subject",
    "hemisphere",
    "roi",
    "target_roi",
    "method",
    *SCORES,
    "r_untuned_mean",
    "r_diff_mean",
    "frac_voxels_better",
    "n_replicates",
    "r_sd_replicates",
]


@dataclass(frozen=True)
class TransferredNetwork:
    """A network, the data set it is transferred to, and the files of its encodings there.

    `target` is None for the other subjects of the network's own data set; `subject` is None
    for a network that pools subjects, `roi` for one of all ROIs, both for the untuned one. There
    is a path per replicate.
    """

    target: str | None
    subject: str | None
    hemisphere: str
    roi: str | None
    method: str
    paths: list[str]


class TransferTables(Protocol):
    """Paths of the tables."""

    subjects: PathLike
    datasets: PathLike


@dataclass(frozen=True)
class Pair:
    """The names of a source and a target."""

    source_dataset: str
    source_subject: str
    target_dataset: str
    target_subject: str
    hemisphere: str
    roi: str
    target_roi: str
    method: str


def tabulate_transfer(
    networks: Iterable[TransferredNetwork],
    own: Sequence[EncodedUnit],
    dataset: str,
    outputs: TransferTables,
    provenance: Provenance,
    *,
    protocol: str,
) -> None:
    """Write ``transfer_subjects.csv`` and ``transfer_datasets.csv``.

    Parameters
    ----------
    networks : iterable of TransferredNetwork
    own : sequence of EncodedUnit
        Encodings of every unit from its own networks: the untuned one is what transfer is
        judged against, and ``pooled_loso`` is a transfer already, from all other subjects.
    dataset : str
        The data set that networks are tuned on.
    outputs : TransferTables
    provenance : Provenance
    protocol : str
    """
    import pandas as pd

    within, beyond = _within(networks := list(networks), own, dataset, protocol), []
    references: dict[tuple[str, str, str, str], UnitEncoding] = {}
    for network in sorted(networks, key=lambda n: n.method != UNTUNED):
        if network.target is None:
            continue
        for (subject, roi), encodings in _read(network.paths):
            key = (network.target, network.hemisphere, subject, roi)
            if network.method == UNTUNED:
                references[key] = encodings[0]
                continue
            source = network.subject or POOL
            names = (dataset, source, network.target, subject, network.hemisphere)
            pair = Pair(*names, network.roi or "", roi, network.method)
            beyond.append(_row(pair, encodings, references[key]))
    columns = [column for column in COLUMNS if column != "target_roi"]
    table = pd.DataFrame(within, columns=COLUMNS)[columns].assign(**split_name(provenance))
    write_csv(outputs.subjects, table, provenance)
    write_csv(outputs.datasets, pd.DataFrame(beyond, columns=COLUMNS), provenance)


def _read(paths: Iterable[str]) -> Iterator[tuple[tuple[str, str], list[UnitEncoding]]]:
    """Yield subject and ROI of each target with the encodings from the networks of a source."""
    files = [read_transfer(path) for path in paths]
    for key in files[0]:
        yield key, [encodings[key] for encodings in files]


def _within(
    networks: Sequence[TransferredNetwork], own: Sequence[EncodedUnit], dataset: str, protocol: str
) -> list[dict[str, Any]]:
    untuned = {
        (unit.subject, unit.hemisphere, unit.roi): unit.path
        for unit in own
        if unit.method == UNTUNED
    }
    rows = []
    for network in networks:
        if network.target is not None:
            continue
        for (subject, roi), encodings in _read(network.paths):
            reference = read_encoding(untuned[subject, network.hemisphere, roi])[protocol]
            names = (dataset, str(network.subject), dataset, subject, network.hemisphere)
            rows.append(_row(Pair(*names, roi, roi, network.method), encodings, reference))
    for (_, subject, side, roi, method), units in by_unit(own).items():
        key = (subject, side, roi)
        if method == LOSO and key in untuned:
            encodings = [read_encoding(unit.path)[protocol] for unit in units]
            reference = read_encoding(untuned[key])[protocol]
            names = (dataset, OTHERS, dataset, subject, side)
            rows.append(_row(Pair(*names, roi, roi, LOSO), encodings, reference))
    return rows


def _row(pair: Pair, encodings: Sequence[UnitEncoding], untuned: UnitEncoding) -> dict[str, Any]:
    """Return the scores of a pair: means over the networks that were tuned to the source."""
    import pandas as pd

    if any(not np.array_equal(each.vertices, untuned.vertices) for each in encodings):
        raise InputError(
            f"{pair.target_dataset} {pair.target_subject} {pair.hemisphere} {pair.target_roi}",
            "other voxels in the transfer than in the untuned network's encoding",
            "the same voxels",
            "Remove both results and run the workflow again.",
        )
    scores = pd.DataFrame([vars(pair) | summary(each, 0.0) for each in encodings])
    row = over_replicates(scores, list(vars(pair))).iloc[0]
    r = np.mean([each.r for each in encodings], axis=0)
    defined = np.isfinite(r) & np.isfinite(untuned.r)
    better = r[defined] > untuned.r[defined]
    untuned_mean = float(mean_over_targets(untuned.r))
    return {
        **row,
        "r_untuned_mean": untuned_mean,
        "r_diff_mean": row["r_mean"] - untuned_mean,
        "frac_voxels_better": float(better.mean()) if better.size else np.nan,
    }
