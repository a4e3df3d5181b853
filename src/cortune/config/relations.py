"""What a schema cannot say: relations between keys of the configuration."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from cortune.config.schema import fits, schema


def relation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a schema cannot say: relations between keys."""
    total = math.fsum(config["split"].values())
    if abs(total - 1) > 1e-6:
        yield f"split: found shares that sum to {total:g}, expected 1."
    if config["tuning"]["dataset"] not in config["datasets"]:
        yield (
            f"tuning.dataset: found {config['tuning']['dataset']!r}, expected one of "
            f"{', '.join(config['datasets'])}."
        )
    for name, dataset in config["datasets"].items():
        if (dataset["root"] is None) == (dataset["simulate"] is None):
            what = "neither" if dataset["root"] is None else "both"
            yield (
                f"datasets.{name}: found {what} of `root` and `simulate`, expected one of them. "
                "Give `root` for data on disk, or `simulate` to have it simulated."
            )
        if dataset["simulate"] is not None and dataset["subjects"] == "all":
            yield (
                f"datasets.{name}.subjects: found 'all', expected a list: the simulator needs "
                "names, such as [subj01, subj02]."
            )
        yield from _layout_problems(name, dataset)
    yield from _size_curve_problems(config)
    yield from _transfer_problems(config)
    yield from _probe_problems(config)
    if "tune_test" in config["encoding"]["protocols"] and config["features"]["images"] != "all":
        yield (
            "encoding.protocols: found tune_test with features.images = test, expected all: it "
            "fits on the tuning images. Set features.images: all."
        )


def _layout_problems(name: str, dataset: Mapping[str, Any]) -> Iterator[str]:
    """Yield keys that belong to another layout than the data set's."""
    rules = schema()["properties"]["datasets"]["additionalProperties"]["properties"]
    layout = dataset["layout"]
    given = {key: key for key, rule in rules.items() if dataset[key] != rule.get("default")}
    blocks = [(rules, given, f"datasets.{name}")]
    if dataset["simulate"] is not None:
        inside = dataset["simulate"]
        blocks.append((rules["simulate"]["properties"], inside, f"datasets.{name}.simulate"))
    for known, keys, where in blocks:
        for key in keys:
            if not fits(known[key], layout):
                layouts = " and ".join(known[key]["x-layouts"])
                yield f"{where}.{key}: found under {layout}, expected under {layouts}. Remove it."


def _transfer_problems(config: Mapping[str, Any]) -> Iterator[str]:
    transfer, methods = config["transfer"], config["tuning"]["methods"]
    unknown = set(transfer["methods"] or ()) - set(methods) - {"untuned"}
    if unknown:
        yield (
            f"transfer.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(methods)}."
        )
    if transfer["subjects"] and "untuned" not in methods:
        yield (
            "transfer.subjects: found true without `untuned` in tuning.methods, expected it: "
            "transfer is judged against the untuned network. Add it."
        )
    first = config["encoding"]["protocols"][0]
    if (transfer["subjects"] or transfer["datasets"]) and first not in ("heldout_cv", "published"):
        yield (
            f"encoding.protocols: found {first} first with transfer, expected heldout_cv or "
            "published first: targets are scored by it, on their test images alone. Reorder them."
        )
    for index, pair in enumerate(transfer["datasets"]):
        where = f"transfer.datasets.{index}"
        if pair["source"] != config["tuning"]["dataset"]:
            yield (
                f"{where}.source: found {pair['source']!r}, expected the data set that networks "
                f"are tuned on, {config['tuning']['dataset']!r} (tuning.dataset)."
            )
        others = [name for name in config["datasets"] if name != pair["source"]]
        if pair["target"] not in others:
            known = ", ".join(others) or "another data set, of which there is none"
            yield f"{where}.target: found {pair['target']!r}, expected one of {known}."


def _probe_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name, probe in config["probes"].items():
        kind, own = probe["kind"], ("n_images", "n_classes")
        needed, foreign = (own, ("root",)) if kind == "scenes" else (("root",), own)
        for key in needed:
            if probe[key] is None:
                yield f"probes.{name}.{key}: found nothing, expected it with kind: {kind}. Set it."
        for key in foreign:
            if probe[key] is not None:
                other = "another kind" if kind == "scenes" else "kind: scenes"
                yield f"probes.{name}.{key}: found under kind: {kind}, expected under {other}."
    saliency, known = config["saliency"], list(config["probes"])
    unknown = set((saliency or {}).get("methods") or ()) - set(config["tuning"]["methods"])
    if unknown:
        yield (
            f"saliency.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(config['tuning']['methods'])}."
        )
    if saliency and saliency["probe"] is not None and saliency["probe"] not in known:
        close = difflib.get_close_matches(saliency["probe"], known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        expected = f"one of {', '.join(known)}" if known else "a probe, of which there is none"
        yield f"saliency.probe: found {saliency['probe']!r}, expected {expected}.{hint}"


def _size_curve_problems(config: Mapping[str, Any]) -> Iterator[str]:
    curve, folds = config["encoding"]["size_curve"], config["encoding"]["folds"]
    least = 3 * folds
    if curve["sizes"] and min(curve["sizes"]) < least:
        yield (
            f"encoding.size_curve.sizes: found {min(curve['sizes'])}, expected at least {least}: "
            f"penalties are chosen in {folds} folds (encoding.folds)."
        )
    unknown = set(curve["methods"] or ()) - set(config["tuning"]["methods"])
    if unknown:
        yield (
            f"encoding.size_curve.methods: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(config['tuning']['methods'])}."
        )
