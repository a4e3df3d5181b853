"""Tables of lateralization: by network, and left against right hemisphere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, write_csv
from cortune.data.rois import GROUPS
from cortune.encoding.comparison import false_discovery_rate, over_subjects
from cortune.errors import InputError
from cortune.probes.linear import NetworkLabel
from cortune.saliency.laterality import image_means
from cortune.saliency.maps import SaliencyResult, read_saliency
from cortune.tuning.methods import UNTUNED
from cortune.versions import Provenance

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

COLUMNS = (
    *NetworkLabel.__annotations__,
    "li_mean",
    "ci_low",
    "ci_high",
    "p_value",
    "n_images",
    "n_empty",
    "li_vs_untuned",
    "vs_untuned_ci_low",
    "vs_untuned_ci_high",
    "r_randomised",
)
TEST_COLUMNS = (
    "level",
    "group",
    "method",
    "n_subjects",
    "n_pairs",
    "n_replicates",
    "li_diff_mean",
    "ci_low",
    "ci_high",
    "p_value",
    "p_least",
    "q_value",
)


def tabulate_lateralization(
    artifacts: Iterable[PathLike],
    path: PathLike,
    tests_path: PathLike,
    provenance: Provenance,
    *,
    n_bootstrap: int = 10_000,
    n_permutations: int = 10_000,
) -> None:
    """Write ``lateralization.csv`` and ``lateralization_tests.csv``.

    Parameters
    ----------
    artifacts : iterable of path
        Files of :func:`cortune.saliency.map_saliency`, of one probe and the same images.
    path, tests_path : path
        See :func:`lateralization` and :func:`hemisphere_tests`.
    provenance : Provenance
    n_bootstrap, n_permutations : int
    """
    results = [read_saliency(artifact) for artifact in artifacts]
    options: dict[str, Any] = {
        "n_bootstrap": n_bootstrap,
        "n_permutations": n_permutations,
        "seed": provenance.seed,
    }
    write_csv(path, lateralization(results, **options), provenance)
    write_csv(tests_path, hemisphere_tests(results, **options), provenance)


def lateralization(
    results: Sequence[SaliencyResult],
    *,
    n_bootstrap: int = 10_000,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the lateralization of every network, and its difference from the untuned one.

    Parameters
    ----------
    results : sequence of SaliencyResult
        Of one probe and the same images.
    n_bootstrap, n_permutations : int
        Resamples and sign flips of images.
    seed : int

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`, one row per network. ``li_mean`` is the mean over
        ``n_images`` images of the mirror-symmetrised LI, ``li_vs_untuned`` the mean over
        images of its difference from the untuned network's (empty without one). Intervals and
        ``p_value`` are over images: they speak of this network and these images, not of its
        method, hemisphere or subject, for networks of other seeds differ by more than images
        do. ``r_randomised`` is the mean rank correlation of maps with those under
        random weights.

    Raises
    ------
    InputError
        If the results are of different images.
    """
    import pandas as pd

    li = _stacked(results)
    untuned = [index for index, one in enumerate(results) if one.label.method == UNTUNED]
    reference = li[untuned[0]] if untuned else np.full(li.shape[1:], np.nan)
    own = image_means(li, n_bootstrap, n_permutations, seed)
    gain = image_means(li - reference, n_bootstrap, n_permutations, seed)
    table = pd.DataFrame([asdict(one.label) for one in results])
    table = table.assign(
        li_mean=own.mean,
        ci_low=own.low,
        ci_high=own.high,
        p_value=own.p,
        n_images=own.n_images,
        n_empty=[one.n_empty for one in results],
        li_vs_untuned=gain.mean,
        vs_untuned_ci_low=gain.low,
        vs_untuned_ci_high=gain.high,
        r_randomised=[_mean(one.r_randomised) for one in results],
    )
    return table[list(COLUMNS)]


