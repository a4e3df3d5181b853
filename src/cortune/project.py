"""A project: which units a configuration asks for, and where every artifact lies.

Both the workflow's rules and the command line ask this module, so that paths and
versions are decided in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from cortune.config import Config, SizeCurve
from cortune.data.problems import nearest, some
from cortune.data.readers import Reader, open_dataset
from cortune.data.rois import GROUPS, HEMISPHERES, select_rois
from cortune.errors import InputError
from cortune.report.tables import EncodedUnit
from cortune.simulate.grayordinates import nod_roi_sizes
from cortune.simulate.layout import roi_sizes
from cortune.simulate.nod_spec import NodSpec
from cortune.simulate.spec import SimulationSpec
from cortune.versions import LOSO, POOLED, REGRESSION, STAGES, UNTUNED, Versions, entity_path

SHARED = "shared"
"""Record of the files of a simulated data set that belong to no subject."""


@dataclass(frozen=True)
class Unit:
    """One subject, hemisphere and ROI, with its number of voxels."""

    subject: str
    hemisphere: str
    roi: str
    n_voxels: int


@dataclass(frozen=True)
class Network:
    """A network, once however many units share it; empty where it has no such entity.

    A pooled network has no subject, the untuned one nothing but its method.
    """

    method: str
    subject: str
    hemisphere: str
    roi: str
    path: str

    @property
    def model(self) -> str:
        """Name in tables, such as ``contrastive subj01 lh V1v``."""
        return " ".join(filter(None, (self.method, self.subject, self.hemisphere, self.roi)))

    @property
    def owner(self) -> str:
        """Folder of all networks of a method and a subject, or of a method that has none."""
        return f"sub-{self.subject}" if self.subject else SHARED

    @property
    def folder(self) -> PurePosixPath:
        """Folder of its files within that of its owner and method."""
        return entity_path(hemisphere=self.hemisphere, roi=self.roi)


@dataclass(frozen=True)
class TransferredNetwork:
    """A network, the data set it is transferred to, and the file of its encodings there.

    `target` is None for the other subjects of the network's own data set; `subject` is None
    for a network that pools subjects, and `roi` as well for the untuned one.
    """

    target: str | None
    subject: str | None
    hemisphere: str
    roi: str | None
    method: str
    path: str


@dataclass(frozen=True)
class Skipped:
    """A unit that is not analysed, and why."""

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    reason: str


class Project:
    """Units, versions and paths of one configuration.

    Parameters
    ----------
    config : Config
    results : str
        Folder of the results, relative to the working directory.
    """

    def __init__(self, config: Config, results: str = "results") -> None:
        self.config = config
        self.results = results
        self.versions = Versions(config.as_dict())
        self._sizes: dict[tuple[str, str, str], dict[str, int]] = {}
        self._readers: dict[str, Reader] = {}

    # ---- data sets

    @property
    def dataset(self) -> str:
        """Name of the data set that networks are tuned on."""
        return self.config.tuning.dataset

    def root(self, dataset: str) -> Path:
        """Return the folder of a data set, where the simulator writes it or as configured."""
        settings = self.config.datasets[dataset]
        if settings.root is not None:
            return Path(settings.root).expanduser()
        return Path(self.path("simulate_dataset", settings.layout, dataset=dataset))

    def simulated(self, dataset: str, subject: str) -> list[str]:
        """Return the records of what the simulator writes for a subject; [] for real data."""
        settings = self.config.datasets[dataset]
        if settings.simulate is None:
            return []
        names = [subject] if settings.layout == "algonauts2023" else [subject, SHARED]
        return [
            self.path("simulate_dataset", f"{settings.layout}-{name}.json", dataset=dataset)
            for name in names
        ]

    def reader(self, dataset: str) -> Reader:
        """Return the reader of a data set's layout."""
        if dataset not in self._readers:
            settings = self.config.datasets[dataset]
            self._readers[dataset] = open_dataset(
                settings.layout, self.root(dataset), **settings.reader_options()
            )
        return self._readers[dataset]

    def simulation(self, dataset: str) -> SimulationSpec | NodSpec | None:
        """Return the simulator's specification of a data set, or None for real data."""
        settings = self.config.datasets[dataset]
        if settings.simulate is None:
            return None
        kind = NodSpec if settings.layout == "nod" else SimulationSpec
        return kind.from_mapping(settings.simulate)

    def subjects(self, dataset: str) -> list[str]:
        """Return the subjects to analyse."""
        wanted = self.config.datasets[dataset].subjects
        return self.reader(dataset).subjects() if wanted == "all" else list(wanted)

    def roi_sizes(self, dataset: str, subject: str, hemisphere: str) -> dict[str, int]:
        """Return the number of vertices of every ROI, before any job has run."""
        key = (dataset, subject, hemisphere)
        if key not in self._sizes:
            spec = self.simulation(dataset)
            if spec is None:
                sizes = self.reader(dataset).roi_sizes(subject, hemisphere)
            elif isinstance(spec, NodSpec):
                sizes = nod_roi_sizes(hemisphere, self.config.datasets[dataset].top_vertices)
            else:
                sizes = roi_sizes(spec, subject, hemisphere)
            self._sizes[key] = sizes
        return self._sizes[key]

    # ---- units

    @cached_property
    def units(self) -> list[Unit]:
        """Units of the tuning data set that are large enough to analyse.

        Raises
        ------
        InputError
            If none is.
        """
        units = [unit for unit, reason in self._all_units() if reason is None]
        if not units:
            raise InputError(
                f"datasets.{self.dataset}.rois",
                "no ROI with enough voxels in any subject and hemisphere",
                f"at least one with {self.config.tuning.min_voxels} (tuning.min_voxels)",
                "Choose other ROIs or lower tuning.min_voxels.",
            )
        return units

    @cached_property
    def skipped(self) -> list[Skipped]:
        """Units that are not analysed, and why."""
        return [
            Skipped(self.dataset, unit.subject, unit.hemisphere, unit.roi, reason)
            for unit, reason in self._all_units()
            if reason is not None
        ]

    def _all_units(self) -> Iterator[tuple[Unit, str | None]]:
        wanted = self.config.datasets[self.dataset].rois
        least = self.config.tuning.min_voxels
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
                    yield Unit(subject, hemisphere, roi, n_voxels), reason

    # ---- paths

    def path(
        self,
        stage: str,
        name: str,
        *,
        dataset: str | None = None,
        subject: str | None = None,
        hemisphere: str | None = None,
        roi: str | None = None,
        method: str | None = None,
        probe: str | None = None,
    ) -> str:
        """Return ``results/<stage>/<version>/sub-…/…/<name>``.

        The method decides version and folder, data set and probe the version alone.
        """
        version = self.versions.of(stage, dataset, method, probe)
        entities = entity_path(subject=subject, hemisphere=hemisphere, roi=roi, method=method)
        return (Path(self.results) / stage / version / entities / name).as_posix()

    def backbone(self) -> str:
        """Return the path of the untuned network."""
        return self.path(self.versions.backbone_stage(), "network.safetensors")

    def network(self, unit: Unit, method: str) -> str:
        """Return the path of the network of a unit and method."""
        if method == UNTUNED:
            return self.backbone()
        return self._tuned("network.safetensors", unit, method)

    def responses(self) -> dict[tuple[str, str], str]:
        """Return the prepared responses of every subject and hemisphere that has a unit."""
        stage, name = "prepare_responses", "responses.h5"
        return {
            (unit.subject, unit.hemisphere): self.path(
                stage, name, subject=unit.subject, hemisphere=unit.hemisphere
            )
            for unit in self.units
        }

    @property
    def shown_method(self) -> str:
        """The method of figures that show one: the paper's, or the first that tunes."""
        tuned = self.tuned_methods
        return "contrastive" if "contrastive" in tuned else (tuned or [UNTUNED])[0]

    @property
    def tuned_methods(self) -> list[str]:
        """Methods that tune a network, in the order of the configuration."""
        return [method for method in self.config.tuning.methods if method != UNTUNED]

    def history(self, unit: Unit, method: str) -> str:
        """Return the path of the training history of a tuned network."""
        return self._tuned("history.csv", unit, method)

    def _tuned(self, name: str, unit: Unit, method: str) -> str:
        """Return the path of a file of a tuned network.

        A pooled network belongs to a hemisphere and ROI, but one that leaves a subject out
        belongs to that subject.
        """
        entities = _entities(unit)
        if method in POOLED and method != LOSO:
            del entities["subject"]
        return self.path(self.versions.network_stage(method), name, **entities, method=method)

    def pooled_subjects(self, hemisphere: str, roi: str, without: str | None = None) -> list[str]:
        """Return the subjects whose ROI a pooled network is tuned to, one left out or none.

        Raises
        ------
        InputError
            If none is left.
        """
        subjects = [
            unit.subject
            for unit in self.units
            if (unit.hemisphere, unit.roi) == (hemisphere, roi) and unit.subject != without
        ]
        if not subjects:
            raise InputError(
                "tuning.methods",
                f"{LOSO} for {hemisphere} {roi}, which {without} alone has",
                "a ROI that at least two subjects have",
                "Remove the method, or add a subject.",
            )
        return subjects

    @cached_property
    def largest_roi(self) -> int:
        """Number of voxels of the largest ROI of the tuning data set, wanted or not."""
        sizes = (
            self.roi_sizes(self.dataset, subject, hemisphere)
            for subject in self.subjects(self.dataset)
            for hemisphere in HEMISPHERES
        )
        return max(size.get(roi, 0) for size in sizes for roi in GROUPS["all"])

    def features(self, unit: Unit, method: str) -> str:
        """Return the path of the Gram matrices of a network over its subject's images."""
        entities = {"subject": unit.subject} if method == UNTUNED else _entities(unit)
        return self.path("extract_features", "grams.h5", **entities, method=method)

    def encoding(self, unit: Unit, method: str) -> str:
        """Return the path of the encoding models of a unit and method."""
        return self.path("encode_roi", "encoding.h5", **_entities(unit), method=method)

    def tables(self) -> list[str]:
        """Return the paths of all tables of a complete run."""
        files: dict[str, tuple[str, ...]] = {
            "tabulate_encoding": (
                "encoding.csv",
                "encoding_layers.csv",
                "encoding_voxels.parquet",
                "variance_partition.csv",
                "skipped.csv",
            ),
            "tabulate_comparison": ("comparison.csv",),
            "tabulate_published": ("published.csv",),
        }
        if self.targets("embeddings"):
            files["bound_information"] = ("information.csv",)
        if self.transfers():
            files["tabulate_transfer"] = ("transfer_subjects.csv", "transfer_datasets.csv")
        if self.targets("size_curve"):
            files["tabulate_size_curve"] = ("size_curve.csv",)
        if self.probes:
            files["tabulate_probes"] = ("probes.csv",)
        if self.has_landscape:
            files["embed_networks"] = (
                "dissimilarity.csv",
                "landscape.csv",
                "landscape_axes.csv",
                "landscape_tests.csv",
            )
        if self.has_saliency:
            names = ("lateralization.csv", "lateralization_tests.csv")
            files["tabulate_lateralization"] = names
        return [self.path(stage, name) for stage, names in files.items() for name in names]

    def figures(self) -> list[str]:
        """Return the paths of all figures of a complete run."""
        files: dict[str, tuple[str, ...]] = {
            "plot_encoding": (
                "encoding_by_roi.png",
                "encoding_by_layer.png",
                "encoding_by_voxel.png",
                "encoding_by_protocol.png",
            ),
            "plot_cortex": ("cortex.png",),
            "plot_published": ("published.png",),
            "plot_tuning": ("training_curves.png",),
        }
        if self.transfers():
            files["plot_transfer"] = ("transfer_subjects.png", "transfer_datasets.png")
        if self.targets("embeddings"):
            files["plot_information"] = ("information_by_roi.png",)
        if self.targets("size_curve"):
            files["plot_size_curve"] = ("size_curve.png",)
        if self.probes:
            files["plot_probes"] = ("probe_accuracy.png",)
            files["plot_forgetting"] = ("encoding_gain_against_forgetting.png",)
        if self.has_landscape:
            files["plot_landscape"] = (
                "landscape_inpca.png",
                "landscape_spaces.png",
                "landscape_clusters.png",
            )
        if self.has_saliency:
            files["plot_saliency"] = (
                "saliency_maps.png",
                "laterality.png",
                "laterality_distributions.png",
                "saliency_examples.png",
            )
        return [self.path(stage, name) for stage, names in files.items() for name in names]

    def current_versions(self) -> dict[str, str]:
        """Return the version of every stage, by what it depends on: data set, method, probe."""
        found = {
            "/".join(filter(None, (stage, *scope))): self.versions.of(stage, *scope)
            for stage, *scope in self.versions.scopes()
        }
        return _shortened(found)

    def benchmarks(self) -> dict[str, list[str]]:
        """Return the timing files of the current versions, by rule."""
        folder = Path(self.results) / "benchmarks"
        used = set(self.current_versions().values())
        return {
            stage: [
                path.as_posix()
                for path in sorted((folder / stage).rglob("*.tsv"))
                if used & {part.removesuffix(".tsv") for part in path.parts}
            ]
            for stage in STAGES
        }

    def embeddings(self, unit: Unit, method: str) -> str:
        """Return the path of a tuned network's held-out embeddings."""
        return self._tuned("embeddings.h5", unit, method)

    def size_curve(self, unit: Unit, method: str) -> str:
        """Return the path of the size curve of a unit and method."""
        return self.path("fit_size_curve", "size_curve.h5", **_entities(unit), method=method)

    def targets(self, kind: str) -> list[EncodedUnit]:
        """Return every unit and method that has a file of a kind, and its path.

        Parameters
        ----------
        kind : str
            ``encoding``, ``history``, ``embeddings`` or ``size_curve``.
        """
        find = getattr(self, kind)
        return [
            EncodedUnit(self.dataset, u.subject, u.hemisphere, u.roi, method, find(u, method))
            for method in self._methods_with(kind)
            for u in self.units
            if kind != "size_curve" or u.roi in (self._curve.rois or [u.roi])
        ]

    # ---- transfer

    def transfer_subject(self, unit: Unit, method: str) -> str:
        """Return the path of the encodings of other subjects from a unit's network."""
        return self.path("transfer_subject", "transfer.h5", **_entities(unit), method=method)

    def other_subjects(self, unit: Unit) -> list[str]:
        """Return the other subjects that have a unit's ROI."""
        return [
            other.subject
            for other in self.units
            if (other.hemisphere, other.roi) == (unit.hemisphere, unit.roi)
            and other.subject != unit.subject
        ]

    def transfer_targets(self, target: str, hemisphere: str, roi: str | None) -> list[Unit]:
        """Return the units of another data set that networks of an ROI are tried on.

        Parameters
        ----------
        target : str
            Data set.
        hemisphere : {"lh", "rh"}
        roi : str or None
            The source's ROI; None is every ROI that any source is tried on.
        """
        wanted = [
            name
            for pair in self.config.transfer.datasets
            if pair.target == target
            for name, sources in pair.rois.items()
            if roi is None or roi in sources
        ]
        least = self.config.tuning.min_voxels
        return [
            Unit(subject, hemisphere, name, sizes[name])
            for subject in self.subjects(target)
            for sizes in [self.roi_sizes(target, subject, hemisphere)]
            for name in dict.fromkeys(wanted)
            if sizes.get(name, 0) >= least
        ]

    def transfers(self) -> list[TransferredNetwork]:
        """Return every network that is transferred, and the file of its encodings.

        Networks that pool all subjects have seen every subject of their data set, so they
        are transferred to other data sets only; one file of a pooled network serves all
        subjects. The untuned network is tried on every target once.
        """
        found = [
            TransferredNetwork(None, u.subject, u.hemisphere, u.roi, m, self.transfer_subject(u, m))
            for m in self._transferred()
            if self.config.transfer.subjects and m not in POOLED
            for u in self.units
            if u.roi in (self.config.transfer.rois or [u.roi]) and self.other_subjects(u)
        ]
        self._check_transfer()
        for target in self.versions.transfer_targets():
            sources = {
                roi
                for pair in self.config.transfer.datasets
                if pair.target == target
                for rois in pair.rois.values()
                for roi in rois
            }
            for method in [UNTUNED, *self._transferred()]:
                found += [
                    self._to_dataset(target, unit, method)
                    for unit in self.units
                    if unit.roi in sources and method != LOSO
                ]
        return list({network.path: network for network in found}.values())

    def _check_transfer(self) -> None:
        """Refuse ROIs that no source was tuned to, or that no target has."""
        analysed = {unit.roi for unit in self.units}
        for index, pair in enumerate(self.config.transfer.datasets):
            where = f"transfer.datasets.{index}.rois"
            present = {
                roi
                for subject in self.subjects(pair.target)
                for roi in self.roi_sizes(pair.target, subject, HEMISPHERES[0])
            }
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

    def _transferred(self) -> list[str]:
        wanted = self.config.transfer.methods
        return [m for m in self.tuned_methods if wanted is None or m in wanted]

    def _to_dataset(self, target: str, unit: Unit, method: str) -> TransferredNetwork:
        subject: str | None = unit.subject
        source = f"sub-{unit.subject}/hemi-{unit.hemisphere}/roi-{unit.roi}"
        if method in POOLED:
            subject, source = None, f"hemi-{unit.hemisphere}/roi-{unit.roi}"
        roi: str | None = unit.roi
        if method == UNTUNED:
            subject, roi, source = None, None, f"hemi-{unit.hemisphere}"
        version = self.versions.of("transfer_dataset", target, method)
        name = f"to-{target}/{source}/method-{method}/transfer.h5"
        path = (Path(self.results) / "transfer_dataset" / version / name).as_posix()
        return TransferredNetwork(target, subject, unit.hemisphere, roi, method, path)

    # ---- probes, and what is made from them

    @property
    def probes(self) -> list[str]:
        """Names of the probes, sorted."""
        return self.versions.probes

    @property
    def has_landscape(self) -> bool:
        """Whether networks are placed in a landscape."""
        return bool(self.probes) and self.config.landscape is not None

    @property
    def has_saliency(self) -> bool:
        """Whether saliency is mapped."""
        return bool(self.probes) and self.config.saliency is not None

    @cached_property
    def networks(self) -> list[Network]:
        """Every network of the configured methods, once, in the order of methods and units."""
        found = []
        for method in self.config.tuning.methods:
            for unit in self.units:
                names = _entities(unit)
                if method in POOLED and method != LOSO:
                    names["subject"] = ""
                if method == UNTUNED:
                    names = dict.fromkeys(names, "")
                found.append(Network(method, path=self.network(unit, method), **names))
        return list(dict.fromkeys(found))

    def networks_of(self, owner: str, method: str) -> list[Network]:
        """Return the networks of one method and owner, :attr:`Network.owner`."""
        return [n for n in self.networks if (n.owner, n.method) == (owner, method)]

    def probe_images(self, name: str, probe: str | None = None) -> str:
        """Return the path of a file of a probe's prepared images, by default saliency's."""
        probe = probe or self._saliency_probe
        return self.path("prepare_probe", f"probe-{probe}/{name}", probe=probe)

    @property
    def _saliency_probe(self) -> str:
        saliency = self.config.saliency
        return "" if saliency is None else saliency.probe or ""

    def probe_folder(self, owner: str, method: str, probe: str | None = None) -> Path:
        """Return the folder of the probes of all networks of an owner and method.

        The probe is by default that of saliency.
        """
        probe = probe or self._saliency_probe
        version = self.versions.of("probe_network", method=method, probe=probe)
        inside = f"{version}/probe-{probe}/{owner}/method-{method}"
        return Path(self.results, "probe_network", inside)

    def saliency_folder(self, owner: str, method: str) -> Path:
        """Return the folder of the saliency of all networks of an owner and method."""
        version = self.versions.of("map_saliency", method=method)
        return Path(self.results, "map_saliency", f"{version}/{owner}/method-{method}")

    def probe_folders(self) -> list[str]:
        """Return the folders of the probes of all networks."""
        found = [
            self.probe_folder(network.owner, network.method, probe).as_posix()
            for probe in self.probes
            for network in self.networks
        ]
        return list(dict.fromkeys(found))

    def saliency_folders(self) -> list[str]:
        """Return the folders of the saliency of all networks."""
        found = [self.saliency_folder(n.owner, n.method).as_posix() for n in self._looked_into]
        return list(dict.fromkeys(found))

    @property
    def _looked_into(self) -> list[Network]:
        """Networks whose saliency is mapped."""
        wanted = None if self.config.saliency is None else self.config.saliency.methods
        return [n for n in self.networks if wanted is None or n.method in (*wanted, UNTUNED)]

    def probed(self, network: Network, probe: str) -> str:
        """Return the path of a network's probe."""
        folder = self.probe_folder(network.owner, network.method, probe)
        return (folder / network.folder / "probe.h5").as_posix()

    def saliency(self, network: Network) -> str:
        """Return the path of a network's saliency."""
        folder = self.saliency_folder(network.owner, network.method)
        return (folder / network.folder / "saliency.h5").as_posix()

    def all_probed(self) -> list[str]:
        """Return the paths of the probes of all networks."""
        return [self.probed(network, probe) for probe in self.probes for network in self.networks]

    def all_saliency(self) -> list[str]:
        """Return the paths of the saliency of all networks."""
        return [self.saliency(network) for network in self._looked_into]

    @property
    def _curve(self) -> SizeCurve:
        return self.config.encoding.size_curve

    def _methods_with(self, kind: str) -> list[str]:
        if kind == "encoding":
            return self.config.tuning.methods
        if kind == "size_curve":
            wanted = self._curve.methods or self.config.tuning.methods
            return [m for m in self.config.tuning.methods if m in wanted and self._curve.sizes]
        if kind == "embeddings":
            return [method for method in self.tuned_methods if method != REGRESSION]
        return self.tuned_methods

    def dataset_of(self, stage: str, version: str) -> str:
        """Return the data set whose `stage` has this version.

        Raises
        ------
        InputError
            If no data set of the configuration has.
        """
        for dataset in self.config.datasets:
            if self.versions.of(stage, dataset) == version:
                return dataset
        raise InputError(
            f"{self.results}/{stage}/{version}",
            "a version that this configuration does not make",
            " or ".join(self.versions.of(stage, dataset) for dataset in self.config.datasets),
            "Ask for the files of the current configuration.",
        )


def entities_of(folders: str) -> dict[str, str]:
    """Return the entities of a part of a path: ``sub-a/hemi-lh`` is {sub: a, hemi: lh}."""
    return dict(part.split("-", 1) for part in folders.split("/"))


def _entities(unit: Unit) -> dict[str, str]:
    return {"subject": unit.subject, "hemisphere": unit.hemisphere, "roi": unit.roi}


def _shortened(versions: dict[str, str]) -> dict[str, str]:
    """Drop data set and method from the names of stages that have one version only."""
    by_stage: dict[str, set[str]] = {}
    for name, version in versions.items():
        by_stage.setdefault(name.split("/")[0], set()).add(version)
    return {
        (name.split("/")[0] if len(by_stage[name.split("/")[0]]) == 1 else name): version
        for name, version in versions.items()
    }
