"""The work of every job of a project, by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import comb

from cortune.config import Config
from cortune.data.nod_files import N_AREAS
from cortune.data.rois import STREAMS
from cortune.plan.backbone import Shape
from cortune.probes import ProbeSpec, list_images
from cortune.project import Project, Unit
from cortune.tuning.methods import LOSO, METHODS, POOLED, UNTUNED

GPU_STAGES = (
    "pretrain_backbone",
    "tune_network",
    "tune_pooled",
    "extract_features",
    "transfer_subject",
    "transfer_dataset",
    "probe_network",
    "map_saliency",
)
"""Stages that run networks; their rules ask for a GPU."""

_TRAINING = 3  # a training step costs three forward passes
_SOLVER_STEPS = 100  # of logistic regression; most need fewer
_MAPS = 9  # of a network that are kept: the mean and examples
_GRAYORDINATES, _FSAVERAGE = 59_412, 163_842
_MASKS = 14  # files of a simulated subject's ROIs on fsaverage, eight bytes per vertex


@dataclass(frozen=True)
class Work:
    """What one job does.

    Parameters
    ----------
    network : float
        Operations of networks, GFLOP.
    products : float
        Operations of other matrix products, GFLOP.
    decompositions : float
        Operations of eigendecompositions, GFLOP.
    pictures : float
        Pictures decoded and scaled, or drawn.
    disk : float
        Bytes that stay.
    """

    network: float = 0.0
    products: float = 0.0
    decompositions: float = 0.0
    pictures: float = 0.0
    disk: float = 0.0


def work_by_stage(project: Project, shape: Shape) -> dict[str, list[Work]]:
    """Return the work of every job of the stages whose jobs are not all short.

    Parameters
    ----------
    project : Project
    shape : Shape
        Of the project's backbone.
    """
    count = _Count(project, shape)
    found = {stage: list(works()) for stage, works in count.stages().items()}
    return {stage: works for stage, works in found.items() if works}


class _Count:
    def __init__(self, project: Project, shape: Shape) -> None:
        self.project = project
        self.config: Config = project.config
        self.shape = shape
        self._n_images: dict[tuple[str, str], int] = {}

    def stages(self) -> dict[str, Callable[[], Iterator[Work]]]:
        """Return what counts the work of each stage."""
        found = {
            "simulate_dataset": self.simulations,
            "prepare_images": self.images,
            "prepare_responses": self.responses,
            self.project.versions.backbone_stage(): self.backbone,
            "tune_network": lambda: self.tuning("tune_network"),
            "tune_pooled": lambda: self.tuning("tune_pooled"),
            "extract_features": self.features,
            "encode_roi": self.encodings,
            "fit_size_curve": self.size_curves,
            "transfer_subject": lambda: self.transfers("transfer_subject"),
            "transfer_dataset": lambda: self.transfers("transfer_dataset"),
            "prepare_probe": self.probe_images,
            "probe_network": self.probes,
        }
        return found | ({"map_saliency": self.saliency} if self.project.has_saliency else {})

    def n_images(self, dataset: str, subject: str) -> int:
        """Return a subject's number of images, from the simulation or the names on disk."""
        key = (dataset, subject)
        if key not in self._n_images:
            spec = self.project.simulation(dataset)
            self._n_images[key] = (
                len(self.project.reader(dataset).images(subject).unique())
                if spec is None
                else spec.n_images
            )
        return self._n_images[key]

    def n_test(self, dataset: str, subject: str) -> float:
        """Return a subject's number of test images, as the split gives it on average."""
        return self.config.split.test * self.n_images(dataset, subject)

    def simulations(self) -> Iterator[Work]:
        """Pictures, responses, and the records of what belongs to no subject."""
        done = set()
        for dataset, subject, hemispheres in self.project.prepared():
            spec = self.project.simulation(dataset)
            for record in self.project.simulated(dataset, subject):
                if spec is None or record in done:
                    continue
                done.add(record)
                if not record.endswith(f"-{subject}.json"):
                    yield Work()
                    continue
                n, pixels = spec.n_images, spec.image_size**2 * 3
                layout = self.config.datasets[dataset].layout
                vertices = self._n_vertices(dataset, subject, hemispheres)
                size = n * (pixels + 4 * vertices)
                if layout == "algonauts2023":
                    size += _MASKS * 8 * _FSAVERAGE
                elif layout == "nod":
                    size = n * (pixels + 4 * _GRAYORDINATES)
                yield Work(pictures=n, disk=size)

    def _n_vertices(self, dataset: str, subject: str, hemispheres: list[str]) -> int:
        """Return the number of vertices of a subject's ROIs."""
        settings = self.config.datasets[dataset]
        if settings.layout == "nod":
            top = settings.top_vertices
            return len(hemispheres) * (N_AREAS * top if top else _GRAYORDINATES // 2)
        sizes = (self.project.roi_sizes(dataset, subject, side) for side in hemispheres)
        # Streams hold other ROIs' vertices.
        parts = [(roi in STREAMS, n) for each in sizes for roi, n in each.items()]
        return max(sum(n for stream, n in parts if stream is which) for which in (True, False))

    def images(self) -> Iterator[Work]:
        """Pictures of every subject, decoded once."""
        size = self.config.backbone.input_size
        for dataset, subject, _ in self.project.prepared():
            n = self.n_images(dataset, subject)
            yield Work(pictures=n, disk=n * size**2 * 3)

    def responses(self) -> Iterator[Work]:
        """Responses of every subject and hemisphere."""
        for dataset, subject, hemispheres in self.project.prepared():
            for hemisphere in hemispheres:
                vertices = self._n_vertices(dataset, subject, [hemisphere])
                yield Work(disk=4 * self.n_images(dataset, subject) * vertices)

    def backbone(self) -> Iterator[Work]:
        """Training of the backbone on drawn scenes, where it is asked for."""
        pretrain = self.config.backbone.pretrain
        if self.project.versions.backbone_stage() != "pretrain_backbone":
            yield Work(disk=self.shape.n_bytes)
            return
        steps = pretrain.n_images * pretrain.epochs * _TRAINING
        yield Work(
            network=steps * self.shape.gflop, pictures=pretrain.n_images, disk=self.shape.n_bytes
        )

    def tuning(self, stage: str) -> Iterator[Work]:
        """Training of every network on its tuning images, and epochs' validation."""
        split = self.config.split
        for network in self.project.networks:
            if network.method == UNTUNED:
                continue
            if self.project.versions.network_stage(network.method) != stage:
                continue
            epochs = getattr(self.config, METHODS[network.method].section).epochs
            subjects = [network.subject]
            if network.method in POOLED:
                without = network.subject if network.method == LOSO else None
                subjects = self.project.pooled_subjects(network.hemisphere, network.roi, without)
            n = sum(self.n_images(self.project.dataset, subject) for subject in subjects)
            passes = epochs * n * (_TRAINING * split.tune + split.validation)
            yield Work(network=passes * self.shape.gflop, disk=self.shape.n_bytes)

    def features(self) -> Iterator[Work]:
        """One pass of every network over its subject's images, and Gram matrices."""
        wanted = {
            self.project.features(unit, method): unit
            for method in self.config.tuning.methods
            for unit in self.project.units
        }
        for unit in wanted.values():
            n = float(self.n_images(self.project.dataset, unit.subject))
            if self.config.features.images == "test":
                n = n * self.config.split.test + max(self._sizes, default=0)
            network, products = self._forward(n)
            disk = 4 * len(self.config.backbone.layers) * n**2
            yield Work(network=network, products=products, disk=disk)

    @property
    def _sizes(self) -> list[int]:
        return self.config.encoding.size_curve.sizes

    def _forward(self, n: float) -> tuple[float, float]:
        """Return the operations of running a network on images and of their Grams, GFLOP."""
        width = sum(self.shape.widths[layer] for layer in self.config.backbone.layers)
        return n * self.shape.gflop, n**2 * width / 1e9

    def encodings(self) -> Iterator[Work]:
        """Fits of every unit and method."""
        for _ in self.config.tuning.methods:
            for unit in self.project.units:
                yield self._encoding(unit, self.n_test(self.project.dataset, unit.subject))

    def _encoding(self, unit: Unit, n: float) -> Work:
        """Return the work of all folds and layers of one ROI."""
        encoding, k = self.config.encoding, self.config.encoding.folds
        layers = len(self.config.backbone.layers)
        # Fits by the share of the images they are fitted on; protocols share those of folds.
        fits = [(1 - 1 / k, k)]
        if "heldout_cv" in encoding.protocols:
            fits.append((1 - 2 / k, comb(k, 2)))
        decompositions = sum(9 * (share * n) ** 3 * number for share, number in fits)
        products = 0.0
        for share, number in fits:
            components = min(encoding.n_components, share * n)
            scored = n / k * (1 if share == 1 - 1 / k else 2) * encoding.alphas.num
            products += 2 * number * components * unit.n_voxels * (share * n + scored)
        resampling = 2 * self.config.statistics.n_bootstrap * n * unit.n_voxels
        products += resampling * len(encoding.protocols)
        rows = len(encoding.protocols) * unit.n_voxels * (3 + 2 * layers)
        return Work(
            products=layers * products / 1e9,
            decompositions=layers * decompositions / 1e9,
            disk=4.0 * rows,
        )

    def size_curves(self) -> Iterator[Work]:
        """Fits on so many images each."""
        layers, folds = len(self.config.backbone.layers), self.config.encoding.folds
        operations = sum(9 * n**3 * (folds + 1) for n in self._sizes) * layers
        yield from [Work(decompositions=operations / 1e9)] * len(self.project.targets("size_curve"))

    def transfers(self, stage: str) -> Iterator[Work]:
        """One pass of every network over others' images, and their encoding models."""
        for transfer in self.project.transfers():
            if (stage == "transfer_dataset") != bool(transfer.target):
                continue
            dataset = transfer.target or self.project.dataset
            if transfer.target:
                others = self.project.transfer_targets(dataset, transfer.hemisphere, transfer.roi)
            else:
                others = [
                    unit
                    for unit in self.project.units
                    if (unit.hemisphere, unit.roi) == (transfer.hemisphere, transfer.roi)
                    and unit.subject != transfer.subject
                ]
            numbers = {unit.subject: self.n_test(dataset, unit.subject) for unit in others}
            forward = [self._forward(n) for n in numbers.values()]
            works = [self._encoding(unit, numbers[unit.subject]) for unit in others]
            yield Work(
                network=sum(network for network, _ in forward),
                products=sum(p for _, p in forward) + sum(work.products for work in works),
                decompositions=sum(work.decompositions for work in works),
                disk=sum(work.disk for work in works),
            )

    @cached_property
    def _probed(self) -> dict[str, tuple[int, int]]:
        """Number of images and of classes of each probe."""
        found = {}
        for name, probe in self.config.probes.items():
            spec = ProbeSpec(**probe.source())
            if spec.kind == "scenes":
                found[name] = spec.n_images, spec.n_classes
                continue
            listed = list_images(spec)
            n, n_classes = len(listed.files), len(listed.classes)
            if spec.images_per_class:
                n = min(n, n_classes * spec.images_per_class)
            found[name] = n, n_classes
        return found

    def probe_images(self) -> Iterator[Work]:
        """Pictures of every probe, decoded or drawn once."""
        size = self.config.backbone.input_size
        for name in self.project.probes:
            n, _ = self._probed[name]
            yield Work(pictures=n, disk=n * size**2 * 3)

    def _together(self) -> list[int]:
        """Return the number of networks that share a job of probes, for every such job."""
        owners = [(network.owner, network.method) for network in self.project.networks]
        return [len(self.project.networks_of(*pair)) for pair in dict.fromkeys(owners)]

    def probes(self) -> Iterator[Work]:
        """One pass of every network over the probe's images, and a classifier."""
        for name in self.project.probes:
            n, n_classes = self._probed[name]
            width = self.shape.widths[self.config.probes[name].layer]
            solving = _SOLVER_STEPS * 4 * n * width * n_classes / 1e9
            disk = 4.0 * n_classes * (width + 0.15 * n)
            for n_networks in self._together():
                yield Work(
                    network=n_networks * n * self.shape.gflop,
                    products=n_networks * solving,
                    disk=n_networks * disk,
                )

    def saliency(self) -> Iterator[Work]:
        """Each image and its mirror image, forwards and backwards."""
        n_images = self.config.saliency.n_images if self.config.saliency else 0
        maps = 4 * _MAPS * self.config.backbone.input_size**2
        folders = [
            self.project.saliency_folder(network.owner, network.method).as_posix()
            for network in self.project.networks
        ]
        for folder in self.project.saliency_folders():
            n_networks = folders.count(folder)
            passes = n_networks * n_images * 2 * _TRAINING
            yield Work(network=passes * self.shape.gflop, disk=n_networks * maps)
