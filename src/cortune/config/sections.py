"""The sections of the configuration, with the types of their keys.

What each key means, and its default, is in the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dataset:
    """One data set: where it is and what of it is analysed."""

    layout: str
    root: str | None
    stim_info: str | None
    subjects: str | list[str]
    rois: str | list[str]
    space: str
    repeats: int
    top_vertices: int | None
    sessions: list[str] | None
    coco_of: str | None
    simulate: dict[str, Any] | None

    def reader_options(self) -> dict[str, Any]:
        """Return the options of the layout's reader."""
        keys = {"nsd": ("space", "repeats"), "nod": ("top_vertices", "sessions", "coco_of")}
        chosen = ("stim_info", *keys.get(self.layout, ()))
        return {key: getattr(self, key) for key in chosen}


@dataclass(frozen=True)
class Split:
    """Shares of images for tuning, validation and test."""

    tune: float
    validation: float
    test: float


@dataclass(frozen=True)
class Pretrain:
    """Training of the demo's backbone on labelled scenes."""

    n_images: int
    n_classes: int
    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Backbone:
    """The image network that is tuned."""

    name: str
    weights: str
    input_size: int
    layers: list[str]
    pretrain: Pretrain


@dataclass(frozen=True)
class Tuning:
    """Which networks are tuned, on what."""

    dataset: str
    methods: list[str]
    min_voxels: int
    precision: str
    workers: int


@dataclass(frozen=True)
class Contrastive:
    """The published recipe of contrastive tuning."""

    temperature: float
    batch_size: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class ContrastivePlus:
    """The improved recipe; each difference from the published one is a key."""

    temperature: float
    learn_temperature: bool
    symmetric: bool
    norm: str
    norm_per_modality: bool
    activation: str
    embedding_size: int | None
    image_layer: str | None
    batch_size: int
    drop_last: bool
    epochs: int
    learning_rate: float
    schedule: str
    weight_decay: float
    keep_best: bool
    augmentation: float


@dataclass(frozen=True)
class Regression:
    """The regression baseline."""

    batch_size: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Features:
    """Feature extraction."""

    images: str
    batch_size: int
    memory_gb: float


@dataclass(frozen=True)
class Alphas:
    """Ridge penalties, evenly spaced in the exponent."""

    start: float
    stop: float
    num: int

    def values(self) -> list[float]:
        """Return the penalties."""
        step = (self.stop - self.start) / max(self.num - 1, 1)
        return [10.0 ** (self.start + step * i) for i in range(self.num)]


@dataclass(frozen=True)
class SizeCurve:
    """Accuracy against the number of images that encoding models are fitted on."""

    sizes: list[int]
    rois: list[str] | None
    methods: list[str] | None


@dataclass(frozen=True)
class AllLayers:
    """Banded ridge over all layers."""

    n_iter: int


@dataclass(frozen=True)
class Encoding:
    """Voxelwise ridge encoding models."""

    n_components: int
    alphas: Alphas
    folds: int
    protocols: list[str]
    min_noise_ceiling: float
    size_curve: SizeCurve
    memory_gb: float
    all_layers: AllLayers


@dataclass(frozen=True)
class Statistics:
    """Intervals and tests."""

    n_bootstrap: int
    n_permutations: int


@dataclass(frozen=True)
class TransferDataset:
    """Transfer to another data set: the source's ROIs that are tried on each of its ROIs."""

    source: str
    target: str
    rois: dict[str, list[str]]


@dataclass(frozen=True)
class Transfer:
    """Transfer of tuned networks to other subjects and data sets."""

    subjects: bool
    methods: list[str] | None
    rois: list[str] | None
    datasets: list[TransferDataset]


@dataclass(frozen=True)
class Probe:
    """Labelled images that linear probes of the networks classify."""

    kind: str
    root: str | None
    split: str
    layer: str
    images_per_class: int | None
    n_images: int | None
    n_classes: int | None
    penalty: float
    max_iter: int

    def source(self) -> dict[str, Any]:
        """Return what :class:`cortune.probes.ProbeSpec` is made of."""
        numbers = ("images_per_class", "n_images", "n_classes")
        found = {key: getattr(self, key) or 0 for key in numbers}
        return {"kind": self.kind, "root": self.root or "", "split": self.split, **found}


@dataclass(frozen=True)
class Landscape:
    """The landscape of networks by their predictions."""

    methods: list[str]
    n_permutations: int


@dataclass(frozen=True)
class Saliency:
    """Where networks look for their classes, and to which side."""

    probe: str | None
    methods: list[str] | None
    layer: str
    attribution: str
    n_images: int
    n_permutations: int


@dataclass(frozen=True)
class Cortex:
    """Maps on the cortical surface."""

    surface: str
