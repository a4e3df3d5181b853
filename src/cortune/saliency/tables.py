"""Tables of lateralization: by network, and left against right hemisphere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortune.artifacts import PathLike, write_csv
from cortune.data.rois import GROUPS
from cortune.encoding.comparison import cluster_interval, false_discovery_rate, sign_flip_p
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
    "q_value",
    "n_images",
    "n_empty",
    "li_vs_untuned",
    "vs_untuned_ci_low",
    "vs_untuned_ci_high",
    "p_vs_untuned",
    "q_vs_untuned",
    "r_randomised",
)
TEST_COLUMNS = (
    "over",
    "level",
    "group",
    "method",
    "subject",
    "n_subjects",
    "n_pairs",
    "n_images",
    "li_diff_mean",
    "ci_low",
    "ci_high",
    "p_value",
    "q_value",
    "p_pairs",
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
        images of its difference from the untuned network's (empty without one).
        ``q_value`` and ``q_vs_untuned`` are false discovery rates over the networks of a
        method. ``r_randomised`` is the mean rank correlation of maps with those under
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
        p_vs_untuned=gain.p,
        r_randomised=[_mean(one.r_randomised) for one in results],
    )
    table["q_value"] = _by_method(table, "p_value")
    table["q_vs_untuned"] = _by_method(table, "p_vs_untuned")
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
        Columns :data:`TEST_COLUMNS`, by method and ROI (``level`` is ``roi``) or group of ROIs;
        networks of all ROIs are in group ``all``. Where ``over`` is ``subjects``, the difference
        is averaged within subjects and ``p_value`` comes of exchanging the hemispheres of whole
        subjects: no smaller than 2^(1 − n_subjects). ``p_pairs`` exchanges each pair by itself;
        it speaks of these subjects only. Where ``over`` is ``images``, a row is of one subject
        and images are what is resampled and flipped. ``q_value`` is the false discovery rate
        over the ROIs of a method (and subjects, where rows are of one), empty for groups.
    """
    import pandas as pd

    pairs = _pairs(results)
    options = (n_bootstrap, n_permutations, seed)
    rows: list[dict[str, Any]] = []
    for method in dict.fromkeys(key[0] for key in pairs):
        here = {key[1:]: values for key, values in pairs.items() if key[0] == method}
        rois = sorted({roi for _, roi in here} - {""})
        members = [("group", name, set(of)) for name, of in groups.items()]
        members += [("roi", roi, {roi}) for roi in rois]
        for level, group, of in members:
            of = of | ({""} if group == "all" else set())
            chosen = {key: values for key, values in here.items() if key[1] in of}
            if chosen:
                names = {"level": level, "group": group, "method": method}
                rows += [names | row for row in _over_subjects(chosen, *options)]
                rows += [names | row for row in _over_images(chosen, *options)]
    table = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    for _, same in table[table["level"] == "roi"].groupby(["over", "method"], sort=False):
        tested = same.index[same["p_value"].notna()]
        table.loc[tested, "q_value"] = false_discovery_rate(
            table.loc[tested, "p_value"].to_numpy(np.float64)
        )
    return table


# Method, subject and ROI to lh − rh by image, of the means over replicates.
Pairs = dict[tuple[str, str, str], Floats]
SubjectPairs = Mapping[tuple[str, str], Floats]


def _pairs(results: Sequence[SaliencyResult]) -> Pairs:
    li = _stacked(results)
    sides: dict[str, dict[tuple[str, str, str], dict[str, Floats]]] = {"lh": {}, "rh": {}}
    for one, values in zip(results, li, strict=True):
        label = one.label
        if label.hemisphere in sides:
            key = (label.method, label.subject, label.roi)
            replicates = sides[label.hemisphere].setdefault(key, {})
            if label.replicate in replicates:
                raise InputError(
                    "lateralization",
                    f"two networks of {label.hemisphere}, {', '.join(key)}",
                    "one",
                    "Pass the networks of one data set and one probe.",
                )
            replicates[label.replicate] = values
    lh, rh = (
        {k: np.mean([*v.values()], axis=0) for k, v in side.items()} for side in sides.values()
    )
    return {key: lh[key] - rh[key] for key in lh if key in rh}


def _over_subjects(
    pairs: SubjectPairs, n_bootstrap: int, n_permutations: int, seed: int
) -> Iterator[dict[str, Any]]:
    means = {key: _mean(values) for key, values in pairs.items()}
    means = {key: value for key, value in means.items() if np.isfinite(value)}
    if not means:
        return
    subjects = sorted({subject for subject, _ in means})
    by_subject = np.array(
        [np.mean([value for key, value in means.items() if key[0] == s]) for s in subjects]
    )
    # Each pair counts as much as in the mean of subjects.
    sizes = [sum(key[0] == subject for key in means) for subject, _ in means]
    by_pair = np.array(list(means.values())) / sizes
    low, high = cluster_interval(by_subject, n_bootstrap, seed)
    yield {
        "over": "subjects",
        "subject": "",
        "n_subjects": len(subjects),
        "n_pairs": len(means),
        "n_images": max(int(np.isfinite(values).sum()) for values in pairs.values()),
        "li_diff_mean": by_subject.mean(),
        "ci_low": low,
        "ci_high": high,
        "p_value": float(sign_flip_p(by_subject, n_permutations, seed)),
        "q_value": np.nan,
        "p_pairs": float(sign_flip_p(by_pair, n_permutations, seed)),
    }


def _over_images(
    pairs: SubjectPairs, n_bootstrap: int, n_permutations: int, seed: int
) -> Iterator[dict[str, Any]]:
    subjects = sorted({subject for subject, _ in pairs})
    of_subject = [
        np.array([values for key, values in pairs.items() if key[0] == s]) for s in subjects
    ]
    values = np.array([pairs_of.mean(0) for pairs_of in of_subject])
    means = image_means(values, n_bootstrap, n_permutations, seed)
    for index, subject in enumerate(subjects):
        yield {
            "over": "images",
            "subject": subject,
            "n_subjects": 1,
            "n_pairs": len(of_subject[index]),
            "n_images": int(means.n_images[index]),
            "li_diff_mean": means.mean[index],
            "ci_low": means.low[index],
            "ci_high": means.high[index],
            "p_value": means.p[index],
            "q_value": np.nan,
            "p_pairs": np.nan,
        }


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


def _by_method(table: pd.DataFrame, column: str) -> Floats:
    """Return false discovery rates of a column of p values over the networks of a method."""
    q = np.full(len(table), np.nan)
    p = table[column].to_numpy(np.float64)
    for method in table["method"].unique():
        tested = np.flatnonzero((table["method"] == method).to_numpy() & np.isfinite(p))
        q[tested] = false_discovery_rate(p[tested])
    return q
