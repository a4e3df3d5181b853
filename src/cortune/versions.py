"""Versions of artifacts: a folder name that says what made the files in it.

Every artifact of a stage lies under ``results/<stage>/<version>/``. A version is
``<n>-<8 hex>``: ``n`` is the stage's algorithm number, raised in :data:`STAGES` whenever
the stage's output would change for the same configuration; the hex is a SHA-256 over
canonical JSON of the stage, its number, exactly the configuration values it reads, and
the versions of the stages it consumes. A changed setting therefore makes new folders
for the stages it affects, leaves the old ones alone, and costs nothing to undo.

Which subjects and ROIs are wanted decides *which* files are made, not what is in them,
so only the tables and figures read those keys. ``device`` decides where a stage runs,
not what it computes; it is recorded in the provenance and not part of a version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import cortune
from cortune.tuning.methods import METHODS
from cortune.tuning.methods import UNTUNED as UNTUNED

REGRESSION = "regression"
POOLED = tuple(name for name, method in METHODS.items() if method.pools)
(LOSO,) = (name for name, method in METHODS.items() if method.pools == "others")


@dataclass(frozen=True)
class Stage:
    """One stage of the workflow, as far as its version is concerned.

    Parameters
    ----------
    number : int
        Algorithm number; raise it when the code gives other results for the same config.
    reads : tuple of str
        Dotted configuration keys; ``{dataset}`` and ``{probe}`` stand for the data set and
        the probe of the scope.
    consumes : tuple of str
        Stages read from. ``backbone``, ``network``, ``recipe``, ``transfer_targets`` and
        ``every_probe`` are resolved by the configuration and the method
        (:meth:`Versions.consumed`).
    every : bool
        Consume the stages for every configured method, not for one.
    """

    number: int
    reads: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    every: bool = False


TARGETS = "transfer_targets"
PROBES = "every_probe"
_NETWORKS = ("prepare_backbone", "pretrain_backbone", "tune_network", "tune_pooled")
_SOURCE = tuple(
    f"datasets.{{dataset}}.{key}"
    for key in ("layout", "root", "stim_info", "space", "repeats", "sessions", "coco_of")
)
_PROBE = tuple(
    f"probes.{{probe}}.{key}"
    for key in ("kind", "root", "split", "images_per_class", "n_images", "n_classes")
)
_UNITS = (
    "tuning.dataset",
    "tuning.methods",
    "tuning.min_voxels",
    "datasets.{dataset}.subjects",
    "datasets.{dataset}.rois",
)

# What an encoding model is.
_MODELS = (
    "seed",
    "encoding.n_components",
    "encoding.alphas",
    "encoding.folds",
    "statistics.n_bootstrap",
)

STAGES: dict[str, Stage] = {
    "simulate_dataset": Stage(
        2, ("seed", "datasets.{dataset}.layout", "datasets.{dataset}.simulate")
    ),
    "prepare_images": Stage(1, (*_SOURCE, "backbone.input_size"), ("simulate_dataset",)),
    "prepare_responses": Stage(
        1, (*_SOURCE, "datasets.{dataset}.top_vertices"), ("simulate_dataset",)
    ),
    "split_images": Stage(1, ("seed", "split"), ("prepare_images",)),
    "prepare_backbone": Stage(1, ("seed", "backbone.name", "backbone.weights")),
    "pretrain_backbone": Stage(
        2, ("seed", "backbone.name", "backbone.input_size", "backbone.pretrain", "tuning.precision")
    ),
    "tune_network": Stage(
        2,
        ("seed", "tuning.precision"),
        ("prepare_images", "prepare_responses", "split_images", "backbone", "recipe"),
    ),
    "tune_pooled": Stage(
        2,
        ("seed", "tuning.precision", "tuning.min_voxels", "datasets.{dataset}.subjects"),
        ("prepare_images", "prepare_responses", "split_images", "backbone", "recipe"),
    ),
    "extract_features": Stage(
        2,
        ("seed", "backbone.layers", "features.images", "encoding.size_curve.sizes"),
        ("prepare_images", "split_images", "network"),
    ),
    "encode_roi": Stage(
        1,
        (
            *_MODELS,
            "encoding.protocols",
            "encoding.all_layers",
        ),
        ("extract_features", "prepare_responses"),
    ),
    "transfer_subject": Stage(
        2,
        (
            *_MODELS,
            "backbone.layers",
            "encoding.protocols",
            "datasets.{dataset}.subjects",
        ),
        ("prepare_images", "prepare_responses", "split_images", "network"),
    ),
    "transfer_dataset": Stage(
        2,
        (
            *_MODELS,
            "backbone.layers",
            "encoding.protocols",
            "datasets.{dataset}.subjects",
            "transfer.datasets",
        ),
        ("prepare_images", "prepare_responses", "split_images", "network"),
    ),
    "fit_size_curve": Stage(
        1,
        (
            *_MODELS,
            "encoding.size_curve.sizes",
        ),
        ("extract_features", "prepare_responses"),
    ),
    "tabulate_encoding": Stage(
        1, (*_UNITS, "encoding.min_noise_ceiling"), ("encode_roi",), every=True
    ),
    "tabulate_comparison": Stage(1, ("seed", "statistics"), ("tabulate_encoding",)),
    "tabulate_published": Stage(1, (), ("tabulate_encoding",)),
    "tabulate_size_curve": Stage(
        1, (*_UNITS, "encoding.size_curve"), ("fit_size_curve",), every=True
    ),
    "bound_information": Stage(1, ("seed", *_UNITS), ("network",), every=True),
    "tabulate_transfer": Stage(
        1,
        (*_UNITS, "transfer"),
        ("encode_roi", "transfer_subject", "transfer_targets"),
        every=True,
    ),
    "prepare_probe": Stage(1, ("seed", "backbone.input_size", *_PROBE)),
    "probe_network": Stage(
        1,
        ("probes.{probe}.layer", "probes.{probe}.penalty", "probes.{probe}.max_iter"),
        ("prepare_probe", "network"),
    ),
    "map_saliency": Stage(
        1,
        (
            "seed",
            "saliency.probe",
            "saliency.layer",
            "saliency.attribution",
            "saliency.n_images",
        ),
        ("prepare_probe", "probe_network", "network"),
    ),
    "tabulate_probes": Stage(1, _UNITS, (PROBES,), every=True),
    "tabulate_lateralization": Stage(
        1,
        (
            *_UNITS,
            "seed",
            "statistics.n_bootstrap",
            "saliency.methods",
            "saliency.n_permutations",
        ),
        ("map_saliency",),
        every=True,
    ),
    "embed_networks": Stage(1, (*_UNITS, "seed", "landscape"), (PROBES,), every=True),
    "plot_encoding": Stage(1, (), ("tabulate_encoding", "tabulate_comparison")),
    "plot_cortex": Stage(
        1, ("cortex.surface", *_UNITS), ("tabulate_encoding", "prepare_responses")
    ),
    "plot_published": Stage(1, (), ("tabulate_published", "tabulate_encoding")),
    "plot_size_curve": Stage(1, (), ("tabulate_size_curve",)),
    "plot_information": Stage(1, (), ("bound_information",)),
    "plot_transfer": Stage(1, (), ("tabulate_transfer", "tabulate_encoding")),
    "plot_tuning": Stage(1, _UNITS, ("network",), every=True),
    "plot_probes": Stage(1, (), ("tabulate_probes",)),
    "plot_forgetting": Stage(1, (), ("tabulate_probes", "tabulate_encoding")),
    "plot_landscape": Stage(1, (), ("embed_networks",)),
    "plot_saliency": Stage(
        1, (*_UNITS, "saliency.methods"), ("tabulate_lateralization", "prepare_probe")
    ),
}

PROBE_STAGES = ("prepare_probe", "probe_network")
"""Stages that have a version for each probe; the others have one for all."""

# The configuration section that holds each tuning method's recipe.
RECIPES: dict[str, tuple[str, ...]] = {
    name: (method.section,) if method.section else () for name, method in METHODS.items()
}


@dataclass(frozen=True)
class Provenance:
    """What made an artifact: embedded in every file Cortune writes.

    Parameters
    ----------
    stage, version : str
    seed : int
    config : mapping
        The configuration values the stage reads, by dotted key.
    inputs : mapping
        Versions of the stages consumed.
    raw : mapping
        SHA-256 of the raw input files, by name.
    notes : mapping
        What else decides the bytes, such as the device.
    """

    stage: str
    version: str
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers, with the version of Cortune."""
        return {
            "stage": self.stage,
            "version": self.version,
            "cortune": cortune.__version__,
            "seed": self.seed,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "raw": dict(self.raw),
            "notes": dict(self.notes),
        }

    def to_json(self) -> str:
        """Return canonical JSON."""
        return canonical_json(self.as_dict())


