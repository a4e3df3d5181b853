"""What the report opens with: what was run, the answer in numbers, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortune.artifacts import PathLike
from cortune.data.rois import WHOLE
from cortune.report.similarity import gains, rank_correlation
from cortune.report.style import ordered_methods, ordered_rois
from cortune.report.wording import counted, number, signed
from cortune.tuning.methods import METHODS, UNTUNED

_FEW = 6
"""Subjects from which a two-sided test of flipped signs can reach p < .05 (2^(1 − 6) = .031)."""
_FEW_EPOCHS = 5
"""Epochs of tuning below which a run only shows that the workflow runs."""


@dataclass(frozen=True)
class Opening:
    """The opening of a report.

    Parameters
    ----------
    setting : str
        What was run on what, a sentence or two.
    tuned : bool
        Whether any network was tuned; the rows say nothing of gains otherwise.
    rows : list of tuple of str
        Of each method: its name, accuracy, share of the ceiling, gain over the untuned network.
    protocol : str
        The protocol of the accuracies.
    findings : list of str
        What else was found, a sentence each.
    warnings : list of str
        What a reader must know before quoting any of it.
    """

    setting: str
    tuned: bool
    rows: list[tuple[str, str, str, str]]
    protocol: str
    findings: list[str]
    warnings: list[str]


def opening(tables: Mapping[str, PathLike], config: Mapping[str, Any]) -> Opening | None:
    """Sum up the tables of a run; None where it scored no encoding model.

    Parameters
    ----------
    tables : mapping of str to path
        CSV tables by file name.
    config : mapping
        The configuration, defaults included.
    """
    found = {
        name: pd.read_csv(path) for name, path in tables.items() if Path(path).suffix == ".csv"
    }
    units = found.get("encoding.csv", pd.DataFrame())
    if not {"protocol", "r_mean", "subject", "method", "ceiling_r_mean"} <= set(units):
        return None
    protocol = str(units["protocol"].iloc[0])
    # The vertices of ROIs are among those of the whole hemisphere, which would count them twice.
    units = units[(units["protocol"] == protocol) & (units["roi"] != WHOLE)]
    return Opening(
        setting=_setting(units, config),
        tuned=bool(_tuned(units)),
        rows=list(_rows(units, found.get("comparison.csv", pd.DataFrame()))),
        protocol=protocol,
        findings=list(_findings(found)),
        warnings=list(_warnings(units, found, config)),
    )


def _tuned(units: pd.DataFrame) -> list[str]:
    """Return the methods that tuned networks, in order."""
    return [method for method in ordered_methods(units["method"]) if method != UNTUNED]


def _setting(units: pd.DataFrame, config: Mapping[str, Any]) -> str:
    own = units[units["dataset"] == config["tuning"]["dataset"]]
    subjects, rois = sorted(set(own["subject"])), ordered_rois(own["roi"])
    dataset = config["datasets"][config["tuning"]["dataset"]]
    backbone = config["backbone"]
    simulated = "a simulated brain" if dataset["simulate"] else "data"
    n = own.groupby(["subject", "hemisphere", "roi"]).ngroups
    weights = f" ({backbone['weights']})" if backbone.get("weights") else ""
    was = "was tuned to" if _tuned(units) else "was evaluated, untuned, on"
    scored = f"{_span(own['n_images_scored'])} images" if "n_images_scored" in own else "images"
    return (
        f"{backbone['name']}{weights} {was} {simulated} in the layout {dataset['layout']}: "
        f"{counted(len(subjects), 'subject')}, {counted(n, 'unit')} (subject, hemisphere and "
        f"ROI; {_listed(rois, 8)}). Encoding models were fitted on {_span(own['n_images_fit'])} "
        f"images and scored on {scored} that no network had seen."
    )


def _rows(units: pd.DataFrame, comparison: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    for method in ordered_methods(units["method"]):
        scores = units[units["method"] == method]
        ratio = scores["r_mean"].mean() / scores["ceiling_r_mean"].mean()
        share = "" if pd.isna(ratio) else f"{ratio:.0%}"
        yield method, number(scores["r_mean"].mean()), share, _gain(comparison, method)


def _gain(comparison: pd.DataFrame, method: str) -> str:
    if comparison.empty or method == UNTUNED:
        return ""
    pair = comparison[
        (comparison["level"] == "group")
        & (comparison["group"] == "all")
        & (comparison["method_a"] == method)
        & (comparison["method_b"] == UNTUNED)
    ]
    if pair.empty:
        return ""
    row = pair.iloc[0]
    alone = " (1 subject: no interval)" if row.get("n_subjects") == 1 else ""
    return signed(row["r_diff_mean"]) + (_interval(row) or alone) + _p(row)


def _findings(found: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    for name, where in (("transfer_subjects.csv", "other subjects"), ("transfer_datasets.csv", "")):
        table = found.get(name, pd.DataFrame())
        if "r_diff_mean" not in table:
            continue
        for (method, target), rows in table.groupby(["method", "target_dataset"], sort=False):
            if method == UNTUNED:
                continue
            pairs = rows.groupby(["source_subject", "target_subject"])["r_diff_mean"].mean()
            better = counted(int((pairs > 0).sum()), "pair")
            yield (
                f"Transfer to {where or f'data set {target}'} ({method}): {signed(pairs.mean())} "
                f"in r over the untuned network, from {signed(pairs.min())} to "
                f"{signed(pairs.max())} over {counted(len(pairs), 'pair')} of source and "
                f"target; better in {better}."
            )
    tests = found.get("lateralization_tests.csv", pd.DataFrame())
    if len(tests):
        rows = tests[tests["level"] == "group"]
        for _, row in rows[rows["group"] == "all"].iterrows():
            yield (
                f"Laterality ({row['method']}): saliency of lh less rh networks "
                f"{signed(row['li_diff_mean'])}{_interval(row)}{_p(row)}; above zero is towards "
                "each hemisphere's own visual field."
            )
    similar, units = (
        found.get(name, pd.DataFrame()) for name in ("similarity.csv", "encoding.csv")
    )
    if len(similar):
        gained = gains(similar, units)
        for measure, rows in gained.groupby("measure", sort=False):
            rose, more = rows["r"] > 0, rows["similarity"] > 0
            rho = rank_correlation(rows)
            yield (
                f"Similarity ({str(measure).upper()}): of {int(rose.sum())} units whose encoding "
                f"accuracy tuning raised it raised the similarity of {int((rose & more).sum())}, "
                f"of {int((~rose).sum())} others that of {int((~rose & more).sum())}"
                + ("." if pd.isna(rho) else f"; rank correlation of the gains {signed(rho)}.")
            )
    information = found.get("information.csv", pd.DataFrame())
    if len(information):
        means = information.groupby("method", sort=False)["mi_lower_bound_nats"].mean()
        shown = ", ".join(f"{method} {number(value)}" for method, value in means.items())
        low, high = (f"{information['log_k'].agg(end):.2f}" for end in ("min", "max"))
        most = low if low == high else f"{low} to {high}"
        yield (
            f"Information between images and responses, at least, in nats per unit: {shown} "
            f"(0: none shown; at most log K = {most})."
        )


def _warnings(
    units: pd.DataFrame, found: Mapping[str, pd.DataFrame], config: Mapping[str, Any]
) -> Iterator[str]:
    simulated = [name for name, each in config["datasets"].items() if each["simulate"]]
    if simulated:
        names = _listed(simulated, 5)
        yield f"Responses are simulated ({names}): nothing here speaks of a real brain."
    n_subjects = units["subject"].nunique()
    if n_subjects == 1:
        yield (
            "1 subject: no interval and no test over subjects; nothing can be said of other people."
        )
    elif n_subjects < _FEW:
        least = min(1.0, 2.0 ** (1 - n_subjects))
        yield (
            f"{counted(n_subjects, 'subject')}: no test over subjects can fall below "
            f"p = {least:.2g}, and intervals over subjects are wide."
        )
    yield from _too_short(_tuned(units), config)
    if _tuned(units) and config["tuning"].get("replicates", 1) == 1:
        yield (
            "One replicate: every tuned network is a single draw, and another seed gives another. "
            "Set tuning.replicates to see by how much."
        )
    if config["backbone"].get("weights") == "random":
        yield "The backbone's weights are random: it was never trained on images."
    if units["protocol"].iloc[0] == "published":
        yield "The protocol `published` selects on the scores that it reports: they are optimistic."
    if units["ceiling_r_mean"].isna().all():
        yield "The data have no noise ceilings: accuracies cannot be set against what is possible."
    skipped = found.get("skipped.csv", pd.DataFrame())
    if len(skipped):
        left_out = counted(len(skipped), "unit or part of one was", "units or parts were")
        yield f"{left_out} left out (skipped.csv)."
    methods = set(units["method"])
    if methods >= {"contrastive", "regression"}:
        yield (
            "contrastive and regression differ in rate and passes as well as in loss, as "
            "published: losses are compared by contrastive_plus and regression_plus"
            + (
                "."
                if methods >= {"contrastive_plus", "regression_plus"}
                else ", not both run here."
            )
        )


def _too_short(methods: list[str], config: Mapping[str, Any]) -> Iterator[str]:
    """Say which networks were tuned for too few epochs, if any were."""
    sections = {method: METHODS[method].section for method in methods if method in METHODS}
    known = {method: config.get(section or "", {}) for method, section in sections.items()}
    epochs = {method: each["epochs"] for method, each in known.items() if "epochs" in each}
    few = {method: n for method, n in epochs.items() if n < _FEW_EPOCHS}
    if few:
        which = "" if len(few) == len(methods) else f" of {_listed(list(few), 8)}"
        low, high = min(few.values()), max(few.values())
        count = counted(high, "epoch") if low == high else f"{low} to {high} epochs"
        yield f"Networks{which} were tuned for {count}: too few for the numbers to mean anything."


def _interval(row: Any) -> str:
    if pd.isna(row["ci_low"]):
        return ""
    return f" [{signed(row['ci_low'])}, {signed(row['ci_high'])}]"


def _p(row: Any) -> str:
    return "" if pd.isna(row["p_value"]) else f", p = {row['p_value']:.2g}"


def _listed(names: list[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _span(numbers: Any) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"
