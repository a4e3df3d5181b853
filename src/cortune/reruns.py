"""Which rules a changed key of the configuration runs again.

The answer is in the versions: a rule runs again where its version changes, and only there.
``python -m cortune.reruns`` prints docs/reruns.md, a row for every key of the schema; a test
compares rows with the jobs that Snakemake plans.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from cortune.config import Config, schema
from cortune.tuning.methods import UNTUNED
from cortune.versions import STAGES, Versions, look_up

NAME = "<name>"
_SIMULATED = {"n_images": 200, "image_size": 64}
# Every stage has a job under it; together with the variants below, every key an effect.
EXAMPLE: dict[str, Any] = {
    "datasets": {
        "nsd": {
            "layout": "algonauts2023",
            "subjects": ["subj01", "subj02"],
            "rois": ["V1v"],
            "simulate": {**_SIMULATED, "n_shared": 50, "vertices": {"V1v": 40}},
        },
        "nod": {
            "layout": "nod",
            "subjects": ["sub01"],
            "rois": ["V1"],
            "simulate": dict(_SIMULATED),
        },
    },
    "backbone": {"weights": "pretrain"},
    "tuning": {
        "dataset": "nsd",
        "methods": [UNTUNED, "regression", "contrastive", "contrastive_plus", "pooled_mean"],
    },
    "encoding": {"protocols": ["heldout_cv", "all_layers"], "size_curve": {"sizes": [50]}},
    "transfer": {
        "subjects": True,
        "datasets": [{"source": "nsd", "target": "nod", "rois": {"V1": ["V1v"]}}],
    },
    "probes": {"scenes": {"kind": "scenes", "n_images": 100, "n_classes": 5}},
    "landscape": {},
    "saliency": {"probe": "scenes"},
}
_RAW = {"layout": "nsd", "root": "/data/nsd", "subjects": ["subj01"], "rois": ["V1v"]}
_PICTURES = {"kind": "image_folder", "root": "/data/pictures"}
# Parts of the example that other keys need, by the keys.
_VARIANTS: dict[tuple[str, ...], dict[str, Any]] = {
    ("datasets.<name>.space", "datasets.<name>.repeats", "datasets.<name>.root"): {
        "datasets": {"nsd": _RAW, "nod": EXAMPLE["datasets"]["nod"]}
    },
    ("probes.<name>.root", "probes.<name>.split", "probes.<name>.images_per_class"): {
        "probes": {"scenes": _PICTURES}
    },
}
# Another valid value of keys where it cannot be told from the schema.
_OTHER: dict[str, Any] = {
    "device": "cpu",
    "datasets.<name>.layout": "nsd",
    "datasets.<name>.root": "/data/elsewhere",
    "datasets.<name>.stim_info": "/data/nsd_stim_info_merged.csv",
    "datasets.<name>.subjects": ["subj01", "subj03"],
    "datasets.<name>.rois": ["V1v", "V1d"],
    "datasets.<name>.sessions": ["imagenet01"],
    "datasets.<name>.coco_of": "/data/coco_of.csv",
    "datasets.<name>.simulate.masks": "/data/subj01",
    "datasets.<name>.simulate.images": "/data/photographs",
    "datasets.<name>.simulate.vertices": {"V1v": 50},
    "split.tune": {"tune": 0.7, "validation": 0.15, "test": 0.15},
    "split.validation": {"tune": 0.75, "validation": 0.05, "test": 0.2},
    "split.test": {"tune": 0.65, "validation": 0.1, "test": 0.25},
    "backbone.name": "vgg11",
    "backbone.weights": "random",
    "backbone.layers": ["features.2"],
    "tuning.dataset": None,  # nothing else can be tuned on here
    "tuning.methods": [UNTUNED, "contrastive"],
    "contrastive_plus.image_layer": "features.12",
    "encoding.protocols": ["published"],
    "encoding.size_curve.sizes": [60],
    "encoding.size_curve.rois": ["V1v"],
    "encoding.size_curve.methods": [UNTUNED],
    "transfer.subjects": False,
    "transfer.methods": ["contrastive"],
    "transfer.rois": ["V1v"],
    "transfer.datasets.<n>.source": None,
    "transfer.datasets.<n>.target": None,
    "transfer.datasets.<n>.rois": {"V1": ["V1v"], "V2": ["V1v"]},
    "probes.<name>.kind": {"kind": "imagenet", "root": "/data/imagenet"},
    "probes.<name>.root": "/data/elsewhere",
    "probes.<name>.images_per_class": 10,
    "probes.<name>.layer": "classifier.2",
    "saliency.layer": "features.9",
    "backbone.input_size": 128,
    "landscape.methods": ["inpca"],
    "saliency.probe": None,
    "saliency.methods": ["contrastive"],
    "cortex.surface": "fsaverage5",
}
# The subjects and ROIs of the data set that networks are transferred to belong to it alone.
_OF_TARGET = ("coco_of", "sessions", "top_vertices", "n_coco", "run_trials", "session_runs")
# Stages that not every method has a job of, and the keys that list the methods.
_METHODS_OF = {
    "fit_size_curve": "encoding.size_curve.methods",
    "transfer_subject": "transfer.methods",
}
STRUCTURAL = ("datasets.<name>.subjects", "datasets.<name>.rois", "tuning.methods")
"""Keys that add files: those of the new subject, ROI or method, beside what is listed."""


def keys(rule: Mapping[str, Any] | None = None, prefix: str = "") -> Iterator[str]:
    """Yield every key of the schema that holds a value, such as ``probes.<name>.layer``."""
    for name, item in (rule or schema()).get("properties", {}).items():
        key, inner = f"{prefix}{name}", item
        if isinstance(item.get("additionalProperties"), dict) and name != "vertices":
            key, inner = f"{key}.{NAME}", item["additionalProperties"]
        elif isinstance(item.get("items"), dict) and "properties" in item["items"]:
            key, inner = f"{key}.<n>", item["items"]
        if "properties" in inner and key != f"transfer.datasets.<n>.rois.{NAME}":
            yield from keys(inner, f"{key}.")
        else:
            yield key.removesuffix(f".{NAME}")


def changed(
    key: str, example: Mapping[str, Any] = EXAMPLE
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return an example with and without a change of a key; None if it cannot be changed."""
    before = copy.deepcopy(dict(example))
    for needing, variant in _VARIANTS.items():
        if key in needing and example is EXAMPLE:
            before |= copy.deepcopy(variant)
    if key in _OTHER and _OTHER[key] is None:
        return None
    filled = Config.from_mapping(before).as_dict()
    dataset = "nod" if key.split(".")[-1] in _OF_TARGET or "smoothing" in key else "nsd"
    parts = [
        {"datasets": dataset, "probes": "scenes"}.get(key.split(".")[0], part)
        if part == NAME
        else part
        for part in key.split(".")
    ]
    after = copy.deepcopy(before)
    *inside, last = parts
    section: Any = after
    for part in inside:
        section = section[0] if part == "<n>" else section.setdefault(part, {})
    now: Any = filled
    for part in parts:
        now = now[0] if part == "<n>" else now[part]
    other = _OTHER[key] if key in _OTHER else _another(now, _rule_of(key))
    if isinstance(other, dict) and last in other:
        section.update(other)
        if key == "probes.<name>.kind":
            section.update(n_images=None, n_classes=None)
    else:
        section[last] = other
    if key == "datasets.<name>.root":
        section.pop("simulate", None)
    return before, after


