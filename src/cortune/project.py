"""A project: which units a configuration asks for, and where every artifact lies.

The workflow's rules and the command line ask this module, so that addresses, versions and
paths are decided in one place. What it has to look up in raw data it looks up once, and
can be handed to the processes of jobs (:attr:`Project.seen`).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

from cortune.address import ALL, WITHOUT, Address
from cortune.config import Config
from cortune.data.problems import nearest, some
from cortune.data.readers import Reader
from cortune.data.rois import GROUPS, HEMISPHERES, WHOLE, select_rois
from cortune.errors import InputError
from cortune.fingerprints import Fingerprints
from cortune.networks.families import Preprocessing
from cortune.settings import settings_of, values_of
from cortune.stages import BACKBONE, NETWORK, RESPONSES, STAGES, From, Output, Stage
from cortune.stages.prepare import open_reader
from cortune.tuning.methods import LOSO, METHODS, OF_SEVERAL, POOLED, UNTUNED, joined
from cortune.tuning.methods.contrastive import contrastive_bytes
from cortune.versions import version_of


@dataclass(frozen=True)
class Unit:
    """One subject, hemisphere and ROI, with its number of voxels."""

    subject: str
    hemisphere: str
    roi: str
    n_voxels: int


@dataclass(frozen=True)
class Skipped:
    """A unit that is not analysed, and why."""

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    reason: str


class Project:
    """The units, addresses, versions and paths of one configuration.

    Parameters
    ----------
    config : Config
    results : str
        Folder of the results, relative to the working directory.
    seen : dict, optional
        What another process looked up in the raw data.
    """

    def __init__(
        self, config: Config, results: str = "results", seen: dict[str, Any] | None = None
    ) -> None:
        self.config = config
        self.results = results
        self.seen: dict[str, Any] = {} if seen is None else seen
        self._plain = config.as_dict()
        self._versions: dict[tuple[str, Address], str] = {}
        self._paths: dict[tuple[str, Address, str], str] = {}
        self._readers: dict[str, Reader] = {}

    # What lies in the raw data.

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """Fingerprints of raw files, of which those seen before are kept."""
        return Fingerprints(Path(self.results) / ".fingerprints.json")

    def look(self, key: str, find: Callable[[], Any]) -> Any:
        """Return what was seen of the raw data under a key, or look now."""
        if key not in self.seen:
            self.seen[key] = find()
        return self.seen[key]

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How images are shown to the backbone: as its makers do, at the size configured."""

        def find() -> dict[str, Any]:
            from cortune.networks.backbones import preprocessing

            makers = preprocessing(self.config.backbone.name, self.config.backbone.weights)
            # As the plan's file gives it back.
            return dict(json.loads(json.dumps(asdict(makers))))

        makers = Preprocessing.of(self.look("preprocessing", find))
        return makers.at(self.config.backbone.input_size or makers.input_size)

    def framing(self, *, crop: bool) -> dict[str, Any]:
        """Return how pictures become the squares that the backbone sees."""
        shown = self.preprocessing
        cropped = {"resize": shown.resize_size, "squash": shown.squash} if crop else {}
        return {"size": shown.input_size, "interpolation": shown.interpolation, **cropped}

    @property
    def dataset(self) -> str:
        """Name of the data set that networks are tuned on."""
        return self.config.tuning.dataset

    def is_simulated(self, dataset: str) -> bool:
        """Return whether the simulator writes this data set."""
        return self.config.datasets[dataset].simulate is not None

    def reader(self, dataset: str) -> Reader:
        """Return the reader of a data set on disk, or of where the simulator writes it."""
        if dataset not in self._readers:
            record = ""
            if self.is_simulated(dataset):
                record = self.path("simulate_dataset", "record", Address(dataset=dataset))
            self._readers[dataset] = open_reader(self.config, dataset, record)
        return self._readers[dataset]

    def simulation(self, dataset: str) -> Any:
        """Return the simulator's specification of a data set, or None for real data."""
        from cortune.stages.simulate import specification

        return specification(self.config, dataset) if self.is_simulated(dataset) else None

    def subjects(self, dataset: str) -> list[str]:
        """Return the subjects to analyse."""
        wanted = self.config.datasets[dataset].subjects
        if wanted == "all":
            find: Callable[[], list[str]] = self.reader(dataset).usable
        elif self.is_simulated(dataset):
            return list(wanted)
        else:  # Without its folder no data set is found, rather than the first of its files.
            find = partial(self.reader(dataset).require, wanted)
        found: list[str] = self.look(f"subjects {dataset}", find)
        return found

    def roi_sizes(self, dataset: str, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of every ROI, before any job has run."""

        def find() -> dict[str, int]:
            from cortune.stages.simulate import simulated_roi_sizes

            if self.is_simulated(dataset):
                return simulated_roi_sizes(self.config, dataset, subject, hemisphere)
            return self.reader(dataset).roi_sizes(subject, hemisphere)

        found: dict[str, int] = self.look(f"rois {dataset} {subject} {hemisphere}", find)
        if WHOLE in self.config.datasets[dataset].rois:
            n = self.look(
                f"whole {dataset} {subject} {hemisphere}",
                partial(self._n_vertices, dataset, subject, hemisphere),
            )
            return {**found, WHOLE: n}
        return found

    def _n_vertices(self, dataset: str, subject: str, hemisphere: str) -> int:
        """Return the number of vertices that have responses."""
        if not self.is_simulated(dataset):
            return self.reader(dataset).n_vertices(subject, hemisphere)
        from cortune.simulate import SIMULATORS

        writer = SIMULATORS[self.config.datasets[dataset].layout]
        return writer.n_vertices(self.simulation(dataset), subject, hemisphere)

    # Units.

    @cached_property
    def units(self) -> list[Unit]:
        """Units of the tuning data set that are large enough to analyse.

        Raises
        ------
        InputError
            If none is.
        """
        units = [unit for unit, reason in self._all_units if reason is None]
        if not units:
            reasons = list(dict.fromkeys(f"{s.roi}: {s.reason}" for s in self.skipped))
            raise InputError(
                f"datasets.{self.dataset}.rois",
                "no ROI with enough voxels in any subject and hemisphere "
                f"({some(reasons) or 'none is asked for'})",
                f"at least one with {self.config.tuning.min_voxels} (tuning.min_voxels)",
                "Choose other ROIs or lower tuning.min_voxels.",
            )
        return units

    @cached_property
    def skipped(self) -> list[Skipped]:
        """Units that are not analysed, and why."""
        return [
            Skipped(self.dataset, unit.subject, unit.hemisphere, unit.roi, reason)
            for unit, reason in self._all_units
            if reason is not None
        ]

    @cached_property
    def _all_units(self) -> list[tuple[Unit, str | None]]:
        wanted = self.config.datasets[self.dataset].rois
        least = self.config.tuning.min_voxels
        found = []
        for subject in self.subjects(self.dataset):
            for hemisphere in HEMISPHERES:
                sizes = self.roi_sizes(self.dataset, subject, hemisphere)
                for roi in select_rois(wanted, sizes):
                    n_voxels = sizes.get(roi, 0)
                    reason = None
                    if roi not in sizes:
                        reason = "no mask of this subject names the ROI"
                    elif n_voxels == 0:
                        reason = "the ROI is empty"
                    elif n_voxels < least:
                        reason = f"{n_voxels} voxels, fewer than tuning.min_voxels = {least}"
                    found.append((Unit(subject, hemisphere, roi, n_voxels), reason))
        return found

    @cached_property
    def largest_roi(self) -> int:
        """Number of voxels of the largest ROI of the tuning data set, wanted or not."""
        sizes = (
            self.roi_sizes(self.dataset, subject, hemisphere)
            for subject in self.subjects(self.dataset)
            for hemisphere in HEMISPHERES
        )
        return max(size.get(roi, 0) for size in sizes for roi in GROUPS["all"])

    def having(self, address: Address) -> list[Address]:
        """Return the units of the tuning data set, of any subject, that an address names.

        ``all`` names every hemisphere, or every ROI but ``whole``, which no network of several
        ROIs is tuned to or tried on.
        """
        return [
            address.but(subject=unit.subject, hemisphere=unit.hemisphere, roi=unit.roi)
            for unit in self._having.get((address.hemisphere, address.roi), ())
        ]

    @cached_property
    def _having(self) -> dict[tuple[str, str], list[Unit]]:
        """Units by hemisphere and ROI, or all of them."""
        found: dict[tuple[str, str], list[Unit]] = {}
        for unit in (unit for unit in self.units if unit.roi != WHOLE):
            for key in product((unit.hemisphere, ALL), (unit.roi, ALL)):
                found.setdefault(key, []).append(unit)
        return found

    # Networks, and what is made of each.

    @property
    def tuned_methods(self) -> list[str]:
        """Methods that tune a network, in the order of the configuration."""
        return [method for method in self.config.tuning.methods if method != UNTUNED]

    @property
    def embedding_methods(self) -> list[str]:
        """Methods whose networks embed images and responses of the subjects tuned to."""
        return [m for m in self.tuned_methods if METHODS[m].embeds and METHODS[m].pools != "others"]

    @property
    def unbound_methods(self) -> list[str]:
        """Methods that embed, whose networks have no response map for whom they serve."""
        return [m for m in self.tuned_methods if METHODS[m].embeds and METHODS[m].pools == "others"]

    @property
    def shown_method(self) -> str:
        """The method of figures that show one: the paper's, or the first that tunes."""
        tuned = self.tuned_methods
        return "contrastive" if "contrastive" in tuned else (tuned or [UNTUNED])[0]

    def replicates(self, method: str) -> list[str]:
        """Return the names of a unit's networks under a method; the untuned one is no draw."""
        n = 1 if method == UNTUNED else self.config.tuning.replicates
        return [str(k) for k in range(n)]

    def addresses(self, methods: Iterable[str], rois: Iterable[str] | None = None) -> list[Address]:
        """Return the address of every unit, method and replicate, methods first."""
        wanted = None if rois is None else set(rois)
        return [
            Address(self.dataset, u.subject, u.hemisphere, u.roi, method, replicate)
            for method in methods
            for u in self.units
            if (wanted is None or u.roi in wanted) and not self._refused(method, u)
            for replicate in self.replicates(method)
        ]

    def _refused(self, method: str, unit: Unit) -> str | None:
        """Return why a method does without a unit: ``whole`` is no target of contrastive tuning."""
        how = METHODS[method]
        if unit.roi != WHOLE or method == UNTUNED or not (how.embeds or how.joins):
            return None
        if "roi" not in how.joins:
            gb = contrastive_bytes(unit.n_voxels) / 1e9
            return (
                f"{method} tunes a network to each ROI: to {unit.n_voxels} voxels it would take "
                f"{gb:.1f} GB for weights, gradients and moments of the published head alone; "
                "regression, joint and untuned serve"
            )
        place = Address(self.dataset, unit.subject, unit.hemisphere, ALL, method, "0")
        tuned_to = {each.subject for each in self.having(joined(place))}
        if not tuned_to or (not how.pools and unit.subject not in tuned_to):
            return f"{method} is tuned to the other ROIs, of which none is analysed"
        return None

    @cached_property
    def refused(self) -> list[dict[str, str]]:
        """Return the units that a method does without, and why."""
        return [
            {**vars(Skipped(self.dataset, u.subject, u.hemisphere, u.roi, why)), "method": method}
            for method in self.config.tuning.methods
            for u in self.units
            if (why := self._refused(method, u)) is not None
        ]

    def network(self, address: Address) -> Address:
        """Return the address of the network that serves a unit under a method."""
        if address.method == UNTUNED:
            return address.but(subject=ALL, hemisphere=ALL, roi=ALL, replicate="0")
        address = joined(address)
        if address.method in POOLED and not address.subject.startswith(WITHOUT):
            left_out = f"{WITHOUT}{address.subject}" if address.method == LOSO else ALL
            return address.but(subject=left_out)
        return address

    def networks(self, methods: Iterable[str]) -> list[Address]:
        """Return the address of every network of some methods, once each."""
        return list(dict.fromkeys(map(self.network, self.addresses(methods))))

    def pool(self, address: Address) -> list[Address]:
        """Return the units that a network of several is tuned to.

        Raises
        ------
        InputError
            If none is left.
        """
        having = self.having(address)
        if address.without:
            units = [unit for unit in having if unit.subject != address.without]
        else:
            units = [unit for unit in having if address.subject in (ALL, unit.subject)]
        if not units:
            raise InputError(
                "tuning.methods",
                f"{LOSO} for {address.hemisphere} {address.roi}, which {address.without} alone has",
                "a ROI that at least two subjects have",
                "Remove the method, or add a subject.",
            )
        return units

    @property
    def backbone_stage(self) -> str:
        """The stage that makes the untuned network."""
        pretrained = self.config.backbone.weights == "pretrain"
        return "pretrain_backbone" if pretrained else "prepare_backbone"

    def network_stage(self, address: Address) -> str:
        """Return the stage that makes the network of an address."""
        if address.method == UNTUNED:
            return self.backbone_stage
        return "tune_pooled" if address.method in OF_SEVERAL else "tune_network"

    # Transfer.

    def target_units(self, target: str, hemisphere: str, roi: str) -> list[Unit]:
        """Return the units of another data set that networks of an ROI are tried on.

        Parameters
        ----------
        target : str
            Data set.
        hemisphere : {"lh", "rh"}
        roi : str
            The source's ROI; ``all`` is every ROI that any source is tried on.
        """
        wanted = dict.fromkeys(
            name
            for pair in self.config.transfer.datasets
            if pair.target == target
            for name, sources in pair.rois.items()
            if roi == ALL or roi in sources
        )
        least = self.config.tuning.min_voxels
        return [
            Unit(subject, hemisphere, name, sizes[name])
            for subject in self.subjects(target)
            for sizes in [self.roi_sizes(target, subject, hemisphere)]
            for name in wanted
            if sizes.get(name, 0) >= least
        ]

    @property
    def _transferred(self) -> list[str]:
        wanted = self.config.transfer.methods
        return [m for m in self.tuned_methods if wanted is None or m in wanted]

    def subject_transfers(self) -> list[Address]:
        """Return the networks that are tried on other subjects of their own data set.

        Those that pool all subjects have seen every subject of it. One that joins hemispheres
        is tried on each.
        """
        transfer = self.config.transfer
        found = dict.fromkeys(
            self.network(address).but(hemisphere=address.hemisphere)
            for address in self.addresses(self._transferred, transfer.rois)
            if transfer.subjects and address.method not in POOLED and address.roi != WHOLE
        )
        return [each for each in found if len({unit.subject for unit in self.having(each)}) > 1]

    def dataset_transfers(self) -> list[Address]:
        """Return the networks that are tried on other data sets, with the data set.

        One file of a pooled network serves all subjects. The untuned network is tried on
        every target once.

        Raises
        ------
        InputError
            If no source was tuned to an ROI that is named, or no target has it.
        """
        found = []
        pairs = self.config.transfer.datasets
        for index, pair in enumerate(pairs):
            self._check_transfer(f"transfer.datasets.{index}.rois", pair)
        for target in dict.fromkeys(pair.target for pair in pairs):
            rois = {
                roi
                for pair in pairs
                if pair.target == target
                for sources in pair.rois.values()
                for roi in sources
            }
            for address in self.addresses([UNTUNED, *self._transferred], rois):
                if address.method != LOSO:
                    network = self.network(address)
                    side = address.hemisphere
                    found.append(network.but(target=target, hemisphere=side))
        return list(dict.fromkeys(found))

    def _check_transfer(self, where: str, pair: Any) -> None:
        analysed = {unit.roi for unit in self.units} - {WHOLE}
        present = {
            roi
            for subject in self.subjects(pair.target)
            for roi in self.roi_sizes(pair.target, subject, HEMISPHERES[0])
        } - {WHOLE}
        for roi, sources in pair.rois.items():
            for name, known, of in (
                (roi, present, f"ROIs of {pair.target}"),
                *((source, analysed, f"ROIs analysed of {pair.source}") for source in sources),
            ):
                if name not in known:
                    raise InputError(
                        where,
                        repr(name),
                        f"one of the {of}: {some(sorted(known), 8)}",
                        nearest(name, known) or "Correct the name, or add the ROI.",
                    )

    # Probes.

    @cached_property
    def probes(self) -> list[str]:
        """Names of the probes, sorted."""
        return sorted(self.config.probes)

    def probed(self, methods: Iterable[str] | None = None) -> list[Address]:
        """Return the addresses of jobs that look into networks.

        Each is of a subject, method and replicate.
        """
        wanted = self.config.tuning.methods if methods is None else methods
        together = (address.but(hemisphere=ALL, roi=ALL) for address in self.networks(wanted))
        return list(dict.fromkeys(together))

    def together(self, address: Address) -> list[Address]:
        """Return the networks that one job looks into."""
        return [
            network
            for network in self.networks([address.method])
            if network.but(hemisphere=ALL, roi=ALL) == address.but(probe="")
        ]

    @property
    def has_saliency(self) -> bool:
        """Whether saliency is mapped."""
        return bool(self.probes) and self.config.saliency is not None

    @property
    def mapped_methods(self) -> list[str]:
        """Methods whose networks' saliency is mapped."""
        wanted = None if self.config.saliency is None else self.config.saliency.methods
        methods = self.config.tuning.methods
        return [m for m in methods if wanted is None or m in (*wanted, UNTUNED)]

    # Versions and paths.

    def inputs(self, name: str, address: Address) -> dict[str, list[str]]:
        """Return the paths that a job reads, by the names of its rule."""
        if STAGES[name].gathers:
            return {"shown": self.shown}
        return {key: self.paths(each, address) for key, each in STAGES[name].inputs.items()}

    def paths(self, given: From, address: Address) -> list[str]:
        """Return the paths of an input for the address of a job."""
        return list(
            dict.fromkeys(self._path(*each, given.file) for each in self._made(given, address))
        )

    def _made(self, given: From, address: Address) -> Iterator[tuple[str, Address]]:
        """Yield the stage and address of every file of an input."""
        found = given.addresses(self, address)
        for each in [found] if isinstance(found, Address) else found:
            if given.stage == RESPONSES:
                yield "prepare_whole" if each.roi == WHOLE else "prepare_responses", each
            elif given.stage == BACKBONE:
                yield self.backbone_stage, each
            elif given.stage == NETWORK:
                network = self.network(each)
                yield self.network_stage(network), network
            else:
                yield given.stage, each

    def version(self, name: str, address: Address | None = None) -> str:
        """Return the version of a stage for an address, such as ``1-0a1b2c3d``."""
        stage = STAGES[name]
        address = stage.address(address or Address())
        key = (name, address)
        if key not in self._versions:
            self._versions[key] = version_of(
                name,
                stage.number,
                address,
                config=values_of(self.config, self._plain, stage, address),
                inputs=self.inputs(name, address),
                sources=self._sources(stage, address),
                facts=self.facts(name, address),
            )
        return self._versions[key]

    def _sources(self, stage: Stage, address: Address) -> str:
        if stage.sources is None:
            return ""
        find = stage.sources

        def fingerprint() -> str:
            sources = find(settings_of(self.config, stage, address), address)
            return self.fingerprints.of(sources) if sources.files or sources.names else ""

        where = address.path(stage.entities)
        found: str = self.look(f"sources {stage.name} {where}", fingerprint)
        return found

    def facts(self, name: str, address: Address) -> Any:
        """Return what else decides the result of a job."""
        facts = STAGES[name].facts
        return None if facts is None else facts(self, STAGES[name].address(address))

    def path(self, name: str, output: str, address: Address | None = None) -> str:
        """Return the path of a stage's file, ``results/<stage>/<version>/…/<file>``.

        Parameters
        ----------
        name : str
            The stage.
        output : str
            A key of its outputs.
        address : Address, optional
            What is more than the stage's entities is passed over.
        """
        return self._path(name, address or Address(), output)

    def _path(self, name: str, address: Address, output: str) -> str:
        key = (name, address, output)
        if key not in self._paths:
            stage = STAGES[name]
            self._paths[key] = self._place(stage, stage.outputs[output], stage.address(address))
        return self._paths[key]

    def _place(self, stage: Stage, output: Output, address: Address) -> str:
        names = vars(address)
        if address.dataset:
            names = {**names, "layout": self.config.datasets[address.dataset].layout}
        parts = (
            self.results,
            stage.name,
            self.version(stage.name, address),
            address.path(stage.entities),
            output.path.format(**names),
        )
        return posixpath.normpath("/".join(filter(None, parts)))

    # The whole run.

    @cached_property
    def _showing(self) -> list[Stage]:
        """Stages that a complete run has tables or figures of."""
        return [
            stage
            for stage in STAGES.values()
            if stage.shown and (stage.when is None or stage.when(self))
        ]

    @cached_property
    def shown(self) -> list[str]:
        """Paths of the tables and figures of a complete run."""
        return [
            self._place(stage, output, Address())
            for stage in self._showing
            for output in stage.shown
        ]

    @cached_property
    def jobs(self) -> dict[str, list[Address]]:
        """The address of every job of a complete run, by stage."""
        found: dict[str, dict[Address, None]] = {name: {} for name in STAGES}
        queue = [(stage.name, Address()) for stage in STAGES.values() if stage.gathers]
        while queue:
            name, address = queue.pop()
            address = STAGES[name].address(address)
            if address not in found[name]:
                found[name][address] = None
                queue += self._upstream(STAGES[name], address)
        return {name: list(addresses) for name, addresses in found.items() if addresses}

    def _upstream(self, stage: Stage, address: Address) -> Iterator[tuple[str, Address]]:
        if stage.gathers:
            yield from ((each.name, address) for each in self._showing)
        for given in stage.inputs.values():
            yield from self._made(given, address)

    @cached_property
    def upstream_versions(self) -> dict[str, list[str]]:
        """Versions of all stages but the last that a complete run has."""
        return {
            name: sorted({self.version(name, address) for address in addresses})
            for name, addresses in self.jobs.items()
            if not STAGES[name].gathers
        }
