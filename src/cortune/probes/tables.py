"""The table of probe accuracies, one row per network and probe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from cortune.artifacts import PathLike, write_csv
from cortune.probes.linear import NetworkLabel, read_probe_result
from cortune.versions import Provenance

COLUMNS = (
    "probe",
    *NetworkLabel.__annotations__,
    "layer",
    "n_classes",
    "n_train",
    "n_test",
    "accuracy",
    "ci_low",
    "ci_high",
    "penalty",
    "n_iter",
    "converged",
)


def wilson_interval(n_correct: int, n_images: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(n_correct, n_images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def tabulate_probes(artifacts: Iterable[PathLike], path: PathLike, provenance: Provenance) -> None:
    """Write ``probes.csv``.

    Parameters
    ----------
    artifacts : iterable of path
        Files of :func:`cortune.probes.probe_networks`.
    path : path
        Columns :data:`COLUMNS`; ``ci_low`` and ``ci_high`` are Wilson's 95 % interval.
    provenance : Provenance
    """
    import pandas as pd

    rows = []
    for artifact in artifacts:
        result = read_probe_result(artifact)
        n_test = len(result.labels)
        low, high = wilson_interval(result.n_correct, n_test)
        rows.append(
            asdict(result.label)
            | {
                "probe": result.probe,
                "layer": result.layer,
                "n_classes": len(result.classes),
                "n_train": result.n_train,
                "n_test": n_test,
                "accuracy": result.n_correct / n_test,
                "ci_low": low,
                "ci_high": high,
                "penalty": result.linear.penalty,
                "n_iter": result.linear.n_iter,
                "converged": result.linear.converged,
            }
        )
    write_csv(path, pd.DataFrame(rows, columns=list(COLUMNS)), provenance)
