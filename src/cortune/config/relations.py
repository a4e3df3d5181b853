"""Relations between keys of the configuration, which no section can see by itself."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cortune.tuning.methods import METHODS, UNTUNED

if TYPE_CHECKING:
    from cortune.config.config import Config
    from cortune.config.sections import Dataset


def relation_problems(config: Config) -> Iterator[str]:
    """Yield what is wrong between keys: the dotted key, what was found and expected."""
    yield from _split_problems(config)
    if config.tuning.dataset not in config.datasets:
        yield (
            f"tuning.dataset: found {config.tuning.dataset!r}, expected one of "
            f"{', '.join(config.datasets)}."
        )
    for name, dataset in config.datasets.items():
        yield from _dataset_problems(f"datasets.{name}", dataset)
    yield from _size_curve_problems(config)
    yield from _transfer_problems(config)
    yield from _probe_problems(config)
    if config.export is not None:
        yield from _untuned_problems("export.methods", config.export.methods, config)
    if config.similarity is not None:
        where, wanted = "similarity.methods", config.similarity.methods
        yield from _untuned_problems(where, wanted, config)
        layers = config.backbone.layers
        for layer in config.similarity.layers or ():
            if isinstance(layers, list) and layer not in layers:
                expected = f"some of backbone.layers: {', '.join(layers)}"
                yield f"similarity.layers: found {layer!r}, expected {expected}."
    if "tune_test" in config.encoding.protocols and config.features.images != "all":
        yield (
            "encoding.protocols: found tune_test with features.images = test, expected all: it "
            "fits on the tuning images. Set features.images: all."
        )


def _split_problems(config: Config) -> Iterator[str]:
    split, methods = config.split, config.tuning.methods
    total = math.fsum((split.tune, split.validation, split.fit, split.test))
    if abs(total - 1) > 1e-6:
        yield f"split: found shares that sum to {total:g}, expected 1."
    if (split.by == "file") != (split.file is not None):
        yield (
            f"split.file: found {split.file!r} with split.by = {split.by}, expected a table with "
            "by = file and none otherwise. Set both or neither."
        )
    layout = getattr(config.datasets.get(config.tuning.dataset), "layout", "")
    if split.by.startswith("shared") and layout == "nod":
        yield (
            f"split.by: found {split.by} with {config.tuning.dataset} of layout {layout}, which "
            "shows none of these images, expected a data set of NSD. Set hash or file."
        )
    tuned = [method for method in methods if method != UNTUNED]
    if tuned and split.tune == 0:
        yield (
            "split.tune: found 0, expected images to tune on with tuning.methods = "
            f"{', '.join(methods)}. Raise it."
        )
    for section in dict.fromkeys(METHODS[method].section for method in tuned):
        recipe = getattr(config, section or "")
        own = getattr(recipe, "validation", 0)
        if getattr(recipe, "keep_best", False) and not (split.validation or own):
            yield (
                f"{section}.keep_best: found true without validation images, expected images to "
                f"choose the epoch by. Set it to false, or raise {section}.validation or "
                "split.validation."
            )
    uses = {
        "encoding.protocols: found tune_test": (
            "tune_test" in config.encoding.protocols, ("tune", "validation"),
        ),
        "encoding.protocols: found fit_test": ("fit_test" in config.encoding.protocols, ("fit",)),
    }  # fmt: skip
    for found, (used, needed) in uses.items():
        for name in needed:
            if used and split.by != "file" and getattr(split, name) == 0:
                yield f"{found} with split.{name} = 0, expected images of that set. Raise it."
    if config.encoding.size_curve.sizes and split.by != "file" and not (split.tune or split.fit):
        yield (
            "encoding.size_curve.sizes: found with split.tune and split.fit = 0, expected images "
            "to fit on. Raise split.fit."
        )


def _dataset_problems(where: str, dataset: Dataset) -> Iterator[str]:
    if (dataset.root is None) == (dataset.simulate is None):
        what = "neither" if dataset.root is None else "both"
        yield (
            f"{where}: found {what} of `root` and `simulate`, expected one of them. "
            "Give `root` for data on disk, or `simulate` to have it simulated."
        )
    if dataset.simulate is not None and dataset.subjects == "all":
        yield (
            f"{where}.subjects: found 'all', expected a list: the simulator needs "
            "names, such as [subj01, subj02]."
        )
    for key, layouts in dataset.foreign():
        under = " and ".join(layouts)
        yield f"{where}.{key}: found under {dataset.layout}, expected under {under}. Remove it."


def _untuned_problems(where: str, given: Sequence[str] | None, config: Config) -> Iterator[str]:
    """Yield a method that is listed at a key and not tuned."""
    methods = config.tuning.methods
    if unknown := set(given or ()) - set(methods):
        yield (
            f"{where}: found {min(unknown)}, expected some of tuning.methods = "
            f"{', '.join(methods)}."
        )


def _transfer_problems(config: Config) -> Iterator[str]:
    transfer = config.transfer
    tuned = [method for method in transfer.methods or () if method != UNTUNED]
    yield from _untuned_problems("transfer.methods", tuned, config)
    if transfer.subjects and UNTUNED not in config.tuning.methods:
        yield (
            "transfer.subjects: found true without `untuned` in tuning.methods, expected it: "
            "transfer is judged against the untuned network. Add it."
        )
    first = config.encoding.protocols[0]
    if (transfer.subjects or transfer.datasets) and first not in ("heldout_cv", "published"):
        yield (
            f"encoding.protocols: found {first} first with transfer, expected heldout_cv or "
            "published first: targets are scored by it, on their test images alone. Reorder them."
        )
    for index, pair in enumerate(transfer.datasets):
        where = f"transfer.datasets.{index}"
        if pair.source != config.tuning.dataset:
            yield (
                f"{where}.source: found {pair.source!r}, expected the data set that networks "
                f"are tuned on, {config.tuning.dataset!r} (tuning.dataset)."
            )
        others = [name for name in config.datasets if name != pair.source]
        if pair.target not in others:
            known = ", ".join(others) or "another data set, of which there is none"
            yield f"{where}.target: found {pair.target!r}, expected one of {known}."


def _probe_problems(config: Config) -> Iterator[str]:
    for name, probe in config.probes.items():
        kind, own = probe.kind, ("n_images", "n_classes")
        needed, foreign = (own, ("root",)) if kind == "scenes" else (("root",), own)
        for key in needed:
            if getattr(probe, key) is None:
                yield f"probes.{name}.{key}: found nothing, expected it with kind: {kind}. Set it."
        for key in foreign:
            if getattr(probe, key) is not None:
                other = "another kind" if kind == "scenes" else "kind: scenes"
                yield f"probes.{name}.{key}: found under kind: {kind}, expected under {other}."
    saliency, known = config.saliency, list(config.probes)
    if saliency is None:
        return
    yield from _untuned_problems("saliency.methods", saliency.methods, config)
    if saliency.probe is not None and saliency.probe not in known:
        close = difflib.get_close_matches(saliency.probe, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        expected = f"one of {', '.join(known)}" if known else "a probe, of which there is none"
        yield f"saliency.probe: found {saliency.probe!r}, expected {expected}.{hint}"


def _size_curve_problems(config: Config) -> Iterator[str]:
    curve, folds = config.encoding.size_curve, config.encoding.folds
    least = 3 * folds
    if curve.sizes and min(curve.sizes) < least:
        yield (
            f"encoding.size_curve.sizes: found {min(curve.sizes)}, expected at least {least}: "
            f"penalties are chosen in {folds} folds (encoding.folds)."
        )
    yield from _untuned_problems("encoding.size_curve.methods", curve.methods, config)