def hemisphere_tests(
    results: Sequence[SaliencyResult],
    *,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    n_bootstrap: int = 10_000,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Test whether networks of the left hemisphere look further right than of the right.

    A pair is the lh and the rh network of one subject, ROI and method, or the means over the
    replicates of each; what both share, such as the lateral bias of their architecture,
    cancels in lh − rh.

    Parameters
    ----------
    results : sequence of SaliencyResult
        As for :func:`lateralization`.
    groups : mapping of str to sequence of str
        ROIs of each group.
    n_bootstrap, n_permutations : int
    seed : int

    Returns
    -------
    DataFrame
        Columns :data:`TEST_COLUMNS`, by method and ROI (``level`` is ``roi``) or group of
        ROIs; networks of all ROIs are in group ``all``. The difference is averaged over
        replicates and images, then within subjects; subjects are what is resampled and whose
        hemispheres are exchanged (:func:`cortune.encoding.comparison.over_subjects`).
        ``n_replicates`` is that of the pair with the fewest networks of a side. ``q_value`` is
        the false discovery rate over the ROIs of a method, empty for groups.
    """
    import pandas as pd

    pairs = _pairs(results)
    rows: list[dict[str, Any]] = []
    for method in pairs["method"].unique():
        here = pairs[pairs["method"] == method]
        members = [("group", name, set(of)) for name, of in groups.items()]
        members += [("roi", roi, {roi}) for roi in sorted({*here["roi"]} - {""})]
        for level, group, of in members:
            of = of | ({""} if group == "all" else set())
            chosen = here[here["roi"].isin(of)]
            if not chosen.empty:
                by_subject = chosen.groupby("subject")["difference"].mean().to_numpy()
                rows.append(
                    {
                        "level": level,
                        "group": group,
                        "method": method,
                        "n_pairs": len(chosen),
                        "n_replicates": chosen["n_replicates"].min(),
                        "li_diff_mean": by_subject.mean(),
                        **over_subjects(by_subject, n_bootstrap, n_permutations, seed),
                    }
                )
    table = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    for _, same in table[table["level"] == "roi"].groupby("method", sort=False):
        q_value = false_discovery_rate(same["p_value"].to_numpy(np.float64))
        table.loc[same.index, "q_value"] = q_value
    return table


def _pairs(results: Sequence[SaliencyResult]) -> pd.DataFrame:
    """Return lh − rh of means over images and replicates, by method, subject and ROI."""
    import pandas as pd

    unit = ["method", "subject", "roi"]
    table = pd.DataFrame([asdict(one.label) for one in results])
    table["li"] = [_mean(li) for li in _stacked(results)]
    table = table[table["hemisphere"].isin(["lh", "rh"]) & table["li"].notna()]
    twice = table[table.duplicated([*unit, "hemisphere", "replicate"])]
    if len(twice):
        raise InputError(
            "lateralization",
            f"two networks of {', '.join(twice.iloc[0][['hemisphere', *unit]])}",
            "one",
            "Pass the networks of one data set and one probe.",
        )
    sides = table.groupby([*unit, "hemisphere"], sort=False)["li"].agg(["mean", "count"]).unstack()
    if sides.shape[1] < 4:
        return pd.DataFrame(columns=[*unit, "difference", "n_replicates"])
    difference = sides["mean"]["lh"] - sides["mean"]["rh"]
    pairs = pd.DataFrame({"difference": difference, "n_replicates": sides["count"].min(axis=1)})
    return pairs.dropna().reset_index()


def _stacked(results: Sequence[SaliencyResult]) -> Floats:
    """Return symmetrised LI, (n_networks, n_images), of the same images."""
    for one in results:
        if one.probe != results[0].probe or not np.array_equal(one.rows, results[0].rows):
            raise InputError(
                "lateralization",
                f"saliency of {one.label.model} on other images than of {results[0].label.model}",
                "the same images of the same probe",
                "Pass artifacts of one version of map_saliency.",
            )
    return np.array([one.li for one in results]).reshape(len(results), -1)


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan
