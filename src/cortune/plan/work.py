"""The work of every job of a project: what is counted of it, by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb

from cortune.address import Address
from cortune.data.identity import COMMUNITY, community_ids
from cortune.data.nod_files import N_AREAS
from cortune.data.rois import STREAMS, WHOLE
from cortune.features import Space
from cortune.plan.backbone import Shape
from cortune.probes import list_images
from cortune.project import Project
from cortune.stages.encoding import decomposed
from cortune.stages.export import units
from cortune.stages.probes import probe_spec
from cortune.stages.simulate import SHARED
from cortune.stages.transfer import others
from cortune.tuning.methods import METHODS

_TRAINING = 3  # a training step costs three forward passes
_SOLVER_STEPS = 300  # of logistic regression, over folds and penalties; most need fewer
_HDF5 = 6_000  # bytes that HDF5 takes around the components of a set of images
_RESAMPLED = 40
"""Operations of a pair of images in a resampling, by both measures of similarity."""
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
    scratch : float
        Bytes on disk while it runs.
    passes : int
        Times that it runs the network over its images.
    """

    network: float = 0.0
    products: float = 0.0
    decompositions: float = 0.0
    pictures: float = 0.0
    disk: float = 0.0
    scratch: float = 0.0
    passes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.network + other.network,
            self.products + other.products,
            self.decompositions + other.decompositions,
            self.pictures + other.pictures,
            self.disk + other.disk,
            max(self.scratch, other.scratch),
            max(self.passes, other.passes),
        )

    def times(self, number: int) -> Work:
        """Return the work of so many networks, one after the other."""
        return sum([self] * number, Work())