def rules_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the stages whose version a changed configuration changes."""
    old, new = (_used(Versions(Config.from_mapping(each).as_dict())) for each in (before, after))
    return {
        stage
        for (stage, *scope), version in new.items()
        if version not in {v for (s, *_), v in old.items() if s == stage}
    }


def _used(versions: Versions) -> dict[tuple[str, ...], str]:
    """Return the versions of the stages that have a job for a data set and method."""
    tuned_on = versions.config["tuning"]["dataset"]
    found: dict[tuple[str, ...], str] = {}
    for stage, dataset, method, probe in versions.scopes():
        raw = stage.startswith(("simulate", "prepare_images", "prepare_responses", "split"))
        if stage == "transfer_dataset":
            wanted = dataset in versions.transfer_targets()
        else:
            wanted = raw or dataset == tuned_on
        if stage in ("tune_network", "tune_pooled", "pretrain_backbone", "prepare_backbone"):
            wanted = wanted and versions.network_stage(method) == stage
        if stage == "simulate_dataset":
            wanted = versions.is_simulated(dataset)
        if key := _METHODS_OF.get(stage):
            methods = look_up(versions.config, key)
            wanted = wanted and (not methods or method in methods)
        if wanted:
            scope = (stage, dataset, method, probe or "")
            found[scope] = versions.of(stage, dataset, method, probe)
    return found


def _rule_of(key: str) -> Mapping[str, Any]:
    """Return what the schema says of a key."""
    rule: Any = schema()
    for part in key.split("."):
        if part == NAME:
            rule = rule["additionalProperties"]
        elif part == "<n>":
            rule = rule["items"]
        else:
            rule = rule["properties"][part]
    return dict(rule)


def _another(value: Any, rule: Mapping[str, Any]) -> Any:
    """Return another value of a key's kind."""
    if "enum" in rule:
        return next(option for option in rule["enum"] if option != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.1
    if value is None:
        return 7
    raise KeyError(f"no other value of {value!r} is known")


def document() -> str:
    """Return docs/reruns.md."""
    lines = [
        "# What a changed setting runs again",
        "",
        "Generated by `python -m cortune.reruns` from the versions of the rules (tests compare it",
        "with the jobs that Snakemake plans). A rule runs again under a new version, in folders of",
        "its own; the old files stay, and changing the key back costs nothing. `publish_results`",
        "runs after every change, to copy tables and figures to `results/latest`.",
        "",
        "| keys | rules that run again |",
        "| --- | --- |",
    ]
    rows: dict[str, list[str]] = {}
    for key in keys():
        rows.setdefault(_said(key), []).append(f"`{key}`")
    lines += [f"| {', '.join(names)} | {said} |" for said, names in rows.items()]
    return "\n".join([*lines, ""])


def _said(key: str) -> str:
    """Return what a key runs again, in words."""
    pair = changed(key)
    if pair is None:
        return "as another configuration: everything that depends on the choice"
    rules = rules_of(*pair)
    said = ", ".join(f"`{stage}`" for stage in STAGES if stage in rules) or "nothing"
    return f"jobs of what is new, and {said}" if key in STRUCTURAL else said


if __name__ == "__main__":
    print(document(), end="")