def canonical_json(value: Any) -> str:
    """Serialise to JSON in one way only: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def look_up(config: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key, or None where the configuration has none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


class Versions:
    """Versions of every stage under one configuration.

    Parameters
    ----------
    config : mapping
        The validated configuration, defaults filled in
        (:meth:`cortune.config.Config.as_dict`).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self._known: dict[tuple[str, str, str | None, str], str] = {}

    @cached_property
    def _methods(self) -> tuple[str, ...]:
        return tuple(look_up(self.config, "tuning.methods"))

    @property
    def probes(self) -> list[str]:
        """Names of the probes, in an order that the configuration's does not decide."""
        return sorted(look_up(self.config, "probes") or {})

    def of(
        self,
        stage: str,
        dataset: str | None = None,
        method: str | None = None,
        probe: str | None = None,
    ) -> str:
        """Return the version of a stage, such as ``1-0a1b2c3d``.

        Parameters
        ----------
        stage : str
            A key of :data:`STAGES`.
        dataset : str, optional
            Default: the data set the networks are tuned on.
        method : str, optional
            Tuning method, where the stage depends on it.
        probe : str, optional
            Default: the probe of saliency.
        """
        dataset, probe = self._resolved(dataset, probe)
        key = (stage, dataset, method, probe)
        if key not in self._known:
            content = {
                "stage": stage,
                "number": STAGES[stage].number,
                "dataset": dataset if self._has_dataset(stage) else None,
                "config": self.reads(stage, dataset, method, probe),
                "inputs": self.inputs(stage, dataset, method, probe),
            }
            digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
            self._known[key] = f"{STAGES[stage].number}-{digest[:8]}"
        return self._known[key]

    def _resolved(self, dataset: str | None, probe: str | None) -> tuple[str, str]:
        """Return the data set and probe of a scope, defaults filled in."""
        dataset = dataset or str(look_up(self.config, "tuning.dataset"))
        return dataset, probe or str(look_up(self.config, "saliency.probe") or "")

    def reads(
        self, stage: str, dataset: str, method: str | None = None, probe: str | None = None
    ) -> dict[str, Any]:
        """Return the configuration values that a stage reads, by dotted key."""
        dataset, probe = self._resolved(dataset, probe)
        keys = [key.format(dataset=dataset, probe=probe) for key in STAGES[stage].reads]
        if "recipe" in STAGES[stage].consumes and method is not None:
            keys += RECIPES[method]
        return {key: look_up(self.config, key) for key in keys}

    def inputs(
        self, stage: str, dataset: str, method: str | None = None, probe: str | None = None
    ) -> dict[str, str]:
        """Return the versions of the stages that a stage consumes."""
        if not STAGES[stage].every:
            return {
                name: self.of(name, self._scope(name, dataset), method, probe)
                for name in self.consumed(stage, dataset, method)
            }
        found = {}
        for each in self._methods:
            for name in self.consumed(stage, dataset, each):
                if name == TARGETS:
                    for target in self.transfer_targets():
                        found[f"transfer_dataset/{target}/{each}"] = self.of(
                            "transfer_dataset", target, each
                        )
                elif name == PROBES:
                    for one in self.probes:
                        found[f"probe_network/{one}/{each}"] = self.of(
                            "probe_network", dataset, each, one
                        )
                else:
                    found[f"{name}/{each}"] = self.of(name, dataset, each)
        return found

    def scopes(self) -> Iterator[tuple[str, str, str, str | None]]:
        """Yield every stage, data set, method and, where it has one, probe."""
        for stage in STAGES:
            for dataset in look_up(self.config, "datasets"):
                for method in self._methods:
                    for probe in self.probes if stage in PROBE_STAGES else [None]:
                        yield stage, dataset, method, probe

    def transfer_targets(self) -> list[str]:
        """Return the data sets that networks are transferred to."""
        pairs = look_up(self.config, "transfer.datasets") or []
        return list(dict.fromkeys(pair["target"] for pair in pairs))

    def _scope(self, stage: str, dataset: str) -> str:
        """Return the data set of an input: networks are tuned on one data set only."""
        return str(look_up(self.config, "tuning.dataset")) if stage in _NETWORKS else dataset

    def consumed(self, stage: str, dataset: str, method: str | None = None) -> list[str]:
        """Return the names of the stages that a stage consumes under this configuration."""
        names = []
        for name in STAGES[stage].consumes:
            if name == "network":
                name = self.network_stage(method)
            elif name == "backbone":
                name = self.backbone_stage()
            elif name == "recipe":
                continue
            elif name == "simulate_dataset" and not self.is_simulated(dataset):
                continue
            names.append(name)
        return names

    def backbone_stage(self) -> str:
        """Return the stage that makes the backbone's weights."""
        pretrained = look_up(self.config, "backbone.weights") == "pretrain"
        return "pretrain_backbone" if pretrained else "prepare_backbone"

    def network_stage(self, method: str | None) -> str:
        """Return the stage that makes the network of a tuning method."""
        if method in (None, UNTUNED):
            return self.backbone_stage()
        return "tune_pooled" if method in POOLED else "tune_network"

    def is_simulated(self, dataset: str) -> bool:
        """Return whether the simulator writes this data set."""
        return look_up(self.config, f"datasets.{dataset}.simulate") is not None

    def _has_dataset(self, stage: str) -> bool:
        return stage not in ("prepare_backbone", "pretrain_backbone", "prepare_probe")

    def provenance(
        self,
        stage: str,
        dataset: str | None = None,
        method: str | None = None,
        probe: str | None = None,
        *,
        raw: Mapping[str, str] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Provenance:
        """Return the provenance that artifacts of a stage embed."""
        dataset, probe = self._resolved(dataset, probe)
        return Provenance(
            stage=stage,
            version=self.of(stage, dataset, method, probe),
            seed=int(look_up(self.config, "seed") or 0),
            config=self.reads(stage, dataset, method, probe),
            inputs=self.inputs(stage, dataset, method, probe),
            raw=raw or {},
            notes=notes or {},
        )


def entity_path(
    *,
    subject: str | None = None,
    hemisphere: str | None = None,
    roi: str | None = None,
    method: str | None = None,
) -> PurePosixPath:
    """Return ``sub-…/hemi-…/roi-…/method-…`` for the entities given, in that order."""
    entities = {"sub": subject, "hemi": hemisphere, "roi": roi, "method": method}
    return PurePosixPath(*(f"{key}-{value}" for key, value in entities.items() if value))