class Count:
    """Counts the work of a project's jobs.

    Parameters
    ----------
    project : Project
    shape : Shape
        Of its backbone.
    """

    def __init__(self, project: Project, shape: Shape) -> None:
        self.project, self.config, self.shape = project, project.config, shape

    def of(self, stage: str, address: Address) -> Work | None:
        """Return the work of a job; None where it is too short to count."""
        count: Callable[[Address], Work] | None = getattr(self, stage, None)
        return None if count is None else count(address)

    def n_images(self, place: Address) -> int:
        """Return a subject's number of images, from the simulation or the names on disk."""
        spec = self.project.simulation(place.dataset)
        if spec is not None:
            return int(spec.n_images)

        def find() -> int:
            reader = self.project.reader(place.dataset)
            return len(reader.images(place.subject).unique())

        return int(self.project.look(f"images {place.dataset} {place.subject}", find))

    def n_test(self, place: Address) -> float:
        """Return a subject's number of test images, as the split gives it on average."""
        split, spec = self.config.split, self.project.simulation(place.dataset)
        if split.by in COMMUNITY:
            return len(community_ids(split.by)) if spec is None else spec.n_shared
        return split.test * self.n_images(place)

    def n_fit(self, place: Address) -> float:
        """Return a subject's number of images that encoding models alone are fitted on."""
        return self.config.split.fit * self.n_images(place)

    def simulate_dataset(self, place: Address) -> Work:
        """Pictures, responses, and records of what belongs to no subject."""
        spec = self.project.simulation(place.dataset)
        if place.subject == SHARED:
            return Work()
        n, pixels = spec.n_images, spec.image_size**2 * 3
        layout = self.config.datasets[place.dataset].layout
        vertices = sum(self._n_vertices(place.but(hemisphere=side)) for side in ("lh", "rh"))
        size = n * (pixels + 4 * (_GRAYORDINATES if layout == "nod" else vertices))
        if layout == "algonauts2023":
            size += _MASKS * 8 * _FSAVERAGE
        return Work(pictures=n, disk=size)

    def _n_vertices(self, place: Address) -> int:
        """Return the number of vertices of a hemisphere's ROIs."""
        settings = self.config.datasets[place.dataset]
        if settings.layout == "nod":
            return N_AREAS * settings.top_vertices if settings.top_vertices else _GRAYORDINATES // 2
        sizes = self.project.roi_sizes(place.dataset, place.subject, place.hemisphere)
        # Streams hold other ROIs' vertices.
        parts = [(roi in STREAMS, n) for roi, n in sizes.items() if roi != WHOLE]
        return max(sum(n for stream, n in parts if stream is which) for which in (True, False))

    def prepare_images(self, place: Address) -> Work:
        """Pictures of a subject, decoded once."""
        return self._pictures(self.n_images(place))

    def _pictures(self, n: int) -> Work:
        return Work(pictures=n, disk=n * self.project.preprocessing.input_size**2 * 3)

    def prepare_responses(self, place: Address) -> Work:
        """Responses of a hemisphere."""
        return Work(disk=4 * self.n_images(place) * self._n_vertices(place))

    def prepare_whole(self, place: Address) -> Work:
        """Responses of every vertex of a hemisphere."""
        sizes = self.project.roi_sizes(place.dataset, place.subject, place.hemisphere)
        return Work(disk=4 * self.n_images(place) * sizes[WHOLE])

    def prepare_backbone(self, place: Address) -> Work:
        """Weights, loaded."""
        return Work(disk=self.shape.n_bytes)

    def pretrain_backbone(self, place: Address) -> Work:
        """Training of the backbone on drawn scenes."""
        pretrain = self.config.backbone.pretrain
        steps = pretrain.n_images * pretrain.epochs * _TRAINING
        return Work(
            network=steps * self.shape.gflop, pictures=pretrain.n_images, disk=self.shape.n_bytes
        )

    def tune_network(self, place: Address) -> Work:
        """Training on a subject's tuning images, and epochs' validation."""
        return self._tuning(place.method, self.n_images(place))

    def tune_pooled(self, place: Address) -> Work:
        """Train on the images of all subjects of a network."""
        subjects = {unit.only("dataset", "subject") for unit in self.project.pool(place)}
        return self._tuning(place.method, sum(map(self.n_images, subjects)))

    def _tuning(self, method: str, n: int) -> Work:
        split, section = self.config.split, METHODS[method].section
        epochs = getattr(self.config, section).epochs if section else 0
        passes = epochs * n * (_TRAINING * split.tune + split.validation)
        return Work(network=passes * self.shape.gflop, disk=self.shape.tuned_bytes)

    def extract_features(self, place: Address) -> Work:
        """One pass over a subject's images, and Gram matrices."""
        n = float(self.n_images(place))
        if self.config.features.images == "test":
            n = self.n_test(place) + (self.n_fit(place) or max(self._sizes, default=0))
        disk = 4 * len(self.shape.layers) * n**2
        return self._forward(n) + Work(disk=disk)

    @property
    def _sizes(self) -> list[int]:
        return list(self.config.encoding.size_curve.sizes)

    def _forward(self, *groups: float) -> Work:
        """Return the work of running a network on groups of images, and of their Grams."""
        features, n = self.config.features, sum(groups)
        space = Space(features.memory_gb * 1e9, features.scratch_gb * 1e9)
        widths = [self.shape.widths[layer] for layer in self.shape.layers]
        kept = space.passes(round(n), widths)
        return Work(
            network=len(kept) * n * self.shape.gflop,
            products=sum(each**2 for each in groups) * sum(widths) / 1e9,
            scratch=max((size for size in kept if size > space.memory), default=0),
            passes=len(kept),
        )

    def decompose_features(self, place: Address) -> Work:
        """Decompositions of all folds and layers, kept in float32."""
        n, encoding = self.n_test(place), self.config.encoding
        # Axes of the images fitted, and scores of the fold, or the two, left out.
        kept = sum(
            (4 * n * min(encoding.n_components, share * n) + _HDF5) * k for share, k in self._fits
        )
        disk = len(self.shape.layers) * kept
        return Work(decompositions=self._decompositions(place, n), disk=disk)

    def encode_roi(self, place: Address) -> Work:
        """Fits of all folds and layers of one ROI."""
        found = self._encoding(place, self.n_test(place))
        return replace(found, decompositions=0.0) if decomposed(self.project, place) else found

    @property
    def _fits(self) -> list[tuple[float, int]]:
        """Fits by the share of the images they are fitted on; protocols share those of folds."""
        k = self.config.encoding.folds
        inner = [(1 - 2 / k, comb(k, 2))] if "heldout_cv" in self.config.encoding.protocols else []
        return [(1 - 1 / k, k), *inner]

    def _decompositions(self, place: Address, n: float) -> float:
        encoding = self.config.encoding
        operations = sum(9 * (share * n) ** 3 * number for share, number in self._fits)
        if "fit_test" in encoding.protocols:
            operations += 9 * (encoding.folds + 1) * self.n_fit(place) ** 3
        return len(self.shape.layers) * operations / 1e9

    def _encoding(self, place: Address, n: float) -> Work:
        """Return the work of encoding models that are fitted and scored on `n` images."""
        encoding, k = self.config.encoding, self.config.encoding.folds
        sizes = self.project.roi_sizes(place.dataset, place.subject, place.hemisphere)
        n_voxels = sizes[place.roi]
        layers = len(self.shape.layers)
        products = 0.0
        for share, number in self._fits:
            components = min(encoding.n_components, share * n)
            scored = n / k * (1 if share == 1 - 1 / k else 2) * (encoding.alphas.num + 1)
            products += 2 * number * components * n_voxels * (share * n + scored)
        rows = len(encoding.protocols) * n_voxels * (3 + 2 * layers)
        return Work(
            products=layers * products / 1e9,
            decompositions=self._decompositions(place, n),
            disk=4.0 * rows,
        )

    def fit_size_curve(self, place: Address) -> Work:
        """Fits on so many images each."""
        layers, folds = len(self.shape.layers), self.config.encoding.folds
        operations = sum(9 * n**3 * (folds + 1) for n in self._sizes) * layers
        return Work(decompositions=operations / 1e9)

    def transfer_subject(self, place: Address) -> Work:
        """One pass over others' images, and their encoding models."""
        return self._transfer(others(self.project, place), self.n_test)

    def transfer_dataset(self, place: Address) -> Work:
        """Run once over the images of another data set, and fit encoding models."""
        units = self.project.target_units(place.target, place.hemisphere, place.roi)
        return self._transfer(
            [Address(place.target, u.subject, u.hemisphere, u.roi) for u in units], self.n_images
        )

    def _transfer(self, units: list[Address], n_of: Callable[[Address], float]) -> Work:
        subjects = dict.fromkeys(unit.only("dataset", "subject") for unit in units)
        forward = self._forward(*map(n_of, subjects))
        return sum((self._encoding(unit, n_of(unit)) for unit in units), forward)

    def export_encoder(self, place: Address) -> Work:
        """Two passes over the images fitted, choices, and a map of the widest layer's size."""
        export, split = self.config.export, self.config.split
        n = float(self.n_images(place))
        if export is None or export.fit == "untouched":
            n *= 1 - split.tune - split.validation
        k = min(self.config.encoding.n_components, n)
        fits = sum(map(self.encode_roi, units(self.project, place)), Work())
        sizes = [
            self.project.roi_sizes(unit.dataset, unit.subject, unit.hemisphere)[unit.roi]
            for unit in units(self.project, place)
        ]
        width = max(self.shape.widths[layer] for layer in self.shape.layers)
        n_bytes = 2 if export is not None and export.dtype == "float16" else 4
        forward = self._forward(n) + Work(network=n * self.shape.gflop)
        return replace(fits + forward, disk=n_bytes * k * (width + sum(sizes)))

    @cached_property
    def _probed(self) -> dict[str, tuple[int, int]]:
        """Number of images and of classes of each probe."""
        found = {}
        for name in self.config.probes:
            spec = probe_spec(self.config, name)
            if spec.kind == "scenes":
                found[name] = spec.n_images, spec.n_classes
                continue
            listed = list_images(spec)
            n, n_classes = len(listed.files), len(listed.classes)
            if spec.images_per_class:
                n = min(n, n_classes * spec.images_per_class)
            found[name] = n, n_classes
        return found

    def prepare_probe(self, place: Address) -> Work:
        """Pictures of a probe, decoded or drawn once."""
        return self._pictures(self._probed[place.probe][0])

    def probe_network(self, place: Address) -> Work:
        """One pass of each network over the probe's images, and a classifier."""
        n, n_classes = self._probed[place.probe]
        width = self.shape.widths[self.config.probes[place.probe].layer]
        return Work(
            network=n * self.shape.gflop,
            products=_SOLVER_STEPS * 4 * n * width * n_classes / 1e9,
            disk=4.0 * n_classes * (width + 0.15 * n),
        ).times(len(self.project.together(place)))

    def measure_similarity(self, place: Address) -> Work:
        """Resamplings of the relations of test images, by each layer."""
        settings = self.config.similarity
        layers = (settings.layers if settings else None) or self.shape.layers
        drawn = settings.n_bootstrap if settings else 0
        return Work(products=_RESAMPLED * drawn * len(layers) * self.n_test(place) ** 2 / 1e9)

    def map_saliency(self, place: Address) -> Work:
        """Each image and its mirror image, forwards and backwards."""
        n_images = self.config.saliency.n_images if self.config.saliency else 0
        return Work(
            network=n_images * 2 * _TRAINING * self.shape.gflop,
            disk=4 * _MAPS * self.project.preprocessing.input_size**2,
        ).times(len(self.project.together(place)))
